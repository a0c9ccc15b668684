package hub

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/lease"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// A lease that a component of this process holds quietly is renewed when a client looks at it in any way, and not when a
// component does.
func TestLeasesAreFreshForClients(t *testing.T) {
	audience := &lease.Audience{}
	h := start(t, func(c *Config) { c.Leases = audience })
	door := h.Door(api.User{Name: "system:kube-scheduler", Groups: []string{api.GroupAuthenticated}}, "test")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	leads := make(chan struct{})
	go func() {
		ended <- lease.Run(ctx, lease.Config{
			Door: door, Name: "kube-scheduler", Identity: "ours", Quiet: true, Audience: audience, Log: slog.New(slog.DiscardHandler),
			Duration: 2 * time.Hour, Deadline: time.Hour, Retry: time.Millisecond,
		}, func(ctx context.Context) error { close(leads); <-ctx.Done(); return nil })
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-leads
	version := func() string {
		l, err := client.Get[*coordinationv1.Lease](ctx, door, client.Leases, "kube-system", "kube-scheduler")
		if err != nil {
			t.Fatal(err)
		}
		return l.ResourceVersion
	}
	const one = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler"
	for _, path := range []string{one, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", "/apis/coordination.k8s.io/v1/leases"} {
		before := version()
		for end := time.Now().Add(5 * time.Millisecond); time.Now().Before(end); { // longer than Retry
			if now := version(); now != before {
				t.Fatalf("written while only components look: %s, %s", before, now)
			}
		}
		a := do(h, "GET", path, "")
		if now := version(); a.code != 200 || now == before {
			t.Errorf("GET %s: %d, not renewed", path, a.code)
		}
	}
	if a := do(h, "GET", one, ""); dig(a.object(t), "spec.holderIdentity") != "ours" {
		t.Errorf("%s", a.body)
	}

	// A watch is shown one renewal after the other for as long as it lasts.
	watching, end := context.WithCancel(ctx)
	defer end()
	lines := make(lineCounter, 1000)
	r := httptest.NewRequest("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?watch=true", nil).WithContext(watching)
	served := make(chan struct{})
	go func() { defer close(served); h.ServeHTTP(streamTo{httptest.NewRecorder(), lines}, r) }()
	for range 10 {
		<-lines
	}
	end()
	<-served
}

// lineCounter is told of each write of a stream.
type lineCounter chan struct{}

type streamTo struct {
	*httptest.ResponseRecorder
	lines lineCounter
}

func (s streamTo) Write(p []byte) (int, error) {
	select {
	case s.lines <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s streamTo) Flush() {}
