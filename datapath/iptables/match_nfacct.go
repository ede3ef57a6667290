package iptables

import "github.com/svclab/svclab/datapath/packet"

// NFAcct counts packets on a named accounting object and always matches (net/netfilter/xt_nfacct.c). The object's counters
// are those of the rules that name it.
type NFAcct struct{ Object string }

var _ = registerMatch(&extension{
	name: "nfacct", options: []optionSpec{{name: "nfacct-name", args: 1, noInvert: true}},
	newMatch: func() parsedMatch { return new(NFAcct) },
})

// Name is the name after -m.
func (m *NFAcct) Name() string { return "nfacct" }

func (m *NFAcct) set(o *option) error {
	const most = 31 // NFACCT_NAME_MAX less its end
	if o.arg == "" {
		return o.badValue()
	}
	m.Object = o.arg[:min(len(o.arg), most)]
	return nil
}

func (m *NFAcct) finish(r *ruleParser) error { return r.mustHave(m, "--nfacct-name") }

// Append appends the option. Two blanks stand before the object, as libxt_nfacct prints them.
func (m *NFAcct) Append(b []byte) []byte {
	return appendString(append(b, " --nfacct-name "...), m.Object)
}

func (m *NFAcct) match(*walker, *packet.Packet) bool { return true }
