package emulator

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// ControlPaths are the requests that Control answers, with what they do; GET shows, POST changes. Answers are text; status and shares
// are JSON with ?output=json. Bad input is answered 400.
var ControlPaths = map[string]string{
	"GET /status":    "the emulator at a glance",
	"GET /rules":     "iptables-save -c of the local node; ?family=ipv6, ?node=",
	"GET /ipvs":      "ipvsadm -L -n --stats; ?view=servers, rate, thresholds, persistent or conns, ?node=",
	"GET /conntrack": "conntrack -L; ?node=",
	"GET /shares":    "what endpoints got so far, beside their exact shares",
	"GET /follow":    "every packet from now on, a line each; ?steps=1 for their rules",
	"POST /endpoint": "?verb=add, remove, ready, unready or terminate, ?address=, ?service=NS/NAME, ?node=",
	"POST /mode":     "?mode=iptables or ipvs, ?cleanup=1",
	"POST /stop":     "end",
}

// ServeControl answers on a listener until the emulator closes; stop is called when a client asks for the end. The protocol is
// HTTP/1.1, so that curl --unix-socket speaks it.
func (e *Emulator) ServeControl(l net.Listener, stop func()) error {
	mux := http.NewServeMux()
	text := func(pattern string, do func(r *http.Request) (string, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s, err := do(r)
			if err != nil {
				controlError(w, err)
				return
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, s) // an error means that the client has gone
		})
	}
	text("GET /status", func(r *http.Request) (string, error) {
		s := e.Status()
		return textOr(r, s, s.String)
	})
	text("GET /shares", func(r *http.Request) (string, error) {
		s, err := e.Shares()
		if err != nil {
			return "", err
		}
		return textOr(r, map[string]any{"schemaVersion": "svclab/v1alpha1", "kind": "EmulatorShares", "fronts": s}, func() string { return SharesText(s) })
	})
	text("GET /rules", func(r *http.Request) (string, error) {
		switch f := r.FormValue("family"); f {
		case "", "ipv4":
			return e.Rules(r.FormValue("node"), packet.IPv4)
		case "ipv6":
			return e.Rules(r.FormValue("node"), packet.IPv6)
		default:
			return "", &InputError{What: "family", Text: f, Why: "is not ipv4 or ipv6"}
		}
	})
	text("GET /ipvs", func(r *http.Request) (string, error) {
		views := map[string]ipvs.ListFormat{
			"": ipvs.ListStats, "stats": ipvs.ListStats, "servers": ipvs.ListServers, "rate": ipvs.ListRate,
			"thresholds": ipvs.ListThresholds, "persistent": ipvs.ListPersistence, "conns": ipvs.ListConns,
		}
		v, ok := views[r.FormValue("view")]
		if !ok {
			return "", &InputError{What: "view", Text: r.FormValue("view"), Why: "is not stats, servers, rate, thresholds, persistent or conns"}
		}
		return e.IPVS(r.FormValue("node"), v)
	})
	text("GET /conntrack", func(r *http.Request) (string, error) { return e.Conntrack(r.FormValue("node")) })
	text("POST /endpoint", func(r *http.Request) (string, error) {
		c, err := changeOf(r)
		if err != nil {
			return "", err
		}
		said, err := e.ChangeEndpoint(c)
		return said + "\n", err
	})
	text("POST /mode", func(r *http.Request) (string, error) {
		m := service.Mode(r.FormValue("mode"))
		if m != service.ModeIPTables && m != service.ModeIPVS {
			return "", &InputError{What: "mode", Text: string(m), Why: "is not walked: iptables and ipvs are"}
		}
		log, err := e.SwitchMode(m, r.FormValue("cleanup") == "1")
		return strings.Join(log, "\n") + "\n", err
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		const said = "ending\n"
		w.Header().Set("Content-Length", strconv.Itoa(len(said)))
		_, _ = io.WriteString(w, said)
		_ = http.NewResponseController(w).Flush() // the answer is whole before the end begins
		stop()
	})
	mux.HandleFunc("GET /follow", e.follow)
	s := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // ends when the server is closed
	}()
	e.onClose(func() { s.Close(); <-served })
	return nil
}

// textOr is a value as JSON where the client asked for that, else as text.
func textOr(r *http.Request, v any, text func() string) (string, error) {
	switch o := r.FormValue("output"); o {
	case "", "text":
		return text(), nil
	case "json":
		b, err := json.MarshalIndent(v, "", "  ")
		return string(b) + "\n", err
	default:
		return "", &InputError{What: "output", Text: o, Why: "is not text or json"}
	}
}

func changeOf(r *http.Request) (c EndpointChange, err error) {
	c.Verb, c.Node = Verb(r.FormValue("verb")), r.FormValue("node")
	if a := r.FormValue("address"); a != "" {
		if c.Endpoint, err = netip.ParseAddr(a); err != nil {
			return c, &InputError{What: "endpoint", Text: a, Why: "is not an IP address"}
		}
	} else if c.Verb != Add {
		return c, &InputError{What: string(c.Verb), Why: "which endpoint? name its address"}
	}
	if s := r.FormValue("service"); s != "" {
		ns, name, ok := strings.Cut(s, "/")
		if !ok || ns == "" || name == "" || strings.Contains(name, "/") {
			return c, &InputError{What: "Service", Text: s, Why: "is not NS/NAME"}
		}
		c.Service = service.Name{Namespace: ns, Name: name}
	}
	return c, nil
}

func controlError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if errors.Is(err, ErrClosed) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), status)
}

// follow streams packets until the client or the emulator goes.
func (e *Emulator) follow(w http.ResponseWriter, r *http.Request) {
	f := e.Follow(r.FormValue("steps") == "1")
	defer f.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	flush := http.NewResponseController(w)
	_ = flush.Flush() // the client learns that it follows
	for {
		select {
		case line, ok := <-f.Lines:
			if !ok {
				return
			}
			if _, err := io.WriteString(w, line); err != nil {
				return
			}
			if len(f.Lines) == 0 {
				if err := flush.Flush(); err != nil {
					return
				}
			}
		case <-r.Context().Done():
			return
		}
	}
}
