package lease

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/client"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// hub is a fake of what election needs: one lease with optimistic locking. One per candidate can be cut off.
type hub struct {
	mu     sync.Mutex
	rev    int
	lease  *coordinationv1.Lease
	writes int
}

type door struct {
	client.Interface
	h   *hub
	cut bool
}

func (d *door) enter(ctx context.Context) (func(), error) {
	d.h.mu.Lock()
	err := ctx.Err()
	if d.cut {
		err = apierrors.NewServiceUnavailable("cut off")
	}
	if err != nil {
		d.h.mu.Unlock()
		return nil, err
	}
	return d.h.mu.Unlock, nil
}

func (d *door) Get(ctx context.Context, ref client.Ref, _ metav1.GetOptions) (runtime.Object, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if d.h.lease == nil {
		return nil, apierrors.NewNotFound(ref.Resource.GroupResource(), ref.Name)
	}
	return d.h.lease, nil
}

func (d *door) Create(ctx context.Context, ref client.Ref, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if d.h.lease != nil {
		return nil, apierrors.NewAlreadyExists(ref.Resource.GroupResource(), ref.Name)
	}
	return d.h.put(obj), nil
}

func (d *door) Update(ctx context.Context, ref client.Ref, obj runtime.Object, _ metav1.UpdateOptions) (runtime.Object, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if obj.(*coordinationv1.Lease).ResourceVersion != d.h.lease.ResourceVersion {
		return nil, apierrors.NewConflict(ref.Resource.GroupResource(), ref.Name, errors.New("changed"))
	}
	return d.h.put(obj), nil
}

func (h *hub) put(obj runtime.Object) runtime.Object {
	h.rev++
	h.writes++
	h.lease = obj.DeepCopyObject().(*coordinationv1.Lease)
	h.lease.ResourceVersion = strconv.Itoa(h.rev)
	return h.lease
}

func (h *hub) holder() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lease == nil {
		return ""
	}
	return deref(h.lease.Spec.HolderIdentity)
}

// candidate stands for election until stopped.
type candidate struct {
	door    *door
	stop    context.CancelFunc
	ended   chan error
	leading bool
}

func stand(t *testing.T, h *hub, id string) *candidate {
	c := &candidate{door: &door{h: h}, ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(t.Context())
	c.stop = stop
	cfg := Config{Door: c.door, Name: "x", Identity: id, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	go func() {
		c.ended <- Run(ctx, cfg, func(ctx context.Context) error {
			h.mu.Lock()
			c.leading = true
			h.mu.Unlock()
			<-ctx.Done()
			h.mu.Lock()
			c.leading = false
			h.mu.Unlock()
			return ctx.Err()
		})
	}()
	return c
}

func (c *candidate) leads() bool {
	synctest.Wait()
	c.door.h.mu.Lock()
	defer c.door.h.mu.Unlock()
	return c.leading
}

func TestOneLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		a := stand(t, h, "a")
		if !a.leads() {
			t.Fatal("nobody contests, and a does not lead")
		}
		b := stand(t, h, "b")
		time.Sleep(5 * time.Minute)
		if !a.leads() || b.leads() || deref(h.lease.Spec.LeaseTransitions) != 0 {
			t.Fatal("b took over a lease that was renewed")
		}
		if h.writes < 140 || h.writes > 152 {
			t.Errorf("%d writes in five minutes, want one per two seconds: b should only read", h.writes)
		}
		a.stop()
		if err := <-a.ended; err != nil {
			t.Error(err)
		}
		released := time.Now()
		for !b.leads() {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(released); d > 5*time.Second {
			t.Errorf("b waited %v for a lease that was given up", d)
		}
		if deref(h.lease.Spec.LeaseTransitions) != 1 || h.holder() != "b" {
			t.Errorf("lease %+v", h.lease.Spec)
		}
		b.stop()
		<-b.ended
	})
}

func TestCutOffLeaderStepsBackBeforeAnotherLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		a := stand(t, h, "a")
		b := stand(t, h, "b")
		time.Sleep(time.Minute)
		if !a.leads() {
			a, b = b, a
		}
		cut := time.Now()
		h.mu.Lock()
		a.door.cut = true
		h.mu.Unlock()
		if err := <-a.ended; !errors.Is(err, ErrLost) {
			t.Errorf("the leader that was cut off ended with %v", err)
		}
		if d := time.Since(cut); d < 8*time.Second || d > 12*time.Second {
			t.Errorf("it stepped back after %v", d)
		}
		if b.leads() {
			t.Error("two led at once")
		}
		for !b.leads() {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(cut); d > 22*time.Second {
			t.Errorf("the other took over after %v", d)
		}
		b.stop()
		<-b.ended
	})
}

func TestLeadEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		broken := errors.New("broken")
		err := Run(t.Context(), Config{Door: &door{h: h}, Name: "x", Identity: "a", Log: slog.New(slog.NewTextHandler(io.Discard, nil))},
			func(context.Context) error { return broken })
		if err != broken || h.holder() != "" {
			t.Errorf("run: %v, holder %q", err, h.holder())
		}
	})
}

// A quiet candidate writes once, keeps the lease when it starts again, and steps back when somebody else has taken it.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		cfg := Config{Door: &door{h: h}, Name: "x", Identity: "alone", Quiet: true, Log: slog.New(slog.DiscardHandler)}
		run := func() (leading chan struct{}, done chan error, stop context.CancelFunc) {
			ctx, stop := context.WithCancel(t.Context())
			leading, done = make(chan struct{}), make(chan error, 1)
			go func() {
				done <- Run(ctx, cfg, func(ctx context.Context) error {
					close(leading)
					<-ctx.Done()
					return nil
				})
			}()
			synctest.Wait()
			return leading, done, stop
		}
		for start := range 2 {
			leading, done, stop := run()
			select {
			case <-leading:
			default:
				t.Fatalf("start %d: does not lead at once", start)
			}
			time.Sleep(time.Hour)
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if h.writes != start+1 || h.holder() != "alone" {
				t.Errorf("start %d: %d writes, held by %q", start, h.writes, h.holder())
			}
		}
		_, done, stop := run()
		defer stop()
		other := "other"
		h.mu.Lock()
		l := h.lease.DeepCopy()
		l.Spec.HolderIdentity = &other
		h.put(l)
		h.mu.Unlock()
		time.Sleep(5 * time.Second) // half of Deadline
		synctest.Wait()
		select {
		case err := <-done:
			if !errors.Is(err, ErrLost) {
				t.Errorf("%v, want ErrLost", err)
			}
		default:
			t.Error("still leads")
		}
	})
}
