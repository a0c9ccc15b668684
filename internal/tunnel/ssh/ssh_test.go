package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sshd is a node that lets one key in and forwards connections.
type sshd struct {
	address string
	key     ssh.Signer
	mu      sync.Mutex
	open    []net.Conn
	logins  int
}

func newSSHD(t *testing.T, user ssh.PublicKey) *sshd {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sshd{address: l.Addr().String(), key: newKey(t)}
	conf := &ssh.ServerConfig{PublicKeyCallback: func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if m.User() != "tunnel" || string(key.Marshal()) != string(user.Marshal()) {
			return nil, errors.New("nobody")
		}
		return nil, nil
	}}
	conf.AddHostKey(s.key)
	t.Cleanup(func() { l.Close(); s.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c, conf)
		}
	}()
	return s
}

func (s *sshd) serve(c net.Conn, conf *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	defer conn.Close()
	s.mu.Lock()
	s.open, s.logins = append(s.open, c), s.logins+1
	s.mu.Unlock()
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		var to struct {
			Host       string
			Port       uint32
			Origin     string
			OriginPort uint32
		}
		if ch.ChannelType() != "direct-tcpip" || ssh.Unmarshal(ch.ExtraData(), &to) != nil {
			_ = ch.Reject(ssh.UnknownChannelType, "no")
			continue
		}
		go func() {
			d, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
			if err != nil {
				_ = ch.Reject(ssh.ConnectionFailed, err.Error())
				return
			}
			defer d.Close()
			a, reqs, err := ch.Accept()
			if err != nil {
				return
			}
			go ssh.DiscardRequests(reqs)
			go func() { _, _ = io.Copy(d, a); d.Close() }()
			_, _ = io.Copy(a, d)
			a.Close()
		}()
	}
}

// cut breaks all connections.
func (s *sshd) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		c.Close()
	}
	s.open = nil
}

func (s *sshd) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

func (s *sshd) pin() string { return string(ssh.MarshalAuthorizedKey(s.key.PublicKey())) }

// echo is what is behind the node.
func echo(t *testing.T) string {
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
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

func tunnels(t *testing.T, key ssh.Signer, s *sshd, pin func() string) *Tunnels {
	host, port, _ := net.SplitHostPort(s.address)
	n, _ := strconv.Atoi(port)
	out := New(Config{User: "tunnel", Key: key, Port: n, Log: slog.New(slog.DiscardHandler), Nodes: func(context.Context) ([]Node, error) {
		return []Node{{Name: "n1", Address: host, HostKey: pin()}}, nil
	}})
	t.Cleanup(out.Close)
	return out
}

func talks(tunnels *Tunnels, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := tunnels.DialNode(ctx, "n1", "tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 5))
	return err
}

// Many share one connection, and when that breaks the next ones have another.
func TestOneConnectionThatHeals(t *testing.T) {
	key := newKey(t)
	s := newSSHD(t, key.PublicKey())
	tunnels, to := tunnels(t, key, s, s.pin), echo(t)
	for round := 1; round <= 4; round++ {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := talks(tunnels, to); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := s.count(); n != round {
			t.Errorf("%d logins after %d rounds", n, round)
		}
		s.cut()
	}
	if err := talks(tunnels, "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}

// Who shows another key than the pinned one learns nothing, and neither does anybody where none is pinned.
func TestHostKeysArePinned(t *testing.T) {
	key, other := newKey(t), newKey(t)
	s := newSSHD(t, key.PublicKey())
	to := echo(t)
	for _, c := range []struct{ pin, want string }{
		{"", ErrNotPinned.Error()},
		{"nonsense", "pinned host key"},
		{string(ssh.MarshalAuthorizedKey(other.PublicKey())), "is not the pinned one"},
		{string(ssh.MarshalAuthorizedKey(other.PublicKey())) + s.pin(), ""},
	} {
		err := talks(tunnels(t, key, s, func() string { return c.pin }), to)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.pin, err, c.want)
		}
	}
	if err := talks(tunnels(t, other, s, s.pin), to); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("a user's key that is unknown: %v", err)
	}
}

func TestWhichNode(t *testing.T) {
	p := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	nodes := []Node{{Name: "a", Pods: p("10.1.0.0/24"), Own: p("10.2.0.7/32")}, {Name: "b", Pods: p("10.2.0.0/24"), Own: p("192.0.2.2/32")}}
	for _, c := range []struct{ node, address, want string }{
		{"", "10.1.0.3:80", "a"}, {"", "10.2.0.7:80", "b"}, {"", "192.0.2.2:10250", "b"}, {"a", "192.0.2.2:10250", "a"},
	} {
		if n, err := choose(nodes, c.node, c.address); err != nil || n.Name != c.want {
			t.Error(fmt.Errorf("%v: %s, %w", c, n.Name, err))
		}
	}
	if _, err := choose(nil, "", "10.1.0.3:80"); err == nil {
		t.Error("through no node")
	}
}
