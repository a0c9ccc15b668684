package server

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sampan.dev/internal/pki"
	agents "sampan.dev/internal/tunnel/konnectivity/agent"
	"sampan.dev/internal/tunnel/konnectivity/link"
	"sampan.dev/internal/tunnel/konnectivity/selector"

	"google.golang.org/grpc/credentials/insecure"
)

// BenchmarkTunnel measures one byte there and back, and what a connection carries, without a tunnel, through ours in the hub and
// alone, and through the original's server and agent where SAMPAN_KONNECTIVITY names the folder of its programs.
func BenchmarkTunnel(b *testing.B) {
	to := backend(b, "")
	r := run(b, Config{}, "127.0.0.1:0")
	r.join(b, agents.Config{})
	r.agents(b, 1)
	socket := filepath.Join(b.TempDir(), "ours")
	l, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = r.ServeFrontends(ctx, l, insecure.NewCredentials(), time.Minute) }()
	ways := []struct {
		name string
		dial link.DialFunc
	}{{"direct", (&net.Dialer{}).DialContext}, {"in the hub", r.DialContext}, {"ours, alone", asked(b, socket)}}
	if dir := os.Getenv("SAMPAN_KONNECTIVITY"); dir != "" {
		ways = append(ways, struct {
			name string
			dial link.DialFunc
		}{"stock", asked(b, original(b, dir))})
	}
	for _, w := range ways {
		var c net.Conn
		until(b, w.name, func() error {
			var err error
			c, err = w.dial(context.Background(), "tcp", to)
			return err
		})
		b.Run(w.name+"/round trip", func(b *testing.B) {
			one := []byte{1}
			for b.Loop() {
				if _, err := c.Write(one); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, one); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(w.name+"/there and back", func(b *testing.B) {
			b.SetBytes(8 << 20)
			for b.Loop() {
				if err := talk(c, 8<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
		c.Close()
	}
}

// asked connects as an API server does that asks on a socket.
func asked(b *testing.B, socket string) link.DialFunc {
	conf := selector.Configuration{EgressSelections: []selector.Selection{{Name: selector.Cluster,
		Connection: selector.Connection{ProxyProtocol: "GRPC", Transport: &selector.Transport{UDS: &selector.UDS{UDSName: socket}}}}}}
	dials, err := conf.Dialers()
	if err != nil {
		b.Fatal(err)
	}
	return dials[selector.Cluster]
}

// original runs the original's server and agent and returns the socket where the server is asked.
func original(b *testing.B, dir string) string {
	b.Helper()
	pair, err := pki.SelfSigned("konnectivity", net.IPv4(127, 0, 0, 1))
	if err != nil {
		b.Fatal(err)
	}
	at := b.TempDir()
	file := func(name string) string { return filepath.Join(at, name) }
	cert, key, err := pair.PEM()
	if err != nil {
		b.Fatal(err)
	}
	chain := pair.Certificate().Certificate
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1]})
	if _, err := x509.ParseCertificate(chain[len(chain)-1]); err != nil {
		b.Fatal(err)
	}
	for name, data := range map[string][]byte{"cert": cert, "key": key, "ca": ca} {
		if err := os.WriteFile(file(name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	port := 20000 + os.Getpid()%10000
	number := func(n int) string { return strconv.Itoa(port + n) }
	start := func(program string, args ...string) {
		cmd := exec.Command(filepath.Join(dir, program), args...)
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	start("server", "--v=0", "--uds-name", file("socket"), "--server-port=0", "--agent-port", number(0), "--health-port", number(1), "--admin-port", number(2), "--cluster-cert", file("cert"), "--cluster-key", file("key"))
	until(b, "the original's server listens", func() error {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			c.Close()
		}
		return err
	})
	start("agent", "--v=0", "--proxy-server-port", number(0), "--ca-cert", file("ca"), "--health-server-port", number(3), "--admin-server-port", number(4))
	return file("socket")
}
