package iptables

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// idRange is a condition on a user or group.
type idRange struct {
	lo, hi      uint32
	set, invert bool
}

// Owner matches the owner of the socket that a local packet comes from, as -m owner does (net/netfilter/xt_owner.c). Names of
// users and groups are refused but for root: there is no user data base here.
type Owner struct {
	uid, gid          idRange
	exists, notExists bool
	groups            bool // --suppl-groups
}

var _ = registerMatch(&extension{
	name: "owner",
	options: []optionSpec{
		{name: "uid-owner", args: 1}, {name: "gid-owner", args: 1}, {name: "socket-exists"}, {name: "suppl-groups"},
	},
	newMatch: func() parsedMatch { return new(Owner) },
})

// Name is the name after -m.
func (m *Owner) Name() string { return "owner" }

func (m *Owner) set(o *option) error {
	switch o.name {
	case "socket-exists":
		m.exists, m.notExists = true, o.invert
		return nil
	case "suppl-groups":
		if !m.gid.set {
			return refuse("--suppl-groups", "you need to use --gid-owner first", "")
		}
		m.groups = true
		return nil
	}
	r := idRange{set: true, invert: o.invert}
	if o.arg != "root" {
		lo, hi, err := parseOrdered(o, "-", 1<<32-2)
		if err != nil {
			return err
		}
		if strings.HasPrefix(o.arg, "-") || strings.HasSuffix(o.arg, "-") {
			return o.badValue()
		}
		r.lo, r.hi = uint32(lo), uint32(hi)
	}
	if o.name == "uid-owner" {
		m.uid = r
	} else {
		m.gid = r
	}
	return nil
}

func (m *Owner) finish(r *ruleParser) error {
	return r.mustHave(m, "--uid-owner, --gid-owner or --socket-exists")
}

func (m *Owner) require() requirement {
	return requirement{hooks: hooks(netfilter.Output, netfilter.PostRouting)}
}

func (r *idRange) append(b []byte, opt string) []byte {
	if !r.set {
		return b
	}
	if r.invert {
		b = append(b, " !"...)
	}
	b = strconv.AppendUint(append(b, opt...), uint64(r.lo), 10)
	if r.hi != r.lo {
		b = strconv.AppendUint(append(b, '-'), uint64(r.hi), 10)
	}
	return b
}

func (r *idRange) contains(id uint32) bool { return !r.set || (id >= r.lo && id <= r.hi) != r.invert }

// Append appends the options.
func (m *Owner) Append(b []byte) []byte {
	if m.exists {
		if m.notExists {
			b = append(b, " !"...)
		}
		b = append(b, " --socket-exists"...)
	}
	b = m.gid.append(m.uid.append(b, " --uid-owner "), " --gid-owner ")
	if m.groups {
		b = append(b, " --suppl-groups"...)
	}
	return b
}

func (m *Owner) match(_ *walker, p *packet.Packet) bool {
	if !p.Owner.Known {
		// Without a socket only conditions that are all inverted hold (owner_mt).
		return !(m.uid.set && !m.uid.invert) && !(m.gid.set && !m.gid.invert) && !(m.exists && !m.notExists)
	}
	return !m.notExists && m.uid.contains(p.Owner.UID) && m.gid.contains(p.Owner.GID)
}
