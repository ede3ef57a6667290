package wire

import (
	"fmt"
)

// DecodeError says which header of a packet could not be read, where it begins, and why.
type DecodeError struct {
	Header string // "Ethernet", "IPv4", "TCP", …
	At     int    // of its first byte, from 0
	Need   int    // bytes that it takes; 0 where its length is not the reason
	Have   int    // bytes that are there
	Why    string // "" for a header that was cut off
}

func (e *DecodeError) Error() string {
	if e.Why != "" {
		return fmt.Sprintf("%s header at byte %d: %s", e.Header, e.At, e.Why)
	}
	return fmt.Sprintf("%s header at byte %d: %d bytes are left of %d", e.Header, e.At, e.Have, e.Need)
}

// LinkTypeError is a link layer that is not modelled.
type LinkTypeError struct{ Link LinkType }

func (e *LinkTypeError) Error() string {
	return fmt.Sprintf("link type %s is not modelled: Ethernet, raw IP, BSD loopback and Linux cooked captures are", e.Link)
}

// ViewError is a packet that no bytes can stand for.
type ViewError struct{ Why string }

func (e *ViewError) Error() string { return "no such packet: " + e.Why }

// HexError is text that is not the bytes of a packet.
type HexError struct {
	At   int    // of the character, from 0
	Text string // around it
	Why  string
}

func (e *HexError) Error() string {
	if e.Text == "" {
		return "hex: " + e.Why
	}
	return fmt.Sprintf("hex: character %d, %q: %s", e.At+1, e.Text, e.Why)
}

// FormatError is a file that is no capture, or one of a kind that is not read.
type FormatError struct{ File, Why string }

func (e *FormatError) Error() string { return e.File + ": " + e.Why }

// CutError says where a capture stopped making sense. What stood before is good.
type CutError struct {
	File    string
	Offset  int64 // of the block or record, in bytes from the beginning of the file
	Packets int   // read before it
	Why     string
}

func (e *CutError) Error() string {
	return fmt.Sprintf("%s: cut at byte %d, after %d packets: %s", e.File, e.Offset, e.Packets, e.Why)
}
