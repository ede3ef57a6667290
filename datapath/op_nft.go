package datapath

import (
	"github.com/svclab/svclab/datapath/packet"
)

// NFTRun is one transaction of nft: all commands of the text, or none.
type NFTRun struct {
	Family packet.Family // of the proxier that runs it; the text names families itself
	Text   string        // standard input
}

// Command spells the call.
func (o NFTRun) Command() string { return "nft -f -" }

// NotWalkedError says that a node cannot be loaded with rules which its walk would pass over.
type NotWalkedError struct{ What string }

func (e *NotWalkedError) Error() string {
	return e.What + " rules are printed but not walked yet: rules and sync know them, trace, explain and run do not"
}
