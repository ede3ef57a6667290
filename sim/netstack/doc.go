// Package netstack is the world of real transport protocols: client Pods, machines outside, nodes and backends are gVisor
// stacks, and every packet between them walks the modelled datapath of the nodes it passes.
package netstack
