package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) ctlCommand() *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "ctl VERB",
		Short: "Look into a running svclab up, and change it",
		Long: "ctl speaks with a running svclab up over a socket that is this user's alone. With several running, --socket says which\n" +
			"(in a shell of up --shell: its own).",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&socket, "socket", "", "socket of the svclab up that is meant")
	call := func(c *cobra.Command, method, path string, q url.Values) error {
		return a.control(c.Context(), socket, method, path, q)
	}
	show := func(name, short string, flags func(*cobra.Command, url.Values) func()) *cobra.Command {
		q := url.Values{}
		var settle func()
		v := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			if settle != nil {
				settle()
			}
			return call(c, http.MethodGet, "/"+name, q)
		}}
		if flags != nil {
			settle = flags(v, q)
		}
		return v
	}
	text := func(flag, def, help, key string) func(*cobra.Command, url.Values) func() {
		return func(c *cobra.Command, q url.Values) func() {
			v := c.Flags().String(flag, def, help)
			return func() { q.Set(key, *v) }
		}
	}
	output := func(c *cobra.Command, q url.Values) func() {
		v := c.Flags().StringP("output", "o", "text", "text or json")
		return func() { q.Set("output", *v) }
	}
	node := text("node", "", "another node than the local one, of up --all-nodes", "node")
	both := func(a, b func(*cobra.Command, url.Values) func()) func(*cobra.Command, url.Values) func() {
		return func(c *cobra.Command, q url.Values) func() {
			x, y := a(c, q), b(c, q)
			return func() { x(); y() }
		}
	}
	c.AddCommand(
		show("status", "The emulator at a glance", output),
		show("shares", "What endpoints got so far, beside their exact shares", output),
		show("rules", "iptables-save -c of the node as it is", both(text("family", "ipv4", "ipv4 or ipv6", "family"), node)),
		show("ipvs", "ipvsadm -Ln --stats of the node as it is", both(text("view", "stats", "stats, servers, rate, thresholds, persistent or conns", "view"), node)),
		show("conntrack", "conntrack -L of the node as it is", node),
		show("follow", "Every packet from now on, a line each", func(c *cobra.Command, q url.Values) func() {
			v := c.Flags().Bool("steps", false, "with the rules that took part, a line each")
			return func() {
				if *v {
					q.Set("steps", "1")
				}
			}
		}),
		modeCommand(call),
		&cobra.Command{Use: "stop", Short: "End the emulator", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			return call(c, http.MethodPost, "/stop", nil)
		}},
	)
	for _, v := range []struct{ verb, short string }{
		{"add", "Add a ready endpoint: an address, or a free one of the local node"}, {"remove", "Remove an endpoint; its Pod is gone"},
		{"ready", "Let an endpoint be ready"}, {"unready", "Let an endpoint not be ready"},
		{"terminate", "Let an endpoint terminate: not ready, and still serving"},
	} {
		c.AddCommand(endpointCommand(v.verb, v.short, call))
	}
	return c
}

type caller func(c *cobra.Command, method, path string, q url.Values) error

func modeCommand(call caller) *cobra.Command {
	var cleanUp bool
	c := &cobra.Command{
		Use:   "mode iptables|ipvs",
		Short: "Restart kube-proxy in another mode",
		Long:  "mode ends kube-proxy and starts it in another mode. What the old one made stays, as on a node; --clean-up runs kube-proxy --cleanup in between.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			q := url.Values{"mode": args}
			if cleanUp {
				q.Set("cleanup", "1")
			}
			return call(c, http.MethodPost, "/mode", q)
		},
	}
	c.Flags().BoolVar(&cleanUp, "clean-up", false, "run kube-proxy --cleanup first: connections through what it removes break")
	return c
}

func endpointCommand(verb, short string, call caller) *cobra.Command {
	var node string
	use := verb + " ENDPOINT [svc/NS/NAME]"
	if verb == "add" {
		use = "add [ENDPOINT] [svc/NS/NAME]"
	}
	c := &cobra.Command{Use: use, Short: short, Args: cobra.MaximumNArgs(2), RunE: func(c *cobra.Command, args []string) error {
		q := url.Values{"verb": {verb}, "node": {node}}
		for _, x := range args {
			if !strings.Contains(x, "/") {
				if q.Has("address") {
					return fmt.Errorf("%q: one endpoint at a time", x)
				}
				q.Set("address", strings.Trim(x, "[]"))
				continue
			}
			name, err := serviceName(x, "default")
			if err != nil {
				return err
			}
			q.Set("service", name)
		}
		return call(c, http.MethodPost, "/endpoint", q)
	}}
	if verb == "add" {
		c.Flags().StringVar(&node, "node", "", "the endpoint's Node (default: the one whose Pod CIDR has the address)")
	}
	return c
}

// control makes one request of the emulator and prints the answer as it comes.
func (a *app) control(ctx context.Context, socket, method, path string, q url.Values) error {
	socket, err := findSocket(socket, a.env)
	if err != nil {
		return err
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, method, "http://svclab"+path+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	w, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		return a.gone(ctx, socket, err)
	}
	defer w.Body.Close()
	if w.StatusCode != http.StatusOK {
		b, err := io.ReadAll(io.LimitReader(w.Body, 1<<20))
		if err != nil {
			return a.gone(ctx, socket, err)
		}
		return fmt.Errorf("%s", strings.TrimSpace(string(b)))
	}
	if _, err := io.Copy(a.out, w.Body); err != nil && path != "/follow" {
		return a.gone(ctx, socket, err)
	}
	return ctx.Err()
}

func (a *app) gone(ctx context.Context, socket string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &codeError{exitEnvironment, fmt.Errorf("the svclab up behind %s does not answer: %w", socket, err)}
}
