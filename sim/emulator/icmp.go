package emulator

import (
	"encoding/binary"
	"net/netip"
)

// addressesOf reads source and destination of an IP packet, and its family; ok is false for what is none.
func addressesOf(b []byte) (src, dst netip.Addr, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), true
	case len(b) >= 40 && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return netip.Addr{}, netip.Addr{}, false
}

// prohibited is the answer to a packet whose destination is out of bounds: destination unreachable, communication administratively
// prohibited (RFC 1812, section 5.2.7.1; RFC 4443, section 3.1). It is nil for ICMP errors, which are not answered (RFC 1122,
// section 3.2.2), later fragments and groups.
func prohibited(b []byte, from netip.Addr) []byte {
	src, dst, ok := addressesOf(b)
	if !ok || !from.IsValid() || dst.IsMulticast() || src.IsUnspecified() || from.Is4() != src.Is4() {
		return nil
	}
	if src.Is4() {
		const quote = 8 // bytes behind the header
		head := int(b[0]&0xf) * 4
		if head < 20 || head > len(b) || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 || b[9] == 1 && len(b) > head && b[head] != 8 {
			return nil
		}
		quoted := b[:min(len(b), head+quote)]
		out := make([]byte, 28, 28+len(quoted))
		out[0], out[8], out[9] = 0x45, 64, 1
		binary.BigEndian.PutUint16(out[2:], uint16(28+len(quoted)))
		copy(out[12:], from.AsSlice())
		copy(out[16:], src.AsSlice())
		binary.BigEndian.PutUint16(out[10:], ^checksum(0, out[:20]))
		out[20], out[21] = 3, 13
		out = append(out, quoted...)
		binary.BigEndian.PutUint16(out[22:], ^checksum(0, out[20:]))
		return out
	}
	if b[6] == 58 && (len(b) < 41 || b[40] < 128) {
		return nil
	}
	const most = 1280 - 48 // an error fits the least MTU (RFC 4443, section 2.4)
	quoted := b[:min(len(b), most)]
	out := make([]byte, 48, 48+len(quoted))
	out[0], out[6], out[7] = 0x60, 58, 64
	binary.BigEndian.PutUint16(out[4:], uint16(8+len(quoted)))
	copy(out[8:], from.AsSlice())
	copy(out[24:], src.AsSlice())
	out[40], out[41] = 1, 1
	out = append(out, quoted...)
	sum := uint32(8+len(quoted)) + 58 // the pseudo-header (RFC 8200, section 8.1)
	binary.BigEndian.PutUint16(out[42:], ^checksum(uint32(checksum(sum, out[8:40])), out[40:]))
	return out
}

// checksum is the sum of RFC 1071, not yet complemented.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
