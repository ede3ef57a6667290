// Package wire turns packets into bytes and bytes into packets, and reads and writes captures.
//
// It models the borders of the datapath: a packet.Packet is what rules look at, a frame is what a card or a capture holds. Three
// bargains are made here. What a view leaves out (sequence numbers, payload, options) is filled in with what Linux's own stack
// sends, so that analysers have nothing to complain of; Patch keeps the bytes of a frame that was captured and changes nothing but
// what the datapath rewrote. Headers of packets are decoded by gopacket, which is handed bytes of one packet and never a file:
// its readers of captures divide by zero, and allocate what a file of 40 bytes asks for. Files are read by scanners of our own, in
// blocks of at most MaxBlockBytes, and what is behind the first lie of a file is left out with a typed warning.
//
// Left out: compressed captures, decryption, reassembly of fragments and of streams, link layers beside those in LinkType.
//
//	bytes ── Decoder ──▶ packet.Packet ── a node walks it ──▶ packet.Packet ── Encoder (or Patch) ──▶ bytes ── Writer ──▶ pcapng
package wire
