package input

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// manyServices writes n Services of e endpoints each, as kubectl prints them: "yaml" documents, one "list", or "json".
func manyServices(n, e int, form string) []byte {
	var items []map[string]any
	add := func(o map[string]any) { items = append(items, o) }
	add(map[string]any{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "hostnameOverride": "worker-1", "clusterCIDR": "10.244.0.0/16"})
	add(map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "worker-1"},
		"spec":   map[string]any{"podCIDR": "10.244.1.0/24", "podCIDRs": []any{"10.244.1.0/24"}},
		"status": map[string]any{"addresses": []any{map[string]any{"type": "InternalIP", "address": "192.168.10.11"}}}})
	managed := []any{map[string]any{"apiVersion": "v1", "fieldsType": "FieldsV1", "manager": "kubectl-client-side-apply", "operation": "Update", "time": "2026-01-02T03:04:05Z",
		"fieldsV1": map[string]any{"f:metadata": map[string]any{"f:annotations": map[string]any{".": map[string]any{}}}, "f:spec": map[string]any{"f:ports": map[string]any{".": map[string]any{}}}}}}
	for i := range n {
		name, ip := fmt.Sprintf("svc-%04d", i), fmt.Sprintf("10.%d.%d.%d", 96+i/60000, i/250%250, i%250+1)
		add(map[string]any{"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{"name": name, "namespace": "default", "uid": fmt.Sprintf("00000000-0000-4000-8000-%012d", i), "resourceVersion": "1", "creationTimestamp": "2026-01-02T03:04:05Z", "managedFields": managed},
			"spec": map[string]any{"type": "ClusterIP", "clusterIP": ip, "clusterIPs": []any{ip}, "ipFamilies": []any{"IPv4"}, "ipFamilyPolicy": "SingleStack",
				"internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "selector": map[string]any{"app": name},
				"ports": []any{map[string]any{"protocol": "TCP", "port": 80, "targetPort": 8080}}},
			"status": map[string]any{"loadBalancer": map[string]any{}}})
		var eps []any
		for k := range e {
			eps = append(eps, map[string]any{"addresses": []any{fmt.Sprintf("10.244.%d.%d", (i*e+k)/250%250, (i*e+k)%250+1)},
				"conditions": map[string]any{"ready": true, "serving": true, "terminating": false}, "nodeName": fmt.Sprintf("worker-%d", k+1)})
		}
		add(map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
			"metadata": map[string]any{"name": name + "-abcde", "namespace": "default", "labels": map[string]any{"kubernetes.io/service-name": name}},
			"ports":    []any{map[string]any{"name": "", "protocol": "TCP", "port": 8080}}, "endpoints": eps})
	}
	if form == "json" {
		b, _ := json.MarshalIndent(map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, "", "    ")
		return b
	}
	var b bytes.Buffer
	if form == "list" {
		b.WriteString("apiVersion: v1\nitems:\n")
		for _, it := range items {
			for i, l := range strings.Split(strings.TrimRight(asYAML(it), "\n"), "\n") {
				b.WriteString(map[bool]string{true: "- ", false: "  "}[i == 0] + l + "\n")
			}
		}
		b.WriteString("kind: List\nmetadata:\n  resourceVersion: \"\"\n")
		return b.Bytes()
	}
	for _, it := range items {
		b.WriteString("---\n" + asYAML(it))
	}
	return b.Bytes()
}

// asYAML prints a value as kubectl does.
func asYAML(v any) string {
	b, err := yamlMarshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func BenchmarkRead5000Services(b *testing.B) {
	for _, form := range []string{"yaml", "list", "json"} {
		data := manyServices(5000, 3, form)
		b.Run(form, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				o, err := Read([]Source{{Name: form, Data: data}})
				if err != nil {
					b.Fatal(err)
				}
				st, _, err := o.State(NodeOptions{})
				if err != nil || len(st.Services) != 5000 || len(st.Slices) != 5000 {
					b.Fatal(err, len(st.Services), len(st.Slices))
				}
			}
		})
	}
}
