package input

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const benchHead = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
hostnameOverride: worker-1
clusterCIDR: 10.244.0.0/16
---
apiVersion: v1
kind: Node
metadata:
  name: worker-1
spec:
  podCIDR: 10.244.1.0/24
  podCIDRs:
  - 10.244.1.0/24
status:
  addresses:
  - address: 192.168.10.11
    type: InternalIP
`

const benchService = `---
apiVersion: v1
kind: Service
metadata:
  creationTimestamp: "2026-01-02T03:04:05Z"
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1:
      f:spec:
        f:ports:
          .: {}
          k:{"port":80,"protocol":"TCP"}:
            .: {}
            f:port: {}
    manager: kubectl-create
    operation: Update
    time: "2026-01-02T03:04:05Z"
  name: NAME
  namespace: default
  resourceVersion: "1234"
  uid: 00000000-0000-4000-8000-000000000000
spec:
  clusterIP: CLUSTERIP
  clusterIPs:
  - CLUSTERIP
  internalTrafficPolicy: Cluster
  ipFamilies:
  - IPv4
  ipFamilyPolicy: SingleStack
  ports:
  - port: 80
    protocol: TCP
    targetPort: 8080
  selector:
    app: NAME
  sessionAffinity: None
  type: ClusterIP
status:
  loadBalancer: {}
---
addressType: IPv4
apiVersion: discovery.k8s.io/v1
endpoints:
`

const benchEndpoint = `- addresses:
  - ADDRESS
  conditions:
    ready: true
    serving: true
    terminating: false
  nodeName: worker-2
`

const benchSlice = `kind: EndpointSlice
metadata:
  labels:
    kubernetes.io/service-name: NAME
  name: NAME-abcde
  namespace: default
ports:
- name: ""
  port: 8080
  protocol: TCP
`

// manyServices writes n Services of e endpoints each, as kubectl prints them: "yaml" documents, one "list", or "json".
func manyServices(n, e int, form string) []byte {
	var b strings.Builder
	b.WriteString(benchHead)
	for i := range n {
		ip := fmt.Sprintf("10.%d.%d.%d", 96+i/60000, i/250%250, i%250+1)
		r := strings.NewReplacer("NAME", fmt.Sprintf("svc-%04d", i), "CLUSTERIP", ip)
		b.WriteString(r.Replace(benchService))
		for k := range e {
			j := i*e + k
			b.WriteString(strings.Replace(benchEndpoint, "ADDRESS", fmt.Sprintf("10.%d.%d.%d", 128+j/60000, j/250%250, j%250+1), 1))
		}
		b.WriteString(r.Replace(benchSlice))
	}
	docs := strings.Split(strings.TrimRight(b.String(), "\n"), "\n---\n")
	switch form {
	case "list":
		for i, d := range docs {
			docs[i] = "- " + strings.ReplaceAll(d, "\n", "\n  ")
		}
		return []byte("apiVersion: v1\nitems:\n" + strings.Join(docs, "\n") + "\nkind: List\nmetadata:\n  resourceVersion: \"\"\n")
	case "json":
		for i, d := range docs {
			j, err := yaml.YAMLToJSON([]byte(d))
			if err != nil {
				panic(err)
			}
			var out bytes.Buffer
			json.Indent(&out, j, "        ", "    ")
			docs[i] = out.String()
		}
		return []byte("{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        " + strings.Join(docs, ",\n        ") + "\n    ],\n    \"kind\": \"List\"\n}\n")
	}
	return []byte(strings.Join(docs, "\n---\n") + "\n")
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
