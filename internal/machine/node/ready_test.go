package node

import (
	"context"
	"errors"
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
			if _, err := r.Within(g, 2*time.Minute, func() error { return nil }); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			cancel()
			_ = g.Wait()
		})
	}
}

// A node that is known is not waited for while the store takes nothing; one that nobody has seen is, and so is one whose store
// recovers.
func TestNodeThatCannotSaySo(t *testing.T) {
	full := errors.New("no space left")
	for _, c := range []struct {
		known bool
		until time.Duration // the store is full
		mute  bool
	}{{true, time.Hour, true}, {false, time.Hour, false}, {true, 3 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			g := daemon.NewGroup(ctx, slog.New(slog.DiscardHandler))
			r := &Readiness{node: "n", ready: make(chan struct{})}
			r.seen.Store(c.known)
			begun := time.Now()
			mute, err := r.Within(g, 2*time.Minute, func() error {
				if time.Since(begun) < c.until {
					return full
				}
				return nil
			})
			if c.mute != (mute == full) || c.mute != (err == nil) || c.mute != (time.Since(begun) < 10*time.Second) {
				t.Errorf("%+v: %v, %v after %v", c, mute, err, time.Since(begun))
			}
			cancel()
			_ = g.Wait()
		})
	}
}
