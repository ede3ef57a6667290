package ipset

import "slices"

// part is a kind of thing that an entry has in one place.
type part uint8

const (
	partIP part = iota
	partNet
	partPort
	partIface
	partMark
	partMAC
)

// Type is a set type, method:datatype.
type Type string

// The types kube-proxy and network plugins use most.
const (
	HashIP        Type = "hash:ip"
	HashNet       Type = "hash:net"
	HashIPPort    Type = "hash:ip,port"
	HashIPPortIP  Type = "hash:ip,port,ip"
	HashIPPortNet Type = "hash:ip,port,net"
	BitmapPort    Type = "bitmap:port"
	ListSet       Type = "list:set"
)

// typeParts lists what entries of each type consist of.
var typeParts = map[Type][]part{
	HashIP: {partIP}, HashNet: {partNet}, HashIPPort: {partIP, partPort}, HashIPPortIP: {partIP, partPort, partIP},
	HashIPPortNet: {partIP, partPort, partNet}, "hash:net,port": {partNet, partPort}, "hash:net,net": {partNet, partNet},
	"hash:net,port,net": {partNet, partPort, partNet}, "hash:net,iface": {partNet, partIface},
	"hash:ip,mark": {partIP, partMark}, "hash:ip,mac": {partIP, partMAC}, "hash:mac": {partMAC},
	BitmapPort: {partPort}, "bitmap:ip": {partIP}, ListSet: {},
}

func (t Type) isHash() bool   { return len(t) > 5 && t[:5] == "hash:" }
func (t Type) isBitmap() bool { return len(t) > 7 && t[:7] == "bitmap:" }

// hasNet reports whether entries contain networks.
func (t Type) hasNet() bool { return slices.Contains(typeParts[t], partNet) }

// isFamily reports whether sets of the type are of one address family.
func (t Type) isFamily() bool { return t.isHash() && t != "hash:mac" }
