package ipvs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Limits on texts.
const (
	maxTextBytes = 64 << 20
	maxLine      = 4096 // bytes
)

// defaultPersistence is what -p without a number means to ipvsadm.
const defaultPersistence = 360 * time.Second

// ParseSave reads what ipvsadm -S -n prints and ipvsadm -R takes: one command a line, blank lines and lines that begin with #
// left out. Errors are *ParseError with the line; nothing is returned beside one.
func ParseSave(file, text string) ([]Command, error) {
	var out []Command
	err := eachLine(file, text, func(line string) error {
		if line == "" || line[0] == '#' {
			return nil
		}
		c, err := ParseCommand(line)
		if err != nil {
			return err
		}
		out = append(out, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// eachLine calls f with each line, without the white space around it, and gives its errors their place.
func eachLine(file, text string, f func(line string) error) error {
	if len(text) > maxTextBytes {
		return &ParseError{file, 1, quote(text[:maxQuote]), fmt.Errorf("%w: more than %d bytes", ErrUnexpectedText, maxTextBytes)}
	}
	for n := 1; text != ""; n++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if len(line) > maxLine {
			return &ParseError{file, n, quote(line), fmt.Errorf("%w: a line of %d bytes", ErrUnexpectedText, len(line))}
		}
		line = strings.TrimSpace(line)
		if err := f(line); err != nil {
			return &ParseError{file, n, quote(line), err}
		}
	}
	return nil
}

// commandLine is a command being read.
type commandLine struct {
	words      []string
	cmd        Command
	forwardSet bool
	server     string
	flags      string
	haveKey    bool
	v6         bool
}

// ParseCommand reads the options of one call of ipvsadm, with or without "ipvsadm" in front.
func ParseCommand(line string) (Command, error) {
	l := commandLine{words: strings.Fields(line)}
	l.cmd.Server.Weight = 1
	if len(l.words) > 0 && (l.words[0] == "ipvsadm" || strings.HasSuffix(l.words[0], "/ipvsadm")) {
		l.words = l.words[1:]
	}
	for len(l.words) > 0 {
		if err := l.option(); err != nil {
			return Command{}, err
		}
	}
	if err := l.finish(); err != nil {
		return Command{}, err
	}
	return l.cmd, nil
}

func (l *commandLine) value(option string) (string, error) {
	if len(l.words) == 0 {
		return "", fmt.Errorf("%w: %s needs a value", ErrBadValue, option)
	}
	v := l.words[0]
	l.words = l.words[1:]
	return v, nil
}

func (l *commandLine) number(option string, lowest, highest int64) (int64, error) {
	v, err := l.value(option)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if option == "-w" && err == nil && n < 0 {
		return 0, fmt.Errorf("%w: -w %s", ErrNegativeWeight, v)
	}
	if err != nil || n < lowest || n > highest {
		return 0, fmt.Errorf("%w: %s %q, %d to %d are possible", ErrBadValue, option, quote(v), lowest, highest)
	}
	return n, nil
}

func (l *commandLine) setOp(op CommandOp) error {
	if l.cmd.Op != 0 {
		return fmt.Errorf("%w: two commands", ErrUnexpectedText)
	}
	l.cmd.Op = op
	return nil
}

func (l *commandLine) setForward(f Forward) error {
	if l.forwardSet {
		return fmt.Errorf("%w: two forwarding methods", ErrUnexpectedText)
	}
	l.forwardSet, l.cmd.Server.Forward = true, f
	return nil
}

// option reads one option and its value.
func (l *commandLine) option() (err error) {
	o := l.words[0]
	l.words = l.words[1:]
	if name, v, ok := strings.Cut(o, "="); ok && strings.HasPrefix(o, "--") {
		o, l.words = name, append([]string{v}, l.words...)
	}
	c := &l.cmd
	switch o {
	case "-A", "--add-service":
		return l.setOp(ServiceAdd)
	case "-E", "--edit-service":
		return l.setOp(ServiceEdit)
	case "-D", "--delete-service":
		return l.setOp(ServiceDelete)
	case "-a", "--add-server":
		return l.setOp(ServerAdd)
	case "-e", "--edit-server":
		return l.setOp(ServerEdit)
	case "-d", "--delete-server":
		return l.setOp(ServerDelete)
	case "-C", "--clear":
		return l.setOp(Clear)
	case "-t", "--tcp-service":
		return l.key(o, packet.TCP)
	case "-u", "--udp-service":
		return l.key(o, packet.UDP)
	case "--sctp-service":
		return l.key(o, packet.SCTP)
	case "-f", "--fwmark-service":
		n, err := l.number(o, -1<<31, 1<<32-1)
		if err == nil && (n == 0 || l.haveKey) {
			err = fmt.Errorf("%w: mark %d, or two services", ErrBadValue, n)
		}
		c.Service.Key, l.haveKey = MarkService(packet.IPv4, uint32(n)), true
		return err
	case "-6", "--ipv6":
		l.v6 = true
	case "-s", "--scheduler":
		c.Service.Scheduler, err = l.value(o)
		if err == nil && schedulers[c.Service.Scheduler] == nil {
			err = &SchedulerError{c.Service.Scheduler}
		}
	case "-p", "--persistent":
		c.Service.Persistence = defaultPersistence
		if len(l.words) > 0 && !strings.HasPrefix(l.words[0], "-") {
			n, err := l.number(o, 1, 31*24*3600)
			c.Service.Persistence = time.Duration(n) * time.Second
			return err
		}
	case "-M", "--netmask":
		v, err := l.value(o)
		if err != nil {
			return err
		}
		c.Service.MaskBits, err = ParseNetmask(v)
		return err
	case "-o", "--ops":
		c.Service.OnePacket = true
	case "-b", "--sched-flags":
		l.flags, err = l.value(o)
	case "-r", "--real-server":
		l.server, err = l.value(o)
	case "-m", "--masquerading":
		return l.setForward(Masquerade)
	case "-g", "--gatewaying":
		return l.setForward(DirectRoute)
	case "-i", "--ipip":
		return l.setForward(Tunnel)
	case "-w", "--weight":
		n, err := l.number("-w", 0, 65535)
		c.Server.Weight = int(n)
		return err
	case "-x", "--u-threshold":
		n, err := l.number(o, 0, 1<<31-1)
		c.Server.Upper = uint32(n)
		return err
	case "-y", "--l-threshold":
		n, err := l.number(o, 0, 1<<31-1)
		c.Server.Lower = uint32(n)
		return err
	case "--tun-type":
		v, err := l.value(o)
		if err == nil && v != "ipip" {
			err = fmt.Errorf("%w: tunnel type %q", ErrNotModelled, quote(v))
		}
		return err
	case "--pe":
		return fmt.Errorf("%w: persistence engines", ErrNotModelled)
	default:
		return fmt.Errorf("%w: option %q", ErrUnexpectedText, quote(o))
	}
	return err
}

func (l *commandLine) key(option string, proto packet.Protocol) error {
	v, err := l.value(option)
	if err != nil {
		return err
	}
	if l.haveKey {
		return fmt.Errorf("%w: two services", ErrUnexpectedText)
	}
	a, err := parseAddrPort(v)
	l.cmd.Service.Key, l.haveKey = AddressService(proto, a), true
	return err
}

// parseAddrPort reads "10.0.0.1:80" or "[fd00::1]:80". What could be a name gets an error that explains -n.
func parseAddrPort(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err == nil {
		if a.Addr().Zone() != "" || a.Addr().Is4In6() {
			return a, fmt.Errorf("%w: %q", ErrBadAddress, quote(s))
		}
		return a, nil
	}
	if looksLikeName(s) {
		return a, fmt.Errorf("%w: %q", ErrNames, quote(s))
	}
	return a, fmt.Errorf("%w: %q", ErrBadAddress, quote(s))
}

// looksLikeName reports whether an address or its port is spelt with letters, or the port is missing.
func looksLikeName(s string) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
	}
	letters := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
	}
	if host != "" && host[0] == '[' {
		return letters(port)
	}
	return letters(host) && !strings.Contains(host, ":") || letters(port) || port == "" && host != ""
}

// finish checks that the options belong together and fills in what ipvsadm fills in.
func (l *commandLine) finish() error {
	c := &l.cmd
	k := &c.Service.Key
	switch {
	case c.Op == 0:
		return fmt.Errorf("%w: no command: one of -A -E -D -a -e -d -C is expected", ErrUnexpectedText)
	case c.Op == Clear:
		c.Server.Weight = 0
		if *c != (Command{Op: Clear}) {
			return fmt.Errorf("%w: -C takes no options", ErrUnexpectedText)
		}
		return nil
	case !l.haveKey:
		return fmt.Errorf("%w: no service: one of -t -u --sctp-service -f is expected", ErrNoService)
	}
	if l.v6 {
		if k.Mark == 0 && k.Family != packet.IPv6 {
			return fmt.Errorf("%w: -6 with an IPv4 address", ErrMixedFamilies)
		}
		k.Family = packet.IPv6
	}
	server := c.Op == ServerAdd || c.Op == ServerEdit || c.Op == ServerDelete
	if server != (l.server != "") {
		return fmt.Errorf("%w: -r belongs to -a, -e and -d, and they need it", ErrUnexpectedText)
	}
	if !server {
		return l.finishService()
	}
	s := c.Service
	s.Key = ServiceKey{}
	if s != (ServiceConfig{}) || l.flags != "" {
		return fmt.Errorf("%w: a service's option with a server", ErrUnexpectedText)
	}
	return l.finishServer()
}

func (l *commandLine) finishService() error {
	c := &l.cmd
	if l.forwardSet || c.Server != (DestinationConfig{Weight: 1}) {
		return fmt.Errorf("%w: a server's option with a service", ErrUnexpectedText)
	}
	c.Server = DestinationConfig{}
	if c.Op == ServiceDelete {
		if c.Service != (ServiceConfig{Key: c.Service.Key}) || l.flags != "" {
			return fmt.Errorf("%w: -D takes a service only", ErrUnexpectedText)
		}
		return nil
	}
	if c.Service.MaskBits != 0 && c.Service.Persistence == 0 {
		return fmt.Errorf("%w: -M without -p", ErrBadNetmask)
	}
	c.Service = c.Service.withDefaults()
	var err error
	if c.Service.Flags, err = ParseSchedulerFlags(c.Service.Scheduler, l.flags); err != nil {
		return err
	}
	k := c.Service.Key
	switch {
	case k.Mark == 0 && k.Addr.Port() == 0 && c.Service.Persistence == 0:
		return ErrZeroPort
	case c.Service.OnePacket && k.Mark == 0 && k.Proto != packet.UDP:
		return ErrOnePacket
	}
	return checkService(c.Service)
}

func (l *commandLine) finishServer() error {
	c := &l.cmd
	k := c.Service.Key
	var err error
	if c.Server.Addr, err = parseAddrPort(l.server); err != nil {
		a, bare := netip.ParseAddr(strings.Trim(l.server, "[]"))
		if bare != nil || a.Zone() != "" {
			return err
		}
		c.Server.Addr = netip.AddrPortFrom(a, k.Addr.Port())
	}
	if c.Op == ServerDelete {
		c.Server = DestinationConfig{Addr: c.Server.Addr}
		return nil
	}
	if !l.forwardSet {
		c.Server.Forward = DirectRoute
	}
	if c.Server.Forward != Masquerade && k.Mark == 0 {
		// Only masquerading can change the port; ipvsadm takes the service's without a word.
		c.Server.Addr = withPort(c.Server.Addr, k.Addr.Port())
	}
	return checkDestination(k, c.Server)
}
