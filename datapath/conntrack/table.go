package conntrack

// Table is the flow table of one node.
type Table struct{}

type protoState struct{}

// State is a state of a protocol's connection-tracking machine.
type State uint8
