package run

import (
	"context"
	"testing"
	"testing/fstest"
)

// BenchmarkWorlds is what a connection with one request costs in each world, engine and observation included. Connections come so
// close together that many are under way at once.
func BenchmarkWorlds(b *testing.B) {
	const connections = 5000
	for _, world := range bothWorlds {
		b.Run(world, func(b *testing.B) {
			sc := story(b, `
  cluster: {nodes: 1, services: [{name: web, endpoints: 3}]}
  traffic: [{name: t, from: {pods: 20}, to: {service: default/web}, connections: 5000, rate: 10000/s, arrivals: bursts, burst: 100, requests: {count: 1}, requestBytes: 16, replyBytes: 16}]
`)
			for b.Loop() {
				if _, err := Scenario(context.Background(), sc, fstest.MapFS{}, ScenarioOptions{World: world}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*connections)/b.Elapsed().Seconds(), "connections/s")
		})
	}
}
