package node

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/daemon"

	corev1 "k8s.io/api/core/v1"
)

// A node that does not become Ready says what its own condition says.
func TestNodeThatIsNotReadySaysWhy(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*Readiness)
		want string
	}{
		{"never registered", func(*Readiness) {}, "has not registered it"},
		{"silent", func(r *Readiness) { r.seen.Store(true) }, "has not said anything"},
		{"not ready", func(r *Readiness) {
			r.last.Store(&corev1.NodeCondition{Status: "False", Reason: "KubeletNotReady", Message: "no CNI"})
		}, "node n Ready: not within 2m0s: its condition Ready is False, KubeletNotReady: no CNI"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			g := daemon.NewGroup(ctx, slog.New(slog.DiscardHandler))
			r := &Readiness{node: "n", ready: make(chan struct{})}
			c.set(r)
			if err := r.Within(g, 2*time.Minute); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			cancel()
			_ = g.Wait()
		})
	}
}
