package etcd

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/component/flag"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What envtest gives is taken; what cannot be done is told.
func TestFlags(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--data-dir=/x --listen-client-urls=http://127.0.0.1:1 --advertise-client-urls=http://127.0.0.1:1 --listen-peer-urls=http://127.0.0.1:2 --unsafe-no-fsync=true", ""},
		{"--listen-client-urls=http://a:1,http://b:1", "want one URL"},
		{"--listen-client-urls=https://a:1", "connections are plain"},
		{"--listen-client-urls=http://a", "there is no port"},
		{"--cert-file=x", "connections are plain"},
	} {
		e := New()
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		e.Flags(fs)
		err := flag.Parse(fs, strings.Fields(c.args))
		if err == nil {
			_, err = e.listen()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

// It answers a client and those who wait for it to be well, on one port, and is there again with what it had.
func TestServes(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := "http://" + l.Addr().String()
		l.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		c := &Config{DataDir: dir, Clients: []string{at}, NoSync: true, Level: "error"}
		go func() { done <- c.Run(ctx, slog.New(slog.DiscardHandler)) }()
		for {
			resp, err := http.Get(at + "/health")
			if err != nil {
				select {
				case err := <-done:
					t.Fatal(err)
				case <-time.After(10 * time.Millisecond):
				}
				continue
			}
			var health struct{ Health string }
			if err := json.NewDecoder(resp.Body).Decode(&health); err != nil || health.Health != "true" {
				t.Error(health, err)
			}
			resp.Body.Close()
			break
		}
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{at}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := client.Get(ctx, "a"); err != nil || int(got.Count) != round {
			t.Errorf("round %d: %v %v", round, got, err)
		}
		if _, err := client.Put(ctx, "a", "b"); err != nil {
			t.Error(err)
		}
		client.Close()
		cancel()
		if err := <-done; err != context.Canceled {
			t.Error(err)
		}
	}
}
