package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// mortal is a door whose process dies at a given write.
type mortal struct {
	client.Interface
	left *atomic.Int64
	die  func()
}

func (m *mortal) dead() bool {
	if m.left.Add(-1) >= 0 {
		return false
	}
	m.die()
	return true
}

func (m *mortal) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	if m.dead() {
		return nil, context.Canceled
	}
	return m.Interface.Create(ctx, ref, obj, opts)
}

func (m *mortal) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	if m.dead() {
		return nil, context.Canceled
	}
	return m.Interface.Update(ctx, ref, obj, opts)
}

// A manager that dies in the middle of a rollout, again and again, leaves one that ends, and nothing twice.
func TestRestarts(t *testing.T) {
	inBubble(t, control.Config{Controllers: []string{"node-lifecycle-controller"}}, func(b *bench) {
		for i := range 3 {
			b.addNode(fmt.Sprint("n", i), nil)
		}
		b.settle(time.Second)
		b.service("web", nil)
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 100)); err != nil {
			b.Fatal(err)
		}
		lives := 0
		for ; !b.rolledOut("default", "web")(); lives++ {
			if lives == 200 {
				b.Fatalf("the rollout does not end: %+v", b.deployed("default", "web").Status)
			}
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			var left atomic.Int64
			left.Store(int64(2 + lives))
			m, err := control.New(control.Config{
				Kinds: all.Kinds(), Log: slog.New(slog.DiscardHandler), Controllers: []string{"*", "-node-lifecycle-controller"},
				Doors: func(user api.User, agent string) client.Interface {
					return &mortal{b.hub.Door(user, agent), &left, cancel}
				},
			})
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Run(ctx); err != nil {
				b.Fatal(err)
			}
			cancel()
		}
		b.settle(time.Second)
		if n := b.createdPods(); n != 100 {
			b.Errorf("%d pods were created for 100 replicas", n)
		}
		if lives < 10 {
			b.Errorf("only %d lives", lives)
		}
	})
}
