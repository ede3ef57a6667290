package datapath

import "strings"

// SetCreate makes a set; with Exist one of the same name and kind may be there already (ipset create).
type SetCreate struct {
	Name, Type string
	Options    string // as after the type: "family inet hashsize 1024 maxelem 65536"
	Exist      bool
}

// Command spells the call.
func (o SetCreate) Command() string {
	return setCommand(o.Exist, "create", o.Name, o.Type, o.Options)
}

// SetAdd puts an entry into a set; with Exist it may be there already (ipset add).
type SetAdd struct {
	Set, Entry string
	Exist      bool
}

// Command spells the call.
func (o SetAdd) Command() string { return setCommand(o.Exist, "add", o.Set, o.Entry) }

// SetDel takes an entry out of a set (ipset del).
type SetDel struct{ Set, Entry string }

// Command spells the call.
func (o SetDel) Command() string { return setCommand(false, "del", o.Set, o.Entry) }

// SetFlush empties a set (ipset flush).
type SetFlush struct{ Set string }

// Command spells the call.
func (o SetFlush) Command() string { return setCommand(false, "flush", o.Set) }

// SetDestroy removes a set, which no rule and no list may name (ipset destroy).
type SetDestroy struct{ Set string }

// Command spells the call.
func (o SetDestroy) Command() string { return setCommand(false, "destroy", o.Set) }

// SetSwap exchanges what two sets hold (ipset swap).
type SetSwap struct{ A, B string }

// Command spells the call.
func (o SetSwap) Command() string { return setCommand(false, "swap", o.A, o.B) }

// SetRename gives a set another name (ipset rename).
type SetRename struct{ From, To string }

// Command spells the call.
func (o SetRename) Command() string { return setCommand(false, "rename", o.From, o.To) }

func setCommand(exist bool, words ...string) string {
	var b strings.Builder
	b.WriteString("ipset")
	for _, w := range words {
		if w != "" {
			b.WriteString(" " + w)
		}
	}
	if exist {
		b.WriteString(" -exist")
	}
	return b.String()
}

// SetOp is an operation on sets by one call of ipset.
type SetOp interface {
	Op
	setOp()
}

func (SetCreate) setOp()  {}
func (SetAdd) setOp()     {}
func (SetDel) setOp()     {}
func (SetFlush) setOp()   {}
func (SetDestroy) setOp() {}
func (SetSwap) setOp()    {}
func (SetRename) setOp()  {}

// SetArgs are the arguments of the call, as ipset.Store.Exec takes them.
func SetArgs(o SetOp) string { return strings.TrimPrefix(o.Command(), "ipset ") }
