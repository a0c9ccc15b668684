package hub

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/listener"
	"sampan.dev/internal/pki"

	"golang.org/x/net/http2"
)

// served is a doorman on loopback, and what ends it.
func served(t *testing.T, sinks ...audit.Sink) (addr string, stop func() <-chan error) {
	t.Helper()
	ca, err := pki.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{ca.Cert.Raw}, PrivateKey: ca.Key}}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h := start(t, func(c *Config) {
		for _, s := range sinks {
			c.Audit = &audit.Log{Policy: audit.Everything(audit.Metadata), Sink: s}
		}
	})
	go func() { done <- h.listen(ctx, l, cfg) }()
	t.Cleanup(cancel)
	return l.Addr().String(), func() <-chan error {
		cancel()
		return done
	}
}

func TestOneDoorForAllProtocols(t *testing.T) {
	addr, stop := served(t)
	trust := &tls.Config{InsecureSkipVerify: true}
	for proto, tr := range map[string]http.RoundTripper{
		"HTTP/2.0": &http2.Transport{TLSClientConfig: trust},
		"HTTP/1.1": &http.Transport{TLSClientConfig: trust},
	} {
		c := &http.Client{Transport: tr}
		resp, err := c.Get("https://" + addr + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || resp.Proto != proto || string(body) != "ok" {
			t.Errorf("%s: %s %d %q %v", proto, resp.Proto, resp.StatusCode, body, err)
		}
		c.CloseIdleConnections()
	}
	resp, err := http.Get("http://" + addr + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(body), "Client sent an HTTP request to an HTTPS server.") {
		t.Errorf("in the clear: %d %q", resp.StatusCode, body)
	}
	if err := <-stop(); err != nil {
		t.Error(err)
	}
}

// Somebody who connects and says nothing does not hold up the end of the server.
func TestASilentConnectionDoesNotHoldUpTheEnd(t *testing.T) {
	addr, stop := served(t)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case err := <-stop():
		if err != nil {
			t.Error(err)
		}
	case <-time.After(listener.HandshakeIn / 2):
		t.Fatal("the server waits for a client that says nothing")
	}
}
