package dns

import (
	"errors"
	"strings"

	"github.com/miekg/dns"
)

// errNoName means that a name does not exist: NXDOMAIN, or the next plugin where the zone falls through.
var errNoName = errors.New("no such name")

// The words below the zone of a cluster (github.com/kubernetes/dns, docs/specification.md).
const (
	svc     = "svc"
	pod     = "pod"
	version = "1.1.0" // what dns-version answers
)

// request is a name taken apart. Parts that the name lacks are empty.
type request struct {
	port, protocol string // _PORT._PROTOCOL before the Service
	endpoint       string // one label before the Service
	zone           string // ZONE.pin._zone or ZONE.prefer._zone before the Service, with the option zonal
	prefer         bool   // the zone is a wish, not a demand
	service        string // or the address in the name of a Pod
	namespace      string
	kind           string // svc or pod; "" for the zone itself and for svc and pod alone
}

// parseRequest takes a name apart from the right (plugin/kubernetes/parse.go). Name is in lower case.
func parseRequest(name, zone string, zonal bool) (request, error) {
	base := trimZone(name, zone)
	if base == "" || base == svc || base == pod {
		return request{}, nil
	}
	labels := dns.SplitDomainName(base)
	next := func() string {
		if len(labels) == 0 {
			return ""
		}
		l := labels[len(labels)-1]
		labels = labels[:len(labels)-1]
		return l
	}
	var r request
	if r.kind = next(); r.kind != svc && r.kind != pod {
		return r, errNoName
	}
	r.namespace, r.service = next(), next()
	switch n := len(labels); {
	case n == 0:
	case n == 1:
		r.endpoint = labels[0]
	case n == 2:
		r.port, r.protocol = strings.TrimPrefix(labels[0], "_"), strings.TrimPrefix(labels[1], "_")
	case zonal && labels[n-1] == "_zone" && r.kind == svc && (labels[n-2] == "pin" || labels[n-2] == "prefer"):
		r.zone, r.prefer = strings.Join(labels[:n-2], "."), labels[n-2] == "prefer"
	default:
		return r, errNoName
	}
	return r, nil
}
