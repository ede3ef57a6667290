package ipvs

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// CommandOp is what a command of ipvsadm does.
type CommandOp uint8

// The commands. The zero value is invalid.
const (
	ServiceAdd CommandOp = iota + 1
	ServiceEdit
	ServiceDelete
	ServerAdd
	ServerEdit
	ServerDelete
	Clear
)

var commandOptions = [...]string{ServiceAdd: "-A", ServiceEdit: "-E", ServiceDelete: "-D", ServerAdd: "-a", ServerEdit: "-e",
	ServerDelete: "-d", Clear: "-C"}

// Command is one command line of ipvsadm, as ipvsadm -S prints them and ipvsadm -R takes them.
type Command struct {
	Op      CommandOp
	Service ServiceConfig     // for servers and deletions only the Key counts
	Server  DestinationConfig // for ServerDelete only the Addr counts
}

// String spells the command as ipvsadm -S -n does, with the thresholds that ipvsadm -S leaves out.
func (c Command) String() string {
	s := c.save()
	if (c.Op == ServerAdd || c.Op == ServerEdit) && (c.Server.Upper != 0 || c.Server.Lower != 0) {
		s += " -x " + strconv.FormatUint(uint64(c.Server.Upper), 10) + " -y " + strconv.FormatUint(uint64(c.Server.Lower), 10)
	}
	return s
}

// save is a line of ipvsadm -S -n (ipvsadm 1.31, print_service_entry).
func (c Command) save() string {
	var b strings.Builder
	if int(c.Op) >= len(commandOptions) || c.Op == 0 {
		return "?"
	}
	b.WriteString(commandOptions[c.Op])
	if c.Op == Clear {
		return b.String()
	}
	b.WriteString(" " + c.Service.Key.String())
	switch c.Op {
	case ServiceAdd, ServiceEdit:
		s := c.Service.withDefaults()
		b.WriteString(" -s " + s.Scheduler)
		if s.Persistence != 0 {
			b.WriteString(" -p " + strconv.FormatInt(int64(s.Persistence/time.Second), 10))
			if s.MaskBits != 0 {
				b.WriteString(" -M " + formatMask(s.Key, s.MaskBits))
			}
		}
		if s.OnePacket {
			b.WriteString(" -o")
		}
		if s.Flags != 0 {
			b.WriteString(" -b " + s.Flags.Names(s.Scheduler))
		}
	case ServerAdd, ServerEdit:
		b.WriteString(" -r " + c.Server.Addr.String())
		switch c.Server.Forward {
		case Masquerade:
			b.WriteString(" -m")
		case Tunnel:
			b.WriteString(" -i")
		default:
			b.WriteString(" -g")
		}
		b.WriteString(" -w " + strconv.Itoa(c.Server.Weight))
		if c.Server.Forward == Tunnel {
			b.WriteString(" --tun-type ipip")
		}
	case ServerDelete:
		b.WriteString(" -r " + c.Server.Addr.String())
	}
	return b.String()
}

// Run carries out a command.
func (t *Table) Run(c Command) error {
	switch c.Op {
	case ServiceAdd:
		return t.AddService(c.Service)
	case ServiceEdit:
		return t.EditService(c.Service)
	case ServiceDelete:
		return t.DeleteService(c.Service.Key)
	case ServerAdd:
		return t.AddDestination(c.Service.Key, c.Server)
	case ServerEdit:
		return t.EditDestination(c.Service.Key, c.Server)
	case ServerDelete:
		return t.DeleteDestination(c.Service.Key, c.Server.Addr)
	case Clear:
		t.Flush()
		return nil
	}
	return &OpError{"run", c.String(), ErrBadValue}
}

// Load makes a table by commands; when one fails there is none.
func Load(s Sysctls, commands []Command) (*Table, error) {
	t := NewTable(s)
	for _, c := range commands {
		if err := t.Run(c); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// PrintSave prints commands one a line, as ipvsadm -S -n does: without thresholds.
func PrintSave(commands []Command) string {
	var b strings.Builder
	for _, c := range commands {
		b.WriteString(c.save())
		b.WriteByte('\n')
	}
	return b.String()
}

// Save returns what ipvsadm -S -n prints: services and servers sorted by ipvsadm, thresholds left out. Servers restored from
// it stand in the opposite of the sorted order, whatever their order was.
func (t *Table) Save() []Command {
	var out []Command
	for _, s := range sortServices(t.list) {
		out = append(out, Command{Op: ServiceAdd, Service: s.ServiceConfig})
		for _, d := range sortServers(s.Destinations()) {
			out = append(out, Command{Op: ServerAdd, Service: ServiceConfig{Key: s.Key}, Server: d.DestinationConfig})
		}
	}
	return out
}

// Commands returns what makes a table of the same services with the servers in the same order.
func (t *Table) Commands() []Command {
	var out []Command
	for _, s := range t.list {
		out = append(out, Command{Op: ServiceAdd, Service: s.ServiceConfig})
		ds := s.Destinations()
		for i := len(ds) - 1; i >= 0; i-- {
			out = append(out, Command{Op: ServerAdd, Service: ServiceConfig{Key: s.Key}, Server: ds[i].DestinationConfig})
		}
	}
	return out
}

// sortServices puts services in the order of ipvsadm (libipvs, ipvs_cmp_services): by mark, family, protocol, address, port.
// It subtracts addresses as 32-bit integers and looks at the sign, so 192.168.0.1 comes before 10.0.0.1, and some addresses
// go in a circle; where they do, the result depends on the merge sort of the C library, which is used here too.
func sortServices(list []*Service) []*Service {
	return mergeSort(list, func(a, b *Service) int {
		x, y := a.Key, b.Key
		return firstNonZero(
			int32(x.Mark-y.Mark),
			int32(x.Family)-int32(y.Family),
			int32(x.Proto)-int32(y.Proto),
			wrappedCompare(x.Addr.Addr(), y.Addr.Addr()),
			int32(x.Addr.Port())-int32(y.Addr.Port()))
	})
}

// sortServers is ipvs_cmp_dests.
func sortServers(list []*Destination) []*Destination {
	return mergeSort(list, func(a, b *Destination) int {
		return firstNonZero(wrappedCompare(a.Addr.Addr(), b.Addr.Addr()), int32(a.Addr.Port())-int32(b.Addr.Port()))
	})
}

func firstNonZero(v ...int32) int {
	for _, x := range v {
		if x != 0 {
			return int(x)
		}
	}
	return 0
}

// wrappedCompare subtracts addresses word by word and keeps the low 32 bits of the difference.
func wrappedCompare(a, b netip.Addr) int32 {
	if !a.IsValid() || !b.IsValid() {
		return 0
	}
	x, y := words(a), words(b)
	for i := range x {
		if i > 0 && (a.Is4() || b.Is4()) {
			return 0
		}
		if d := int32(x[i] - y[i]); d != 0 {
			return d
		}
	}
	return 0
}

func words(a netip.Addr) (w [4]uint32) {
	if a.Is4() {
		w[0] = fold(a)
		return w
	}
	b := a.As16()
	for i, c := range b {
		w[i/4] = w[i/4]<<8 | uint32(c)
	}
	return w
}

// mergeSort is the sort of glibc's qsort up to 2.36: halves, the first the smaller; equal elements keep their order.
func mergeSort[T any](list []T, compare func(a, b T) int) []T {
	if len(list) <= 1 {
		return append([]T(nil), list...)
	}
	a, b := mergeSort(list[:len(list)/2], compare), mergeSort(list[len(list)/2:], compare)
	out := make([]T, 0, len(list))
	for len(a) > 0 && len(b) > 0 {
		if compare(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
