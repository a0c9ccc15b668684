package selector

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/tunnel/konnectivity/link"
	"sampan.dev/internal/tunnel/konnectivity/wire"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// dialTimeout is how long a proxy may take to be reached and to connect.
const dialTimeout = 30 * time.Second

// Dialers makes what connects, by purpose. A purpose that is not there, or whose connections are direct, has none.
func (c *Configuration) Dialers() (map[string]link.DialFunc, error) {
	out := map[string]link.DialFunc{}
	for _, s := range c.EgressSelections {
		dial, err := s.Connection.dialer()
		if err != nil {
			return nil, fmt.Errorf("failed to create dialer for egressSelection %q: %w", s.Name, err)
		}
		if dial != nil {
			out[strings.ToLower(s.Name)] = dial
		}
	}
	return out, nil
}

func (c *Connection) dialer() (link.DialFunc, error) {
	t := c.Transport
	switch {
	case c.ProxyProtocol == "GRPC":
		return byGRPC(t.UDS.UDSName)
	case c.ProxyProtocol == "HTTPConnect" && t.UDS != nil:
		return byConnect(t.UDS.UDSName, func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", t.UDS.UDSName)
		}), nil
	case c.ProxyProtocol == "HTTPConnect":
		return t.TCP.dialer()
	}
	return nil, nil
}

func (t *TCP) dialer() (link.DialFunc, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, fmt.Errorf("invalid proxy server url %q: %w", t.URL, err)
	}
	if u.Port() == "" {
		return nil, fmt.Errorf("invalid proxy server url %q: it has no port", t.URL)
	}
	if t.TLSConfig == nil {
		return byConnect(u.Host, func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", u.Host) }), nil
	}
	conf, err := t.TLSConfig.config()
	if err != nil {
		return nil, err
	}
	return byConnect(u.Host, func(ctx context.Context) (net.Conn, error) {
		return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", u.Host)
	}), nil
}

// config reads the authority; the client's certificate is read at each connection, so that one that is renewed is shown.
func (t *TLS) config() (*tls.Config, error) {
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("failed to read key pair %s & %s, got %w", t.ClientCert, t.ClientKey, err)
		}
		return &pair, nil
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	conf := &tls.Config{GetClientCertificate: load, ServerName: t.TLSServerName, MinVersion: tls.VersionTLS12}
	if t.CABundle != "" {
		data, err := os.ReadFile(t.CABundle)
		if err != nil {
			return nil, fmt.Errorf("failed to read cert file %s, got %w", t.CABundle, err)
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(data) {
			return nil, errors.New("failed to append CA cert to the cert pool")
		}
	}
	return conf, nil
}

// byConnect connects through an HTTP proxy that reach leads to.
func byConnect(proxy string, reach func(ctx context.Context) (net.Conn, error)) link.DialFunc {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		c, err := reach(ctx)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		err = ask(c, proxy, address)
		if !stop() { // ctx has ended
			err = ctx.Err()
		}
		if err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
}

// ask has the proxy connect to address.
func ask(c net.Conn, proxy, address string) error {
	if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", address); err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(c, http.DefaultMaxHeaderBytes))
	res, err := http.ReadResponse(r, nil)
	switch {
	case err != nil:
		return fmt.Errorf("reading HTTP response from CONNECT to %s via proxy %s failed: %w", address, proxy, err)
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("proxy error from %s while dialing %s, code %d: %v", proxy, address, res.StatusCode, res.Status)
	case r.Buffered() > 0:
		return fmt.Errorf("unexpected %d bytes of buffered data from CONNECT proxy %q", r.Buffered(), proxy)
	}
	return nil
}

// byGRPC connects through Konnectivity's server on a unix socket: a stream for each connection, all on one connection to it.
func byGRPC(socket string) (link.DialFunc, error) {
	proxy, err := grpc.NewClient("passthrough:///konnectivity", append(wire.ClientOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}))...)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		life, end := context.WithCancel(context.Background())
		stop := context.AfterFunc(ctx, end) // also while the proxy is being reached
		stream, err := proxy.NewStream(life, &wire.StreamDesc, wire.ProxyMethod)
		if err != nil {
			end()
			return nil, err
		}
		l := link.New(link.Config{Stream: stream})
		go func() {
			_ = l.Run()
			end()
		}()
		c, err := l.Dial(ctx, network, address)
		if err == nil && !stop() {
			err = ctx.Err()
		}
		if err != nil {
			end()
			return nil, err
		}
		return &single{Conn: c, finish: sync.OnceFunc(func() {
			l.Finish()
			late := time.AfterFunc(lateAfter, end)
			context.AfterFunc(life, func() { late.Stop() })
		})}, nil
	}, nil
}

// lateAfter is how long a proxy may take to confirm that a connection is over.
const lateAfter = 10 * time.Second

// single is a connection that has its stream to itself. Closing it ends the stream, after what has been sent.
type single struct {
	net.Conn
	finish func()
}

// Close ends both.
func (s *single) Close() error {
	err := s.Conn.Close()
	s.finish()
	return err
}
