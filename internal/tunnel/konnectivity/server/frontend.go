package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"sampan.dev/internal/tunnel/konnectivity/link"
	"sampan.dev/internal/tunnel/konnectivity/wire"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// serve runs a gRPC server until ctx ends.
func (s *Server) serve(ctx context.Context, l net.Listener, creds credentials.TransportCredentials, alive time.Duration, services ...*grpc.ServiceDesc) error {
	g := grpc.NewServer(append(wire.ServerOptions(), grpc.Creds(creds),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: alive, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))...)
	for _, desc := range services {
		g.RegisterService(desc, nil)
	}
	defer context.AfterFunc(ctx, g.Stop)()
	err := g.Serve(l)
	if ctx.Err() != nil {
		g.Stop() // and wait until all have gone
		return nil
	}
	return err
}

// ServeFrontends serves API servers that speak gRPC on l until ctx ends. It closes l.
func (s *Server) ServeFrontends(ctx context.Context, l net.Listener, creds credentials.TransportCredentials, keepalive time.Duration) error {
	return s.serve(ctx, l, creds, keepalive, wire.Service(wire.ProxyMethod, func(stream grpc.ServerStream) error {
		return link.New(link.Config{Stream: stream, Dial: s.DialContext}).Run()
	}))
}

// ServeConnect serves API servers that ask by HTTP's CONNECT on l until ctx ends. It closes l.
func (s *Server) ServeConnect(ctx context.Context, l net.Listener) error {
	var under sync.WaitGroup
	defer under.Wait()
	h := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			under.Add(1) // a connection that is taken over is nobody's but the handler's
			defer under.Done()
			s.connect(ctx, w, r)
		}),
		ReadHeaderTimeout: 60 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { h.Close() })()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// connect carries out one CONNECT. Its answers are upstream's.
func (s *Server) connect(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this proxy only supports CONNECT passthrough", http.StatusMethodNotAllowed)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	dialling, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(dialling, func() { conn.Close() })
	defer stop()
	gone := watch(conn, buffered.Reader, cancel)
	to, err := s.DialContext(dialling, "tcp", r.Host)
	early := gone()
	if err != nil {
		code := "502 Bad Gateway"
		if errors.Is(err, ErrNoAgent) {
			code = "500 Internal Server Error"
			err = fmt.Errorf("currently no tunnels available: %w", ErrNoAgent)
		}
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%v", code, err)
		return
	}
	defer to.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection Established\r\n\r\n"); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, to)
		conn.Close()
	})
	if len(early) > 0 {
		_, err = to.Write(early)
	}
	if err == nil {
		_, _ = io.Copy(to, conn)
	}
	to.Close()
	back.Wait()
}

// watch calls gone if the client hangs up before it has its answer. The function that it returns ends that and returns what the
// client has sent too early, which nobody should.
func watch(conn net.Conn, r *bufio.Reader, gone func()) func() []byte {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := r.Peek(1); err != nil {
			var late net.Error
			if !errors.As(err, &late) || !late.Timeout() {
				gone()
			}
		}
	}()
	return func() []byte {
		_ = conn.SetReadDeadline(time.Unix(1, 0))
		<-done
		_ = conn.SetReadDeadline(time.Time{})
		early, _ := r.Peek(r.Buffered())
		return early
	}
}
