package control_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// doom is when a manager dies: at which of one controller's writes, and whether that write is made before its answer is lost.
// Events do not count as writes.
//
// A write that another goroutine had begun before the death is made in full, and the next manager waits for it: a server that has
// taken a request carries it out, and the lease lets nobody lead before that.
type doom struct {
	account string // whose writes count
	at      int    // counted from 0; less: the manager does not die
	made    bool   // the write at which it dies is made
	die     func()

	mu     sync.Mutex
	writes []string // so far, as "verb resource/subresource"
	begun  sync.WaitGroup
}

var errDead = errors.New("the process has ended")

// around makes a write, unless the manager is dead or dies of it.
func (f *doom) around(ctx context.Context, verb string, ref client.Ref, do func(context.Context) (runtime.Object, error)) (runtime.Object, error) {
	if ref.Resource.Resource == "events" {
		return do(ctx)
	}
	f.mu.Lock()
	n := len(f.writes)
	f.writes = append(f.writes, strings.TrimSuffix(verb+" "+ref.Resource.Resource+"/"+ref.Subresource, "/"))
	dies := f.at >= 0 && n >= f.at
	made := !dies || n == f.at && f.made
	if made {
		f.begun.Add(1)
	}
	f.mu.Unlock()
	if made {
		out, err := do(context.WithoutCancel(ctx))
		f.begun.Done()
		if !dies {
			return out, err
		}
	}
	f.die()
	return nil, errDead
}

// counts are a controller's writes so far, by what they are.
func (f *doom) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	for _, w := range f.writes {
		out[w]++
	}
	return out
}

// doors are the doors of a manager with a doom.
func (f *doom) doors(from client.Factory) client.Factory {
	return func(user api.User, agent string) client.Interface {
		door := from(user, agent)
		if user.Name == api.ServiceAccount("kube-system", f.account, "").Name {
			return doomedDoor{door, f}
		}
		return door
	}
}

// doomedDoor is the door of the controller that dies.
type doomedDoor struct {
	client.Interface
	*doom
}

func (f doomedDoor) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	return f.around(ctx, "create", ref, func(ctx context.Context) (runtime.Object, error) {
		return f.Interface.Create(ctx, ref, obj, opts)
	})
}

func (f doomedDoor) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	return f.around(ctx, "update", ref, func(ctx context.Context) (runtime.Object, error) {
		return f.Interface.Update(ctx, ref, obj, opts)
	})
}

func (f doomedDoor) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	return f.around(ctx, "patch", ref, func(ctx context.Context) (runtime.Object, error) {
		return f.Interface.Patch(ctx, ref, pt, data, opts)
	})
}

func (f doomedDoor) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	_, err := f.around(ctx, "delete", ref, func(ctx context.Context) (runtime.Object, error) {
		return nil, f.Interface.Delete(ctx, ref, opts)
	})
	return err
}

// managed runs a manager with a doom, and when that has died another without. What its informers are told of one resource may be late.
func (b *bench) managed(f *doom, late string, controllers ...string) {
	ctx, cancel := context.WithCancel(b.Context())
	f.die = cancel
	run := func(ctx context.Context, doors client.Factory) {
		m, err := control.New(control.Config{Kinds: all.Kinds(), Log: slog.New(slog.DiscardHandler), Controllers: controllers, Doors: doors})
		if err != nil {
			b.Error(err)
			return
		}
		if err := m.Run(ctx); err != nil {
			b.Error(err)
		}
	}
	done := make(chan struct{})
	b.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		doors := b.hub.Door
		if late != "" {
			doors = lateOf("shared-informers", late, time.Second)(doors)
		}
		run(ctx, f.doors(doors))
		f.begun.Wait()
		run(b.Context(), doors)
	}()
}

// crashes runs a scenario undisturbed, and then once for each of its controller's writes and each side of it with a manager that dies
// there, and another that goes on; and once for each resource that it reads with what is told of that late, so that the rest overtakes it.
// What scenario returns, all that has come of it, must always be the same.
func crashes(t *testing.T, account string, controllers []string, nodes []string, scenario func(b *bench) string) {
	one := func(f *doom, late string) (outcome string) {
		inBubble(t, control.Config{Controllers: []string{"node-lifecycle-controller"}}, func(b *bench) {
			for _, n := range nodes {
				b.addNode(n, nil)
			}
			b.settle(time.Second)
			b.managed(f, late, controllers...)
			outcome = scenario(b)
		})
		return outcome
	}
	calm := &doom{account: account, at: -1}
	want := one(calm, "")
	t.Logf("%d writes: %s; then %s", len(calm.writes), strings.Join(calm.writes, ", "), want)
	if len(calm.writes) < 5 {
		t.Fatalf("only %d writes", len(calm.writes))
	}
	for at := range calm.writes {
		for _, made := range []bool{false, true} {
			if got := one(&doom{account: account, at: at, made: made}, ""); got != want {
				t.Errorf("crash at write %d (%s), made: %t:\n%s\nundisturbed:\n%s", at, calm.writes[at], made, got, want)
			}
		}
	}

	for _, resource := range readsOf(t, account) {
		if got := one(&doom{account: account, at: -1}, resource); got != want {
			t.Errorf("%s are told late:\n%s\nundisturbed:\n%s", resource, got, want)
		}
	}
}

// readsOf are the resources that the controller of an account reads.
func readsOf(t *testing.T, account string) []string {
	m, err := control.New(control.Config{Kinds: all.Kinds(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Report() {
		if r.Account == account {
			return r.Reads
		}
	}
	t.Fatalf("no controller of %s", account)
	return nil
}
