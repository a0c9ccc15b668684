package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
)

// Serve makes the socket at path, in place of one that is there, and serves on it until ctx ends. register is called when the first client
// has come.
func Serve(ctx context.Context, path string, register func(*grpc.Server)) error {
	l, err := listen(path)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	first, err := l.Accept()
	if err != nil {
		l.Close()
		return ended(ctx, path, err)
	}
	s := grpc.NewServer()
	register(s)
	stopServer := context.AfterFunc(ctx, s.Stop)
	defer stopServer()
	return ended(ctx, path, s.Serve(&begun{Listener: l, first: first}))
}

func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}

func ended(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve on %s: %w", path, err)
}

// begun is a listener whose first connection has been accepted. One goroutine calls Accept.
type begun struct {
	net.Listener
	first net.Conn
}

func (b *begun) Accept() (net.Conn, error) {
	if c := b.first; c != nil {
		b.first = nil
		return c, nil
	}
	return b.Listener.Accept()
}
