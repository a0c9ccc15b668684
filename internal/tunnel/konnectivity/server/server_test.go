package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/pki"
	agents "sampan.dev/internal/tunnel/konnectivity/agent"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	stock "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
)

// room is a server for tests, on loopback.
type room struct {
	*Server
	address string
	roots   *x509.CertPool
	stop    func() // ends it; the address stays free
}

var quiet = slog.New(slog.DiscardHandler)

// certificate is one for loopback, and who believes it.
var certificate = sync.OnceValues(func() (*tls.Config, *x509.CertPool) {
	pair, err := pki.SelfSigned("konnectivity", net.IPv4(127, 0, 0, 1))
	if err != nil {
		panic(err)
	}
	conf := pki.ServerTLS(pair)
	leaf, err := conf.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return conf, pool
})

// run serves agents until the test ends.
func run(t testing.TB, cfg Config, address string) *room {
	t.Helper()
	if cfg.ID == "" {
		cfg.ID, cfg.Count = "one", 1
	}
	cfg.Log = quiet
	var l net.Listener
	until(t, "the port is free", func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	conf, roots := certificate()
	r := &room{Server: New(cfg), address: l.Addr().String(), roots: roots}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.ServeAgents(ctx, l, credentials.NewTLS(conf), time.Minute) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// join runs an agent until the test ends, or the function that it returns is called.
func (r *room) join(t testing.TB, cfg agents.Config) (*agents.Agent, func()) {
	t.Helper()
	if cfg.Servers == nil {
		cfg.Servers = []string{r.address}
	}
	if cfg.ID == "" {
		cfg.ID = "agent"
	}
	cfg.TLS, cfg.Log, cfg.Sync = &tls.Config{RootCAs: r.roots}, quiet, 10*time.Millisecond
	cfg.SyncCap = 100 * time.Millisecond
	a := agents.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = a.Run(ctx)
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return a, stop
}

// until waits for what is bound to happen.
func until(t testing.TB, what string, f func() error) {
	t.Helper()
	var err error
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(2 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func (r *room) agents(t testing.TB, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d agents", n), func() error {
		if r.Agents() != n {
			return fmt.Errorf("there are %d", r.Agents())
		}
		return nil
	})
}

// backend is a server behind the agents that sends back what it gets, after saying its name.
func backend(t testing.TB, name string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.WriteString(c, name)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// talk sends some data through c and wants it back.
func talk(c net.Conn, n int) error {
	sent := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
	failed := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		failed <- err
	}()
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return errors.New("other bytes come back")
	}
	return <-failed
}

// dials are the ways to ask a server for a connection: in process, and as API servers elsewhere do, with the original's client.
func dials(t *testing.T, r *room) map[string]func(ctx context.Context, address string) (net.Conn, error) {
	t.Helper()
	grpcAt, connectAt := filepath.Join(t.TempDir(), "grpc"), filepath.Join(t.TempDir(), "connect")
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for at, serve := range map[string]func(net.Listener) error{
		grpcAt:    func(l net.Listener) error { return r.ServeFrontends(ctx, l, insecure.NewCredentials(), time.Minute) },
		connectAt: func(l net.Listener) error { return r.ServeConnect(ctx, l) },
	} {
		l, err := net.Listen("unix", at)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := serve(l); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return map[string]func(ctx context.Context, address string) (net.Conn, error){
		"in process": func(ctx context.Context, address string) (net.Conn, error) { return r.DialContext(ctx, "tcp", address) },
		"stock gRPC": func(ctx context.Context, address string) (net.Conn, error) {
			tunnel, err := stock.CreateSingleUseGrpcTunnel(context.Background(), "passthrough:///unix", grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "unix", grpcAt)
				}))
			if err != nil {
				return nil, err
			}
			return tunnel.DialContext(ctx, "tcp", address)
		},
		"CONNECT": func(ctx context.Context, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "unix", connectAt)
			if err != nil {
				return nil, err
			}
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			_, _ = fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", address)
			var head []byte
			for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one[0]) {
				if _, err := c.Read(one); err != nil {
					c.Close()
					return nil, err
				}
			}
			if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
				rest, _ := io.ReadAll(c)
				c.Close()
				return nil, fmt.Errorf("%s%s", head, rest)
			}
			return c, nil
		},
	}
}

func TestEveryWayIn(t *testing.T) {
	r := run(t, Config{}, "127.0.0.1:0")
	for name, dial := range dials(t, r) {
		if _, err := dial(t.Context(), "127.0.0.1:1"); err == nil {
			t.Errorf("%s: connected without an agent", name)
		} else if name != "stock gRPC" && !strings.Contains(err.Error(), ErrNoAgent.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.join(t, agents.Config{})
	r.agents(t, 1)
	to := backend(t, "")
	for name, dial := range dials(t, r) {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					c, err := dial(t.Context(), to)
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					if err := talk(c, 3<<20); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if _, err := dial(t.Context(), "127.0.0.1:1"); err == nil {
				t.Error("connected to a port that nobody listens on")
			}
			until(t, "all is closed", func() error {
				if n := r.Open(); n != 0 {
					return fmt.Errorf("%d connections are open", n)
				}
				return nil
			})
		})
	}
}

// Clients that go before they have their answer leave nothing, by whatever way they came.
func TestClientsThatGo(t *testing.T) {
	r := run(t, Config{}, "127.0.0.1:0")
	to := backend(t, "")
	r.join(t, agents.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		time.Sleep(2 * time.Millisecond)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}})
	r.agents(t, 1)
	for name, dial := range dials(t, r) {
		t.Run(name, func(t *testing.T) {
			before := 0
			for round := range 2 {
				var wg sync.WaitGroup
				for i := range 300 {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%40)*100*time.Microsecond)
						defer cancel()
						if c, err := dial(ctx, to); err == nil {
							c.Close()
						}
					})
				}
				wg.Wait()
				until(t, "all has gone", func() error {
					if n := r.Open(); n != 0 {
						return fmt.Errorf("%d connections are open", n)
					}
					if n := runtime.NumGoroutine(); round > 0 && n > before+5 {
						return fmt.Errorf("%d goroutines, %d before", n, before)
					}
					return nil
				})
				before = runtime.NumGoroutine()
			}
		})
	}
}

// With several servers behind one address an agent has one connection to each, and when one comes back it has it again.
func TestSeveralServers(t *testing.T) {
	var rooms []*room
	var addresses []string
	for _, id := range []string{"one", "two", "three"} {
		r := run(t, Config{ID: id, Count: 3}, "127.0.0.1:0")
		rooms, addresses = append(rooms, r), append(addresses, r.address)
	}
	a, _ := rooms[0].join(t, agents.Config{Servers: []string{balancer(t, addresses)}})
	to := backend(t, "")
	works := func(r *room) {
		t.Helper()
		r.agents(t, 1)
		c, err := r.DialContext(t.Context(), "tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := talk(c, 1000); err != nil {
			t.Error(err)
		}
	}
	for _, r := range rooms {
		works(r)
	}
	rooms[1].stop()
	until(t, "it is missed", func() error {
		if a.Connected() != 2 {
			return fmt.Errorf("%d", a.Connected())
		}
		return nil
	})
	works(rooms[0])
	works(run(t, Config{ID: "two", Count: 3}, addresses[1]))
	if n := a.Connected(); n != 3 {
		t.Errorf("connected to %d servers", n)
	}
}

// balancer leads each connection to the next of several addresses.
func balancer(t *testing.T, to []string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				d, err := net.Dial("tcp", to[i%len(to)])
				if err != nil {
					return
				}
				defer d.Close()
				go func() {
					_, _ = io.Copy(d, c)
					d.Close()
				}()
				_, _ = io.Copy(c, d)
			}()
		}
	}()
	return l.Addr().String()
}

// Who is nobody is told so, and who is a node stands for what the cluster says, whatever its agent says.
func TestWhoAnAgentIs(t *testing.T) {
	var mu sync.Mutex
	who := map[string]Identity{"node-token": {Node: "n1"}, "second": {Node: "n2"}}
	r := run(t, Config{
		Authenticate: func(_ context.Context, _ []*x509.Certificate, token string) (Identity, error) {
			mu.Lock()
			defer mu.Unlock()
			if id, ok := who[token]; ok {
				return id, nil
			}
			return Identity{}, errors.New("not authenticated")
		},
		Stands: func(node string) (pods, own []netip.Prefix) {
			if node == "n1" {
				return []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
			}
			// The second says that a pod's address of the first is its own, and has the same address as it.
			return []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24")}, []netip.Prefix{netip.MustParsePrefix("10.1.0.7/32"), netip.MustParsePrefix("192.0.2.1/32")}
		},
		Strategies: []Strategy{DestHost},
	}, "127.0.0.1:0")
	stranger, _ := r.join(t, agents.Config{ID: "stranger", Token: func() (string, error) { return "x", nil }})
	for _, node := range []string{"node-token", "second"} {
		r.join(t, agents.Config{
			ID: node, Token: func() (string, error) { return node, nil }, Identifiers: "ipv4=192.0.2.99&cidr=10.0.0.0/8&default-route=true",
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled by " + node) },
		})
	}
	r.agents(t, 2)
	for _, c := range []struct{ node, address, want string }{
		{"", "10.1.0.7:80", "dialled by node-token"},
		{"", "10.2.0.9:80", "dialled by second"},
		{"n1", "192.0.2.1:10250", "dialled by node-token"},
		{"n2", "192.0.2.1:10250", "dialled by second"},
		{"", "192.0.2.99:80", ErrNoAgent.Error()},
		{"", "10.9.0.1:80", ErrNoAgent.Error()},
	} {
		for range 5 {
			if _, err := r.DialNode(t.Context(), c.node, "tcp", c.address); err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%s of %q: %v, want %s", c.address, c.node, err, c.want)
			}
		}
	}
	if stranger.Connected() != 0 {
		t.Error("a stranger is let in")
	}
}

func TestStrategies(t *testing.T) {
	for _, c := range []struct{ strategies, address, want string }{
		{"destHost,defaultRoute", "192.0.2.7:80", "by ip"},
		{"destHost,defaultRoute", "web.example:80", "by host"},
		{"destHost,defaultRoute", "10.3.4.5:80", "by range"},
		{"destHost,defaultRoute", "198.51.100.1:80", "by route"},
		{"destHost", "198.51.100.1:80", ""},
		{"destHost,default", "198.51.100.1:80", "by"},
		{"default", "192.0.2.7:80", "by"},
	} {
		list, err := Strategies(c.strategies)
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Strategies: list, Log: quiet})
		for id, says := range map[string]string{"by ip": "ipv4=192.0.2.7", "by host": "host=web.example&host=x", "by range": "cidr=10.0.0.0/8", "by route": "default-route=true"} {
			where, err := readIdentifiers(says)
			if err != nil {
				t.Fatal(err)
			}
			s.add(&agent{id: id, where: where})
		}
		got := ""
		if a := s.choose("", c.address); a != nil {
			got = a.id
		}
		if !strings.HasPrefix(got, c.want) || got != "" && c.want == "" {
			t.Errorf("%s by %s: %q, want %q", c.address, c.strategies, got, c.want)
		}
	}
	if _, err := Strategies("default,nonsense"); err == nil || err.Error() != "unknown proxy strategy: nonsense" {
		t.Error(err)
	}
}

// An agent that ends soon is not chosen while there is another.
func TestDraining(t *testing.T) {
	s := New(Config{Log: quiet})
	ends, stays := &agent{id: "ends"}, &agent{id: "stays"}
	s.add(ends)
	s.drain(ends)
	if s.choose("", "192.0.2.7:80") != ends {
		t.Error("nobody is chosen")
	}
	s.add(stays)
	for range 20 {
		if s.choose("", "192.0.2.7:80") != stays {
			t.Fatal("it is chosen")
		}
	}
}
