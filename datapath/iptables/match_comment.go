package iptables

import (
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// Comment is a note on a rule, -m comment; it always matches (net/netfilter/xt_comment.c).
type Comment struct{ Text string }

var _ = registerMatch(&extension{
	name: "comment", options: []optionSpec{{name: "comment", args: 1, noInvert: true}},
	newMatch: func() parsedMatch { return new(Comment) },
})

// Name is the name after -m.
func (m *Comment) Name() string { return "comment" }

func (m *Comment) set(o *option) error {
	const most = 255                        // XT_MAX_COMMENT_LEN less its end
	text := strings.TrimSuffix(o.arg, "\n") // of an unclosed quote; with it the print could not be read again
	m.Text = text[:min(len(text), most)]    // the rest is cut without a word
	return nil
}

func (m *Comment) finish(r *ruleParser) error { return r.mustHave(m, "--comment") }

// Append appends the option.
func (m *Comment) Append(b []byte) []byte { return appendString(append(b, " --comment"...), m.Text) }

func (m *Comment) match(*walker, *packet.Packet) bool { return true }
