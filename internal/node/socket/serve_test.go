package socket

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

type healthy struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (healthy) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

// Nothing is made before the first client; all are served, and a socket that a kubelet left behind is replaced.
func TestServe(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") // t.TempDir's names are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "a", "kubelet.sock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path}); err != nil {
		t.Fatal(err)
	} else {
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	for _, clients := range []int{0, 2} {
		ctx, cancel := context.WithCancel(t.Context())
		made, done := 0, make(chan error, 1)
		go func() {
			done <- Serve(ctx, path, func(s *grpc.Server) {
				made++
				grpc_health_v1.RegisterHealthServer(s, healthy{})
			})
		}()
		for range clients {
			conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
				t.Error(err)
			}
			conn.Close()
		}
		cancel()
		if err := <-done; err != nil || made != min(1, clients) {
			t.Errorf("%d clients: %v, made %d servers", clients, err, made)
		}
	}
	if err := Serve(t.Context(), "/proc/nowhere/kubelet.sock", nil); err == nil {
		t.Error("no error for a folder that cannot be made")
	}
}
