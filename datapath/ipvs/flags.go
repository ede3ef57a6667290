package ipvs

import (
	"fmt"
	"net/netip"
	"strings"
)

// schedulerFlagNames are ipvsadm's names of flags that sh and mh interpret; flag-1, flag-2 and flag-3 work with any.
var schedulerFlagNames = []struct {
	scheduler, name string
	flag            SchedulerFlags
}{
	{"sh", "sh-fallback", SHFallback},
	{"sh", "sh-port", SHPort},
	{"mh", "mh-fallback", MHFallback},
	{"mh", "mh-port", MHPort},
	{"", "flag-1", Flag1},
	{"", "flag-2", Flag2},
	{"", "flag-3", Flag3},
}

// ParseSchedulerFlags reads the value of ipvsadm's -b: names separated by commas. The error wraps ErrSchedulerFlag.
func ParseSchedulerFlags(scheduler, s string) (SchedulerFlags, error) {
	var f SchedulerFlags
	if s == "" {
		return 0, nil
	}
next:
	for _, name := range strings.Split(s, ",") {
		for _, n := range schedulerFlagNames {
			if n.name == name && (n.scheduler == "" || n.scheduler == scheduler) {
				f |= n.flag
				continue next
			}
		}
		return 0, fmt.Errorf("%w: %q of %q", ErrSchedulerFlag, quote(name), quote(scheduler))
	}
	return f, nil
}

// Names spells the flags as ipvsadm does for a scheduler: "sh-fallback,sh-port".
func (f SchedulerFlags) Names(scheduler string) string {
	var out []string
	for bit := Flag1; bit <= Flag3; bit <<= 1 {
		if f&bit == 0 {
			continue
		}
		for _, n := range schedulerFlagNames {
			if n.flag == bit && (n.scheduler == scheduler || n.scheduler == "") {
				out = append(out, n.name)
				break
			}
		}
	}
	return strings.Join(out, ",")
}

// ParseNetmask reads a netmask of persistence: dotted for IPv4, a prefix length for IPv6. The error wraps ErrBadNetmask.
func ParseNetmask(s string) (bits int, err error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		m := fold(a)
		for m&(1<<31) != 0 {
			bits++
			m <<= 1
		}
		if m == 0 && bits > 0 {
			return bits, nil
		}
	} else if n := 0; len(s) <= 3 {
		for _, c := range s {
			if c < '0' || c > '9' {
				return 0, fmt.Errorf("%w: %q", ErrBadNetmask, s)
			}
			n = n*10 + int(c-'0')
		}
		if n >= 1 && n <= 128 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrBadNetmask, quote(s))
}

// formatMask is the netmask as ipvsadm prints it.
func formatMask(k ServiceKey, bits int) string {
	if k.Family == 6 {
		return fmt.Sprint(bits)
	}
	m := ^uint32(0) << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}
