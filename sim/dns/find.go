package dns

import (
	"strings"

	"github.com/miekg/dns"
)

// entry is something a name leads to: an address or another name, with a port for SRV.
type entry struct {
	host  string // text of an address, or a name
	port  int32  // -1 for none
	owner string // the name the entry itself has
	text  string // of a TXT record
	ttl   uint32
}

// entries finds what a lookup's name leads to when asked for a type. Nothing without an error means NODATA
// (plugin/kubernetes/kubernetes.go, Services).
func (l *lookup) entries(qtype uint16) ([]entry, error) {
	if qtype == dns.TypeTXT {
		return l.texts()
	}
	if ns := "ns.dns."; strings.HasPrefix(l.name, ns) && strings.Index(l.name, l.zone) == len(ns) {
		var out []entry
		for _, e := range l.nameServers() {
			if a, _ := parseIP(e.host); (qtype == dns.TypeA && a.Is4()) || (qtype == dns.TypeAAAA && a.Is6()) {
				out = append(out, entry{host: e.host, owner: l.qname, ttl: l.k.ttl})
			}
		}
		return out, nil
	}
	found, err := l.records()
	if qtype != dns.TypeSRV {
		return found, err
	}
	var out []entry
	for _, e := range found {
		if _, ok := parseIP(e.host); ok { // SRV records of external names are not made
			out = append(out, e)
		}
	}
	return out, err
}

// texts answers dns-version. Another name is NODATA where it has entries and, unlike for other types, NXDOMAIN where it has
// none: even the zone itself.
func (l *lookup) texts() ([]entry, error) {
	if trimZone(l.name, l.zone) == "dns-version" {
		return []entry{{text: version, ttl: 28800}}, nil
	}
	found, err := l.records()
	if len(found) > 0 {
		return nil, nil
	}
	if err == nil && l.k.zonal {
		if r, e := parseRequest(l.name, l.zone, true); e == nil && r.zone != "" {
			return nil, nil
		}
	}
	return nil, errNoName
}

// records finds the entries of a name (plugin/kubernetes/kubernetes.go, Records).
func (l *lookup) records() ([]entry, error) {
	r, err := parseRequest(l.name, l.zone, l.k.zonal)
	switch {
	case err != nil:
		return nil, err
	case r.kind == "":
		return nil, nil
	case isReverse(l.name), !l.k.exposed(r.namespace):
		return nil, errNoName
	case r.service == "":
		if r.kind == pod && l.k.pods == podsDisabled {
			return nil, errNoName
		}
		return nil, nil // a namespace exists, empty
	case r.kind == pod:
		return l.pods(r)
	}
	return l.services(r)
}

// pods finds the address in the name of a Pod: 10-244-1-7.NAMESPACE.pod (findPods). The name must hold an address; whether a
// Pod has it matters in the mode verified alone. Labels before it are not looked at.
func (l *lookup) pods(r request) ([]entry, error) {
	ip := strings.ReplaceAll(r.service, "-", ":")
	if strings.Count(r.service, "-") == 3 && !strings.Contains(r.service, "--") {
		ip = strings.ReplaceAll(r.service, "-", ".")
	}
	found := entry{host: ip, owner: join(r.service, r.namespace, pod, l.zone), ttl: l.k.ttl}
	switch l.k.pods {
	case podsInsecure:
		if _, ok := parseIP(ip); ok {
			return []entry{found}, nil
		}
	case podsVerified:
		for _, namespace := range l.k.store.pods[ip] {
			if strings.EqualFold(r.namespace, namespace) {
				return []entry{found}, nil
			}
		}
	}
	return nil, errNoName
}

// services finds the entries of a Service (findServices).
func (l *lookup) services(r request) ([]entry, error) {
	s := l.k.store.services[r.service+"."+r.namespace]
	if s == nil {
		return nil, errNoName
	}
	slices := l.k.store.slices[s.name+"."+s.namespace]
	if l.k.ignoreEmpty && !s.external && !s.headless() {
		n := 0
		for _, e := range slices {
			n += len(e.addresses)
		}
		if n == 0 {
			return nil, errNoName
		}
	}
	owner := join(s.name, s.namespace, svc, l.zone)
	switch {
	case r.zone != "" && !s.headless():
		return nil, errNoName // a cluster IP has no zone
	case s.external:
		_, isAddress := parseIP(s.externalName)
		if r.endpoint != "" || r.port != "" || r.protocol != "" || isAddress {
			return nil, errNoName
		}
		return []entry{{host: s.externalName, owner: owner, ttl: l.k.ttl}}, nil
	case s.headless(), r.endpoint != "":
		return l.endpoints(r, slices, owner)
	}
	var out []entry
	err := errNoName
	for _, p := range s.ports {
		if r.fits(p) {
			err = nil
			for _, ip := range s.clusterIPs {
				out = append(out, entry{host: ip, port: p.port, owner: owner, ttl: l.k.ttl})
			}
		}
	}
	return out, err
}

// endpoints finds the endpoints of a headless Service, or the one endpoint of any Service that a name begins with.
func (l *lookup) endpoints(r request, slices []*sliceEntry, owner string) ([]entry, error) {
	in := func(zone string) (out []entry) {
		for _, e := range slices {
			for _, a := range e.addresses {
				host := l.k.hostname(a)
				if zone != "" && a.zone != zone || r.endpoint != "" && !strings.EqualFold(r.endpoint, host) {
					continue
				}
				for _, p := range e.ports {
					if r.fits(p) {
						out = append(out, entry{host: a.ip, port: p.port, owner: join(host, owner), ttl: l.k.ttl})
					}
				}
			}
		}
		return out
	}
	out := in(r.zone)
	if len(out) == 0 && r.prefer {
		out = in("")
	}
	if len(out) == 0 && r.zone == "" {
		return nil, errNoName
	}
	return out, nil
}

// fits reports whether a port is the one a name asks for, if it asks for one.
func (r request) fits(p portEntry) bool {
	return (r.port == "" || strings.EqualFold(r.port, p.name)) && (r.protocol == "" || strings.EqualFold(r.protocol, p.protocol))
}
