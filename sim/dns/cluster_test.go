package dns

import (
	"errors"
	"strings"
	"testing"
)

// TestMirroredEndpoints: Endpoints of a Service without selector are read as the slices their controller makes.
func TestMirroredEndpoints(t *testing.T) {
	manifests := web + `---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: db}
subsets: [{addresses: [{ip: 198.51.100.7, hostname: main}], notReadyAddresses: [{ip: 198.51.100.8}], ports: [{port: 5432}]}]
---
apiVersion: v1
kind: Service
metadata: {name: picks}
spec: {clusterIP: None, selector: {app: x}, ports: [{port: 1}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: picks}
subsets: [{addresses: [{ip: 198.51.100.9}], ports: [{port: 1}]}]
`
	c := load(t, DefaultCorefile, manifests)
	for name, want := range map[string]string{
		"db.default.svc.cluster.local.":      "NOERROR 198.51.100.7@30",
		"main.db.default.svc.cluster.local.": "NOERROR 198.51.100.7@30",
		"picks.default.svc.cluster.local.":   "NXDOMAIN",
	} {
		if got := answer(c, name, "A"); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestTakenForGranted: what the objects lack is stood in for and said, or refused.
func TestTakenForGranted(t *testing.T) {
	bare := `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.50, ports: [{port: 80}]}
`
	c, err := Load(objects(t, bare), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Lookup(Request{Name: "web", Namespace: "shop", Pod: "any"})
	if err != nil || strings.Join(r.Result, " ") != "10.96.0.50" || r.Queries[0].Name != "web.shop.svc.cluster.local." {
		t.Errorf("%+v, %v", r, err)
	}
	if got := strings.Join(c.Warnings, "\n"); strings.Count(got, "warning: ") != 3 ||
		!strings.Contains(got, "no Corefile") || !strings.Contains(got, "no Namespace") || !strings.Contains(got, "no Pod") {
		t.Errorf("warnings:\n%s", got)
	}

	c, err = Load(objects(t, web+"---\n"+bare), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := answer(c, "web.shop.svc.cluster.local.", "A"); got != "NXDOMAIN" {
		t.Errorf("a namespace that is not there: %s", got)
	}
	if got := strings.Join(c.Warnings, "\n"); !strings.Contains(got, "no Namespace shop") {
		t.Errorf("warnings:\n%s", got)
	}
	var missing *PodError
	if _, err := c.Lookup(Request{Name: "web", Namespace: "default", Pod: "nobody"}); !errors.As(err, &missing) || !strings.Contains(err.Error(), "default/client") {
		t.Errorf("an unknown Pod: %v", err)
	}
	if _, err := c.Lookup(Request{Name: "web", Namespace: "default", Pod: "client", Type: "B"}); !errors.As(err, new(TypeError)) {
		t.Errorf("an unknown type: %v", err)
	}
	for _, bad := range []string{"", "..", "a..b", ".a", strings.Repeat("a", 64), strings.Repeat("a.", 130)} {
		r, err := c.Lookup(Request{Name: bad, Namespace: "default", Pod: "client"})
		if err != nil || r.Error != ErrBadName.Error() || len(r.Queries) != 0 {
			t.Errorf("%q: %+v, %v", bad, r, err)
		}
	}
}

// TestPolicies: a Pod that does not use cluster DNS asks the world outside, without the cluster's search list.
func TestPolicies(t *testing.T) {
	c := load(t, DefaultCorefile, web+`---
apiVersion: v1
kind: Pod
metadata: {name: outsider}
spec: {dnsPolicy: Default, containers: [{name: c, image: busybox}]}
`)
	r, err := c.Lookup(Request{Name: "web", Namespace: "default", Pod: "outsider"})
	if err != nil || len(r.Queries) != 2 || r.Queries[0].Name != "web." || r.Error != ErrNotFound.Error() {
		t.Errorf("%+v, %v", r, err)
	}
}
