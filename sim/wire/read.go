package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Reader reads a capture, pcap or pcapng of either byte order, record by record. Its memory is one block, whatever a file says. Where
// a file stops making sense the reader stops, and Cut says why; it never skips ahead to guess.
type Reader struct {
	file       string
	in         *bufio.Reader
	offset     int64 // of what is read next
	at         int64 // of the block at hand
	order      binary.ByteOrder
	next       func() (Record, error)
	nano       bool // of pcap: fractions of a second are nanoseconds
	interfaces []Interface
	block      []byte
	packets    int
	cut        *CutError
	done       bool
}

// errCut ends a capture; Reader.cut has the reason.
var errCut = errors.New("cut")

// The magic numbers of pcap (draft-ietf-opsawg-pcap, section 4), as a reader of its byte order sees them.
const (
	magicMicro = 0xa1b2c3d4
	magicNano  = 0xa1b23c4d
)

// NewReader begins to read a capture; file is its name in messages. An error is a FormatError, a CutError when not even the head of
// the file is whole, or what reading returned.
func NewReader(file string, in io.Reader) (*Reader, error) {
	r := &Reader{file: file, in: bufio.NewReaderSize(in, 64<<10)}
	head, err := r.in.Peek(4)
	if len(head) < 4 {
		if err != io.EOF {
			return nil, err
		}
		return nil, &FormatError{file, fmt.Sprintf("%d bytes are no capture", len(head))}
	}
	if binary.BigEndian.Uint32(head) == blockSection {
		r.next, r.order = r.nextBlock, binary.LittleEndian
		if err := r.section(); err != nil {
			return nil, r.failed(err)
		}
		return r, nil
	}
	for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch o.Uint32(head) {
		case magicMicro, magicNano:
			r.order, r.nano, r.next = o, o.Uint32(head) == magicNano, r.nextRecord
			if err := r.pcapHeader(); err != nil {
				return nil, r.failed(err)
			}
			return r, nil
		}
	}
	switch {
	case head[0] == 0x1f && head[1] == 0x8b:
		return nil, &FormatError{file, "it is compressed: gunzip it first"}
	case head[0] == 0x28 && head[1] == 0xb5:
		return nil, &FormatError{file, "it is compressed: unzstd it first"}
	}
	return nil, &FormatError{file, fmt.Sprintf("neither pcap nor pcapng begins with %q", head)}
}

func (r *Reader) failed(err error) error {
	if err == errCut {
		return r.cut
	}
	return err
}

// Next returns the next packet, or io.EOF at the end of the capture, be it a good one or a cut. Other errors are those of reading.
func (r *Reader) Next() (Record, error) {
	for !r.done {
		rec, err := r.next()
		switch {
		case err == errNotPacket:
			continue
		case err == nil:
			r.packets++
			return rec, nil
		}
		r.done = true
		if err != errCut && err != io.EOF {
			return Record{}, err
		}
	}
	return Record{}, io.EOF
}

// Cut says where and why the capture stopped making sense; nil for one that was whole as far as it was read. It is a CutError.
func (r *Reader) Cut() error {
	if r.cut == nil {
		return nil
	}
	return r.cut
}

// Interfaces are those of the section that was read last.
func (r *Reader) Interfaces() []Interface { return r.interfaces }

// errNotPacket says that a block held no packet.
var errNotPacket = errors.New("no packet")

func (r *Reader) broken(format string, a ...any) error {
	r.cut = &CutError{File: r.file, Offset: r.at, Packets: r.packets, Why: fmt.Sprintf(format, a...)}
	return errCut
}

// take reads n bytes into the block behind the first keep of it.
func (r *Reader) take(keep, n int, what string) ([]byte, error) {
	if cap(r.block) < keep+n {
		grown := make([]byte, keep+n)
		copy(grown, r.block[:keep])
		r.block = grown
	}
	r.block = r.block[:keep+n]
	got, err := io.ReadFull(r.in, r.block[keep:])
	r.offset += int64(got)
	switch {
	case err == nil:
		return r.block[keep:], nil
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		if got == 0 && keep == 0 {
			return nil, io.EOF
		}
		return nil, r.broken("the file ends within %s: %d bytes are left of %d", what, got, n)
	}
	return nil, err
}

func (r *Reader) pcapHeader() error {
	b, err := r.take(0, 24, "the file header")
	if err != nil {
		return err
	}
	if major := r.order.Uint16(b[4:]); major != 2 {
		return r.broken("version %d of pcap", major)
	}
	// The high half of the last word says whether frames end in a checksum.
	r.interfaces = []Interface{{Link: linkOf(uint16(r.order.Uint32(b[20:]))), SnapBytes: r.order.Uint32(b[16:])}}
	return nil
}

// nextRecord reads a record of pcap.
func (r *Reader) nextRecord() (Record, error) {
	r.at = r.offset
	b, err := r.take(0, 16, "a record's head")
	if err != nil {
		return Record{}, err
	}
	seconds, fraction, n, original := r.order.Uint32(b), r.order.Uint32(b[4:]), r.order.Uint32(b[8:]), r.order.Uint32(b[12:])
	if n > MaxBlockBytes {
		return Record{}, r.broken("a record of %d bytes: %d are the most", n, MaxBlockBytes)
	}
	unit := time.Microsecond
	if r.nano {
		unit = time.Nanosecond
	}
	data, err := r.take(16, int(n), "a record")
	if err != nil {
		return Record{}, err
	}
	return Record{
		At: time.Duration(seconds)*time.Second + time.Duration(fraction)*unit, Link: r.interfaces[0].Link, Data: data,
		OriginalBytes: max(original, n),
	}, nil
}
