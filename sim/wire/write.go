package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"
)

// Section heads a capture.
type Section struct {
	Application string // that wrote it
	Comment     string
}

// Writer writes a pcapng: a section, interfaces as they come, packets with comments. The same calls make the same bytes. Nothing
// is buffered but the block at hand.
type Writer struct {
	w          io.Writer
	interfaces []Interface
	block      []byte
	packets    int
}

// NewWriter begins a capture.
func NewWriter(w io.Writer, s Section) (*Writer, error) {
	out := &Writer{w: w}
	out.begin(blockSection)
	out.u32(byteOrderMagic)
	out.u16(1) // version 1.0
	out.u16(0)
	out.u64(1<<64 - 1) // length of the section: not said
	out.option(optApplication, s.Application)
	out.option(optComment, s.Comment)
	return out, out.end()
}

// AddInterface adds an interface and returns its index. Times on it are in nanoseconds.
func (w *Writer) AddInterface(i Interface) (int, error) {
	w.begin(blockInterface)
	w.u16(uint16(i.Link))
	w.u16(0)
	w.u32(i.SnapBytes)
	w.option(optName, i.Name)
	w.option(optDescription, i.Description)
	w.option(optResolution, "\x09")
	w.interfaces = append(w.interfaces, i)
	return len(w.interfaces) - 1, w.end()
}

// Packet writes a packet that an interface saw, with a comment or none. Beyond the interface's SnapBytes it is cut.
func (w *Writer) Packet(at time.Duration, iface int, data []byte, comment string) error {
	return w.Record(Record{At: at, Interface: iface, Data: data, Comment: comment})
}

// Record writes a packet with all that can be said of it. Name and Link are the interface's; OriginalBytes may be left 0.
func (w *Writer) Record(r Record) error {
	if r.Interface < 0 || r.Interface >= len(w.interfaces) {
		panic(fmt.Sprintf("wire: a packet of interface %d, of which there are %d", r.Interface, len(w.interfaces)))
	}
	original := max(r.OriginalBytes, uint32(len(r.Data)))
	if snap := w.interfaces[r.Interface].SnapBytes; snap > 0 && len(r.Data) > int(snap) {
		r.Data = r.Data[:snap]
	}
	w.begin(blockEnhanced)
	w.u32(uint32(r.Interface))
	w.u32(uint32(uint64(r.At) >> 32))
	w.u32(uint32(uint64(r.At)))
	w.u32(uint32(len(r.Data)))
	w.u32(original)
	w.block = append(w.block, r.Data...)
	w.pad()
	w.option(optComment, r.Comment)
	if r.Direction != DirectionUnknown {
		w.option(optFlags, string(binary.LittleEndian.AppendUint32(nil, uint32(r.Direction))))
	}
	if r.ID != 0 {
		w.option(optPacketID, string(binary.LittleEndian.AppendUint64(nil, r.ID)))
	}
	w.packets++
	return w.end()
}

// Names tells what addresses are called, in the order of the addresses, for whoever shows the capture. Blocks of no names are not
// written.
func (w *Writer) Names(names map[netip.Addr]string) error {
	if len(names) == 0 {
		return nil
	}
	begun := false
	for _, a := range slices.SortedFunc(maps.Keys(names), netip.Addr.Compare) {
		if !begun {
			w.begin(blockNames)
			begun = true
		}
		kind := uint16(namesIPv4)
		if a.Is6() {
			kind = namesIPv6
		}
		name := names[a][:min(len(names[a]), maxNameBytes)]
		w.u16(kind)
		w.u16(uint16(len(a.AsSlice()) + len(name) + 1))
		w.block = append(append(append(w.block, a.AsSlice()...), name...), 0)
		w.pad()
		if len(w.block) > MaxBlockBytes/2 {
			w.u32(0) // the end of the records; no options follow
			if err := w.end(); err != nil {
				return err
			}
			begun = false
		}
	}
	if !begun {
		return nil
	}
	w.u32(0)
	return w.end()
}

// maxNameBytes is the longest name of an address.
const maxNameBytes = 255

// Packets is how many were written.
func (w *Writer) Packets() int { return w.packets }

func (w *Writer) u16(v uint16) { w.block = binary.LittleEndian.AppendUint16(w.block, v) }
func (w *Writer) u32(v uint32) { w.block = binary.LittleEndian.AppendUint32(w.block, v) }
func (w *Writer) u64(v uint64) { w.block = binary.LittleEndian.AppendUint64(w.block, v) }

func (w *Writer) pad() {
	for len(w.block)%4 != 0 {
		w.block = append(w.block, 0)
	}
}

func (w *Writer) begin(kind uint32) {
	w.block = w.block[:0]
	w.u32(kind)
	w.u32(0) // its length, once it is known
}

// maxOptionBytes is the longest value of an option.
const maxOptionBytes = 65535

// option adds an option; an empty one is left out, a long text is cut between characters.
func (w *Writer) option(code uint16, value string) {
	if value == "" {
		return
	}
	if len(value) > maxOptionBytes {
		value = value[:maxOptionBytes]
		for !utf8.ValidString(value) && len(value) > maxOptionBytes-utf8.UTFMax {
			value = value[:len(value)-1]
		}
	}
	w.u16(code)
	w.u16(uint16(len(value)))
	w.block = append(w.block, value...)
	w.pad()
}

// end closes the block and writes it.
func (w *Writer) end() error {
	w.u32(optEnd)
	n := uint32(len(w.block) + 4)
	w.u32(n)
	binary.LittleEndian.PutUint32(w.block[4:], n)
	_, err := w.w.Write(w.block)
	return err
}
