package clienttest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/clienttest"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/pki"

	"k8s.io/client-go/rest"
)

// cluster is a hub over the memory store that serves on loopback.
type cluster struct {
	hub  *hub.Hub
	addr string
	ca   *pki.Authority
}

func start(t *testing.T) *cluster {
	t.Helper()
	ca, err := pki.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pki.Request{
		CommonName: "hub", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Life: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	st := memory.New()
	h, err := hub.New(hub.Config{
		Kinds: all.Kinds(), Store: st, Log: slog.New(slog.DiscardHandler),
		Listener: l, TLS: &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequestClientCert}, ClientCA: func() *x509.CertPool { return ca.Pool() },
		Bootstrap: true, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			t.Errorf("hub: %v", err)
		}
		st.Close()
	})
	select {
	case <-h.Ready():
	case err := <-done:
		t.Fatalf("hub: %v", err)
	}
	return &cluster{h, l.Addr().String(), ca}
}

// config is that of an administrator with a certificate.
func (c *cluster) config(t *testing.T) *rest.Config {
	t.Helper()
	cert, err := c.ca.Issue(pki.Request{
		CommonName: "admin", Organization: []string{api.GroupMasters}, Client: true, Life: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := pki.NewPair(cert).PEM()
	if err != nil {
		t.Fatal(err)
	}
	return &rest.Config{Host: "https://" + c.addr, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.PEM(), CertData: certPEM, KeyData: keyPEM}}
}

func TestLocalDoor(t *testing.T) {
	t.Parallel()
	c := start(t)
	clienttest.Run(t, func(t *testing.T) client.Interface {
		return c.hub.Door(api.User{Name: "admin", Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "clienttest")
	})
}

func TestRemoteDoor(t *testing.T) {
	t.Parallel()
	c := start(t)
	factory, err := remote.Factory(c.config(t))
	if err != nil {
		t.Fatal(err)
	}
	clienttest.Run(t, func(t *testing.T) client.Interface { return factory(api.User{}, "clienttest") })
}
