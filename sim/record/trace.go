package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
)

// Trace is a recording as it stands in its file: the header, and the events undecoded.
type Trace struct {
	Name              string            `json:"name"`
	Kernel            string            `json:"kernel"`
	Scheduler         string            `json:"scheduler"`
	SchedulerFlags    []string          `json:"scheduler_flags"`
	Protocol          string            `json:"protocol"`
	Service           string            `json:"service"`
	Mark              uint32            `json:"fwmark"`
	PersistentTimeout int64             `json:"persistent_timeout"`
	Netmask           string            `json:"netmask"`
	OnePacket         bool              `json:"one_packet"`
	Forward           string            `json:"forward"`
	Sysctl            map[string]int64  `json:"sysctl"`
	Note              string            `json:"note"`
	Rules             json.RawMessage   `json:"rules"` // iptables recordings
	Rules6            string            `json:"rules6"`
	Network           *Network          `json:"network"` // in place of the usual one
	Sets              string            `json:"sets"`    // beside rules: for ipset restore
	Addresses         []netip.Prefix    `json:"addresses"`
	Servers           string            `json:"servers"` // commands of ipvsadm
	Events            []json.RawMessage `json:"events"`
	Version           json.RawMessage   `json:"version"`

	// Of iptables recordings alone: frequencies in place of events, and what was found at the end.
	Connections int                 `json:"connections"`
	Counts      map[string]int      `json:"counts"`
	After       map[string][]string `json:"after"`
	ListAfter   []string            `json:"list_after"`
}

// IsIPVS reports whether the recording is of an IPVS service; the others are of iptables rules.
func (t *Trace) IsIPVS() bool { return t.Service != "" }

// maxEvents bounds a recording.
const maxEvents = 1 << 20

// Read decodes a recording. Errors are *EventError; a recording of another version is refused.
func Read(data []byte) (*Trace, error) {
	var t Trace
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&t); err != nil {
		return nil, &EventError{"recording", -1, quote(bytes.TrimSpace(data[:min(len(data), 40)])), fmt.Errorf("%w: %v", ErrNotRecording, err)}
	}
	bad := func(text string, err error) (*Trace, error) { return nil, &EventError{t.Name, -1, text, err} }
	switch {
	case len(t.Version) != 0 && string(t.Version) != "1":
		return bad("version "+quote(t.Version), ErrOtherFormat)
	case t.Name == "" || t.Kernel == "" || t.Events == nil && t.Counts == nil:
		return bad("header", ErrNotRecording)
	case len(t.Events) > maxEvents:
		return bad(strconv.Itoa(len(t.Events))+" events", ErrOtherFormat)
	}
	if d.More() {
		return bad("text after the recording", ErrNotRecording)
	}
	return &t, nil
}

// service returns the configuration of the recorded virtual service.
func (t *Trace) service() (ipvs.ServiceConfig, error) {
	c := ipvs.ServiceConfig{Scheduler: t.Scheduler, OnePacket: t.OnePacket, Persistence: time.Duration(t.PersistentTimeout) * time.Second}
	proto, err := packet.ParseTransport(t.Protocol)
	if err != nil {
		return c, err
	}
	if n, ok := strings.CutPrefix(t.Service, "fwmark:"); ok {
		m, err := strconv.ParseUint(n, 0, 32)
		if err != nil || m == 0 || t.Mark != 0 && uint64(t.Mark) != m {
			return c, fmt.Errorf("service %q, mark %d: %w", t.Service, t.Mark, ErrBadEvent)
		}
		c.Key = ipvs.MarkService(packet.IPv4, uint32(m))
	} else {
		a, err := netip.ParseAddrPort(t.Service)
		if err != nil {
			return c, fmt.Errorf("service %q: %w", t.Service, err)
		}
		c.Key = ipvs.AddressService(proto, a)
	}
	if t.Netmask != "" {
		if c.MaskBits, err = ipvs.ParseNetmask(t.Netmask); err != nil {
			return c, err
		}
	}
	c.Flags, err = ipvs.ParseSchedulerFlags(t.Scheduler, strings.Join(t.SchedulerFlags, ","))
	return c, err
}

// forward returns the recorded forwarding method.
func (t *Trace) forward() (ipvs.Forward, error) {
	switch t.Forward {
	case "masq":
		return ipvs.Masquerade, nil
	case "dr":
		return ipvs.DirectRoute, nil
	case "tunnel":
		return ipvs.Tunnel, nil
	}
	return 0, fmt.Errorf("forward %q: %w", t.Forward, ErrBadEvent)
}

// rules returns the text that was given to iptables-restore.
func (t *Trace) rules() (string, error) {
	var text string
	if err := json.Unmarshal(t.Rules, &text); err != nil {
		return "", fmt.Errorf("rules: %w: a text is expected", ErrOtherFormat)
	}
	return text + "\n", nil
}
