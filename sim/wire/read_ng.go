package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"time"
)

// body reads the rest of a block, the first keep bytes of which are in hand, and returns it between its two lengths.
func (r *Reader) body(keep int, length uint32) ([]byte, error) {
	switch {
	case length > MaxBlockBytes:
		return nil, r.broken("a block of %d bytes: %d are the most", length, MaxBlockBytes)
	case length%4 != 0 || int(length) < keep+4:
		return nil, r.broken("a block of %d bytes", length)
	}
	if _, err := r.take(keep, int(length)-keep, "a block"); err != nil {
		return nil, err
	}
	if again := r.order.Uint32(r.block[length-4:]); again != length {
		return nil, r.broken("a block of %d bytes that ends as one of %d", length, again)
	}
	return r.block[8 : length-4], nil
}

// section reads a section header, which may turn the byte order; what was known of interfaces ends with it.
func (r *Reader) section() error {
	r.at = r.offset
	b, err := r.take(0, 12, "a section header")
	if err != nil {
		return err
	}
	return r.sectionFrom(b)
}

func (r *Reader) sectionFrom(b []byte) error {
	switch byteOrderMagic {
	case int(binary.LittleEndian.Uint32(b[8:])):
		r.order = binary.LittleEndian
	case int(binary.BigEndian.Uint32(b[8:])):
		r.order = binary.BigEndian
	default:
		return r.broken("a section of byte order 0x%x", b[8:12])
	}
	body, err := r.body(12, r.order.Uint32(b[4:]))
	if err != nil {
		return err
	}
	if len(body) < 16 {
		return r.broken("a section header of %d bytes", len(body)+12)
	}
	if major := r.order.Uint16(body[4:]); major != 1 {
		return r.broken("version %d of pcapng", major)
	}
	r.interfaces = nil
	return nil
}

// nextBlock reads a block of pcapng; one without a packet is errNotPacket.
func (r *Reader) nextBlock() (Record, error) {
	r.at = r.offset
	b, err := r.take(0, 8, "a block's head")
	if err != nil {
		return Record{}, err
	}
	kind, length := r.order.Uint32(b), r.order.Uint32(b[4:])
	if kind == blockSection {
		if _, err := r.take(8, 4, "a section header"); err != nil {
			return Record{}, err
		}
		if err := r.sectionFrom(r.block); err != nil {
			return Record{}, err
		}
		return Record{}, errNotPacket
	}
	body, err := r.body(8, length)
	if err != nil {
		return Record{}, err
	}
	switch kind {
	case blockInterface:
		if err := r.describe(body); err != nil {
			return Record{}, err
		}
	case blockEnhanced:
		return r.packet(body, 20, "an enhanced packet")
	case blockPacket:
		return r.packet(body, 20, "a packet")
	case blockSimple:
		return r.simple(body)
	}
	return Record{}, errNotPacket // names, statistics, secrets and what others invented
}

// describe reads an interface description.
func (r *Reader) describe(b []byte) error {
	if len(b) < 8 {
		return r.broken("an interface description of %d bytes", len(b)+12)
	}
	if len(r.interfaces) >= MaxInterfaces {
		return r.broken("more than %d interfaces", MaxInterfaces)
	}
	i := Interface{Link: linkOf(r.order.Uint16(b)), SnapBytes: r.order.Uint32(b[4:]), perSecond: 1e6}
	err := r.options(b[8:], func(code uint16, v []byte) error {
		switch {
		case code == optName:
			i.Name = text(v)
		case code == optDescription:
			i.Description = text(v)
		case code == optResolution && len(v) == 1:
			return r.resolution(&i, v[0])
		case code == optOffset && len(v) == 8:
			i.offset = int64(r.order.Uint64(v))
		}
		return nil
	})
	r.interfaces = append(r.interfaces, i)
	return err
}

// maxShift is the finest resolution in powers of two: 2^-30 s is about a nanosecond.
const maxShift = 30

// resolution reads if_tsresol: a power of ten, or of two with the high bit set.
func (r *Reader) resolution(i *Interface, v byte) error {
	if v&0x80 != 0 {
		if i.shift, i.perSecond = v&0x7f, 0; i.shift > maxShift {
			return r.broken("times in units of 2^-%d s: 2^-%d are the finest", i.shift, maxShift)
		}
		return nil
	}
	if v > 9 {
		return r.broken("times in units of 10^-%d s: 10^-9 are the finest", v)
	}
	i.perSecond = 1
	for range v {
		i.perSecond *= 10
	}
	return nil
}

// text bounds what is kept of a name and takes the zeros off that some writers end it with.
func text(v []byte) string {
	const most = 256
	return strings.ToValidUTF8(strings.TrimRight(string(v[:min(len(v), most)]), "\x00"), "?")
}

// options walks the options at the end of a block.
func (r *Reader) options(b []byte, each func(code uint16, v []byte) error) error {
	for len(b) >= 4 {
		code, n := r.order.Uint16(b), int(r.order.Uint16(b[2:]))
		if code == optEnd {
			return nil
		}
		padded := (n + 3) &^ 3
		if padded > len(b)-4 {
			return r.broken("an option of %d bytes, where %d are left", n, len(b)-4)
		}
		if err := each(code, b[4:4+n]); err != nil {
			return err
		}
		b = b[4+padded:]
	}
	return nil
}

// packet reads an enhanced packet block, or an obsolete packet block, whose head differs in the first word alone.
func (r *Reader) packet(b []byte, head int, what string) (Record, error) {
	if len(b) < head {
		return Record{}, r.broken("%s of %d bytes", what, len(b)+12)
	}
	index := r.order.Uint32(b)
	if what == "a packet" {
		index = uint32(r.order.Uint16(b))
	}
	if int64(index) >= int64(len(r.interfaces)) {
		return Record{}, r.broken("a packet of interface %d, of which there are %d", index, len(r.interfaces))
	}
	i := &r.interfaces[index]
	n := r.order.Uint32(b[12:])
	if int64(n) > int64(len(b)-head) {
		return Record{}, r.broken("a packet of %d bytes in a block with room for %d", n, len(b)-head)
	}
	at, ok := i.time(uint64(r.order.Uint32(b[4:]))<<32 | uint64(r.order.Uint32(b[8:])))
	if !ok {
		return Record{}, r.broken("a time that no clock shows")
	}
	rec := Record{
		At: at, Interface: int(index), Name: i.Name, Link: i.Link, Data: b[head : head+int(n)], OriginalBytes: max(n, r.order.Uint32(b[16:])),
	}
	rest := b[min(len(b), head+(int(n)+3)&^3):]
	return rec, r.options(rest, func(code uint16, v []byte) error {
		switch {
		case code == optComment && rec.Comment == "":
			rec.Comment = strings.ToValidUTF8(string(v), "?")
		case code == optFlags && len(v) == 4:
			rec.Direction = Direction(r.order.Uint32(v)&3) % 3
		case code == optPacketID && len(v) == 8:
			rec.ID = r.order.Uint64(v)
		}
		return nil
	})
}

// simple reads a simple packet block: of the first interface, without a time.
func (r *Reader) simple(b []byte) (Record, error) {
	if len(b) < 4 {
		return Record{}, r.broken("a simple packet of %d bytes", len(b)+12)
	}
	if len(r.interfaces) == 0 {
		return Record{}, r.broken("a packet of interface 0, of which there are 0")
	}
	i, original := &r.interfaces[0], r.order.Uint32(b)
	n := min(int64(original), int64(len(b)-4))
	if i.SnapBytes > 0 {
		n = min(n, int64(i.SnapBytes))
	}
	return Record{Name: i.Name, Link: i.Link, Data: b[4 : 4+n], OriginalBytes: original}, nil
}

// time turns units of an interface's clock into a duration; false beyond what one holds, some 292 years.
func (i *Interface) time(units uint64) (time.Duration, bool) {
	const second = uint64(time.Second)
	var seconds, ns uint64
	if i.perSecond > 0 {
		seconds, ns = units/i.perSecond, units%i.perSecond*(second/i.perSecond)
	} else {
		seconds = units >> i.shift
		hi, lo := bits.Mul64(units&(1<<i.shift-1), second)
		ns = lo>>i.shift | hi<<(64-i.shift)
	}
	if seconds > math.MaxInt64/second {
		return 0, false
	}
	s := int64(seconds)
	if i.offset > math.MaxInt32*4 || i.offset < -math.MaxInt32*4 {
		return 0, false
	}
	s += i.offset
	if s < 0 || uint64(s) > math.MaxInt64/second-1 {
		return 0, false
	}
	return time.Duration(s)*time.Second + time.Duration(ns), true
}
