package dns

// reverse finds the names an address has (plugin/kubernetes/reverse.go): that of the Service whose cluster IP it is, else
// those of the endpoints that have it, ready and in an exposed namespace. They lie in the first forward zone.
func (l *lookup) reverse() ([]entry, error) {
	ip := reverseAddr(l.name)
	if ip == "" {
		_, err := l.records()
		return nil, err
	}
	k := l.k
	hidden := func(namespace string) bool { return len(k.namespaces) > 0 && !k.exposed(namespace) }
	for _, s := range k.store.byIP[ip] {
		if !hidden(s.namespace) {
			return []entry{{host: join(s.name, s.namespace, svc, k.primary), ttl: k.ttl}}, nil
		}
	}
	var out []entry
	for _, e := range k.store.byAddr[ip] {
		if hidden(e.namespace) {
			continue
		}
		for _, a := range e.addresses {
			if a.ip == ip {
				out = append(out, entry{host: join(k.hostname(a), e.index, svc, k.primary), ttl: k.ttl})
			}
		}
	}
	if len(out) == 0 {
		return nil, errNoName
	}
	return out, nil
}

// nameServers are the addresses of the Services that CoreDNS itself is an endpoint of, or of its endpoints where such a
// Service is headless; CoreDNS's own addresses under ns.dns where no slice has them (plugin/kubernetes/ns.go, nsAddrs).
func (l *lookup) nameServers() []entry {
	k := l.k
	var out []entry
	found := false
	for _, self := range k.self {
		for _, e := range k.store.byAddr[self.String()] {
			found = true
			s := k.store.services[e.index]
			if s == nil {
				continue
			}
			owner := join(s.name, s.namespace, svc, l.zone)
			if s.headless() {
				for _, a := range e.addresses {
					out = append(out, entry{host: a.ip, owner: join(k.hostname(a), owner), ttl: k.ttl})
				}
				continue
			}
			for _, ip := range s.clusterIPs {
				out = append(out, entry{host: ip, owner: owner, ttl: k.ttl})
			}
		}
	}
	if !found {
		for _, self := range k.self {
			out = append(out, entry{host: self.String(), owner: join("ns.dns", l.zone), ttl: k.ttl})
		}
	}
	return out
}
