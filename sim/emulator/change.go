package emulator

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
)

// Verb is a change of an endpoint.
type Verb string

// The verbs. A terminating endpoint is not ready and still serves, as a Pod that is being deleted.
const (
	Add       Verb = "add"
	Remove    Verb = "remove"
	Ready     Verb = "ready"
	Unready   Verb = "unready"
	Terminate Verb = "terminate"
)

// EndpointChange is what the endpoint controller would tell of one endpoint.
type EndpointChange struct {
	Verb     Verb
	Endpoint netip.Addr   // invalid, with Add: an address of the local node that nobody has
	Service  service.Name // zero: every Service that has it; with Add, the only one there is beside cluster DNS
	Node     string       // of a new one; "": the Node whose Pod CIDR has the address
}

// ChangeEndpoint changes one endpoint, and lets kube-proxy sync and Pods come or go. It returns what was done in words. An error is an
// InputError, or what kube-proxy's commands met.
func (e *Emulator) ChangeEndpoint(c EndpointChange) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return "", ErrClosed
	}
	var said string
	var err error
	e.do(func() { said, err = e.changeEndpoint(c) })
	if err != nil {
		return "", err
	}
	if err := e.learnNames(); err != nil {
		return "", err
	}
	return said, e.reconcile()
}

func (e *Emulator) changeEndpoint(c EndpointChange) (string, error) {
	list := slices.Clone(e.subject.State.Slices)
	var touched []int
	var err error
	if c.Verb == Add {
		touched, err = e.addEndpoint(list, &c)
	} else {
		touched, err = editEndpoint(list, c)
	}
	if err != nil {
		return "", err
	}
	var sources []input.Source
	var of []string
	for _, i := range touched {
		text, err := manifestOf(&list[i])
		if err != nil {
			return "", err
		}
		sources = append(sources, input.Source{Name: "ctl " + string(c.Verb), Data: text})
		of = append(of, list[i].Service.String())
	}
	err = e.subject.Change(e.now(), func(o *input.Objects) error {
		for _, i := range touched {
			sl := &list[i]
			if o.Get("EndpointSlice", sl.Namespace, sl.Name.Name) == nil { // it was mirrored from an Endpoints object
				o.Delete("Endpoints", sl.Service.Namespace, sl.Service.Name)
			}
		}
		return o.Apply(sources...)
	})
	for _, s := range e.sites[1:] {
		if err == nil {
			err = s.Adopt(e.now(), e.subject)
		}
	}
	if err != nil {
		return "", err
	}
	slices.Sort(of)
	words := map[Verb]string{Add: "added to", Remove: "removed from", Ready: "ready in", Unready: "not ready in", Terminate: "terminating in"}[c.Verb]
	return fmt.Sprintf("%s %s %s", c.Endpoint, words, strings.Join(slices.Compact(of), ", ")), nil
}

// addEndpoint puts an endpoint into the first slice of its Service and family.
func (e *Emulator) addEndpoint(list []service.EndpointSlice, c *EndpointChange) ([]int, error) {
	var names []string
	for i := range list {
		if list[i].Service != dnsService && list[i].Service.Name != "kubernetes" {
			names = append(names, list[i].Service.String())
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if c.Service == (service.Name{}) {
		if len(names) != 1 {
			return nil, &InputError{What: "add", Why: "name a Service that has an EndpointSlice: svc/" + strings.Join(names, ", svc/")}
		}
		c.Service.Namespace, c.Service.Name, _ = strings.Cut(names[0], "/")
	}
	if !c.Endpoint.IsValid() {
		free := e.freePod(spareForAdded)
		if len(free) == 0 {
			return nil, &InputError{What: "add", Why: "the local node has no Pod CIDR: name an address"}
		}
		c.Endpoint = free[0]
	}
	if c.Node == "" {
		c.Node = e.subject.NodeOf(c.Endpoint)
	}
	for i := range list {
		sl := &list[i]
		if sl.Service != c.Service || sl.Family != packet.FamilyOf(c.Endpoint) {
			continue
		}
		if slices.ContainsFunc(sl.Endpoints, func(x service.Endpoint) bool { return slices.Contains(x.Addresses, c.Endpoint) }) {
			return nil, &InputError{What: "add", Text: c.Endpoint.String(), Why: "is an endpoint of " + c.Service.String() + " already"}
		}
		sl.Endpoints = append(slices.Clone(sl.Endpoints), service.Endpoint{
			Addresses: []netip.Addr{c.Endpoint}, Ready: true, Serving: true, NodeName: c.Node,
		})
		return []int{i}, nil
	}
	return nil, &InputError{What: "Service", Text: c.Service.String(), Why: fmt.Sprintf("has no EndpointSlice of %s; these have one: %s", packet.FamilyOf(c.Endpoint), strings.Join(names, ", "))}
}

// spareForAdded keeps the addresses of clients and shells away from those of endpoints that are added without one.
const spareForAdded = 16

// editEndpoint changes an endpoint in every slice that has it.
func editEndpoint(list []service.EndpointSlice, c EndpointChange) (touched []int, err error) {
	var have []string
	for i := range list {
		sl := &list[i]
		if c.Service != (service.Name{}) && sl.Service != c.Service {
			continue
		}
		var out []service.Endpoint
		hit := false
		for _, x := range sl.Endpoints {
			for _, a := range x.Addresses {
				have = append(have, a.String())
			}
			if !slices.Contains(x.Addresses, c.Endpoint) {
				out = append(out, x)
				continue
			}
			hit = true
			switch c.Verb {
			case Remove:
				continue
			case Ready:
				x.Ready, x.Serving, x.Terminating = true, true, false
			case Unready:
				x.Ready, x.Serving = false, false
			case Terminate:
				x.Ready, x.Serving, x.Terminating = false, true, true
			default:
				return nil, &InputError{What: "verb", Text: string(c.Verb), Why: "is not known"}
			}
			out = append(out, x)
		}
		if hit {
			sl.Endpoints = out
			touched = append(touched, i)
		}
	}
	if touched == nil {
		slices.Sort(have)
		return nil, &InputError{What: string(c.Verb), Text: c.Endpoint.String(), Why: "is no endpoint; these are: " + strings.Join(slices.Compact(have), ", ")}
	}
	return touched, nil
}

// manifestOf spells a slice as kubectl would print it, in JSON.
func manifestOf(sl *service.EndpointSlice) ([]byte, error) {
	type object = map[string]any
	labels := object{}
	for k, v := range sl.Labels {
		labels[k] = v
	}
	labels["kubernetes.io/service-name"] = sl.Service.Name
	kind := "IPv4"
	if sl.Family == packet.IPv6 {
		kind = "IPv6"
	}
	ports := []object{}
	for _, p := range sl.Ports {
		x := object{"name": p.Name, "protocol": strings.ToUpper(p.Protocol.String())}
		if p.Port != 0 {
			x["port"] = p.Port
		}
		ports = append(ports, x)
	}
	endpoints := []object{}
	for _, x := range sl.Endpoints {
		o := object{"addresses": x.Addresses, "conditions": object{"ready": x.Ready, "serving": x.Serving, "terminating": x.Terminating}}
		for key, v := range map[string]string{"nodeName": x.NodeName, "zone": x.Zone, "hostname": x.Hostname} {
			if v != "" {
				o[key] = v
			}
		}
		hints := object{}
		for key, names := range map[string][]string{"forZones": x.ZoneHints, "forNodes": x.NodeHints} {
			var list []object
			for _, n := range names {
				list = append(list, object{"name": n})
			}
			if list != nil {
				hints[key] = list
			}
		}
		if len(hints) > 0 {
			o["hints"] = hints
		}
		if ref := strings.SplitN(x.TargetRef, "/", 3); len(ref) == 3 {
			o["targetRef"] = object{"kind": ref[0], "namespace": ref[1], "name": ref[2]}
		}
		endpoints = append(endpoints, o)
	}
	return json.Marshal(object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": kind, "ports": ports, "endpoints": endpoints,
		"metadata": object{"name": sl.Name.Name, "namespace": sl.Name.Namespace, "labels": labels},
	})
}

// SwitchMode ends kube-proxy on every modelled node and starts it in another mode, as run.Subject.Switch says, and returns the log of
// the local node's new process.
func (e *Emulator) SwitchMode(mode service.Mode, cleanUp bool) (log []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	e.do(func() {
		for i, s := range e.sites {
			var said []string
			if said, err = s.Switch(e.now(), mode, cleanUp); err != nil {
				return
			}
			if i == 0 {
				log = said
			}
		}
	})
	return log, err
}
