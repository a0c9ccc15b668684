package lease

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
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
	h    *hub
	cut  bool
	look func(context.Context) // before each Get
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
	if d.look != nil {
		d.look(ctx)
	}
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

// wrote is how often the lease has been written so far.
func (h *hub) wrote() int {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writes
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

func stand(t *testing.T, h *hub, id string, change ...func(*door)) *candidate {
	d := &door{h: h}
	for _, f := range change {
		f(d)
	}
	return standAs(t, Config{Door: d, Name: "x", Identity: id, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

func standQuiet(t *testing.T, h *hub, a *Audience) *candidate {
	return standAs(t, Config{Door: &door{h: h}, Name: "x", Identity: "alone", Quiet: true, Audience: a, Log: slog.New(slog.DiscardHandler)})
}

func standAs(t *testing.T, cfg Config) *candidate {
	d := cfg.Door.(*door)
	h := d.h
	c := &candidate{door: d, ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(t.Context())
	c.stop = stop
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
		if h.wrote() < 140 || h.wrote() > 152 {
			t.Errorf("%d writes in five minutes, want one per two seconds: b should only read", h.wrote())
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
		for a.leads() {
			time.Sleep(100 * time.Millisecond)
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
		h.mu.Lock()
		a.door.cut = false
		h.mu.Unlock()
		time.Sleep(time.Minute)
		if a.leads() || !b.leads() {
			t.Error("who comes back does not stand by")
		}
		b.stop()
		<-b.ended
		for !a.leads() {
			time.Sleep(100 * time.Millisecond)
		}
		a.stop()
		if err := <-a.ended; err != nil {
			t.Error(err)
		}
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
		var led atomic.Bool
		run := func() (leading chan struct{}, done chan error, stop context.CancelFunc) {
			ctx, stop := context.WithCancel(t.Context())
			leading, done = make(chan struct{}, 10), make(chan error, 1)
			go func() {
				done <- Run(ctx, cfg, func(ctx context.Context) error {
					leading <- struct{}{}
					led.Store(true)
					<-ctx.Done()
					led.Store(false)
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
			if h.wrote() != start+1 || h.holder() != "alone" {
				t.Errorf("start %d: %d writes, held by %q", start, h.wrote(), h.holder())
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
		if led.Load() {
			t.Error("still leads")
		}
		select {
		case err := <-done:
			t.Errorf("ended with %v instead of standing by", err)
		default:
		}
		time.Sleep(20 * time.Second) // the other is not heard of again
		synctest.Wait()
		if !led.Load() || h.holder() != "alone" {
			t.Errorf("does not lead again; held by %q", h.holder())
		}
	})
}

// A quiet leader whose hub does not answer, for however long, goes on: nobody else can have the lease.
func TestQuietLeaderOutlivesItsHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		c := standQuiet(t, h, nil)
		if !c.leads() {
			t.Fatal("does not lead")
		}
		h.mu.Lock()
		c.door.cut = true
		h.mu.Unlock()
		time.Sleep(time.Hour)
		if !c.leads() {
			t.Error("leadership was lost to nobody")
		}
		h.mu.Lock()
		c.door.cut = false
		h.mu.Unlock()
		time.Sleep(time.Minute)
		if !c.leads() || h.wrote() != 1 {
			t.Errorf("leads: %v, %d writes", c.leads(), h.wrote())
		}
	})
}

// Whoever looks at a lease that is held quietly finds it renewed, as a stock candidate does that stands for it: it stands by as
// long as the holder lives and takes over when it does not. Nothing is written while nobody looks.
func TestQuietLeaseIsRenewedWhereSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, audience := &hub{}, &Audience{}
		ours := standQuiet(t, h, audience)
		time.Sleep(time.Hour)
		if !ours.leads() || h.wrote() != 1 {
			t.Fatalf("leads: %v, %d writes in an hour that nobody looked", ours.leads(), h.wrote())
		}
		audience.Look(t.Context(), "kube-system", "x")
		if d := time.Since(h.lease.Spec.RenewTime.Time); d > 2*time.Second {
			t.Errorf("who looks finds a lease that was renewed %v ago", d)
		}
		for range 100 { // in the same moment
			audience.Look(t.Context(), "", "")
		}
		audience.Look(t.Context(), "kube-system", "another")
		audience.Look(t.Context(), "default", "x")
		if h.wrote() != 2 {
			t.Errorf("%d writes for one look", h.wrote())
		}

		stock := stand(t, h, "stock", func(d *door) { d.look = func(ctx context.Context) { audience.Look(ctx, "kube-system", "x") } })
		time.Sleep(10 * time.Minute)
		if !ours.leads() || stock.leads() {
			t.Fatalf("ours leads: %v, the other: %v", ours.leads(), stock.leads())
		}
		ours.stop()
		<-ours.ended
		dead := time.Now()
		for !stock.leads() {
			time.Sleep(time.Second)
		}
		if d := time.Since(dead); d > 22*time.Second {
			t.Errorf("the other took over %v after ours had died", d)
		}

		// Ours comes again and stands by, and leads when the other has gone.
		ours = standQuiet(t, h, audience)
		time.Sleep(10 * time.Minute)
		if ours.leads() || !stock.leads() {
			t.Fatalf("ours leads: %v, the other: %v", ours.leads(), stock.leads())
		}
		stock.stop()
		<-stock.ended
		for !ours.leads() {
			time.Sleep(time.Second)
		}
	})
}

// While somebody watches, the lease is renewed at the pace of others; not before and not after.
func TestQuietLeaseIsRenewedWhileWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, namespace := range []string{"kube-system", ""} {
			h, audience := &hub{}, &Audience{}
			ours := standQuiet(t, h, audience)
			time.Sleep(time.Hour)
			elsewhere := audience.Watch(t.Context(), "kube-node-lease")
			time.Sleep(time.Minute)
			before := h.wrote()
			end := audience.Watch(t.Context(), namespace)
			time.Sleep(time.Minute)
			during := h.wrote() - before
			end()
			elsewhere()
			time.Sleep(time.Hour)
			if after := h.wrote() - before - during; before != 1 || during < 28 || during > 32 || after > 1 {
				t.Errorf("watching %q: %d writes before, %d in a minute of it, %d after", namespace, before, during, after)
			}
			if n := len(audience.mu.watchers); n != 0 {
				t.Errorf("%d namespaces are remembered", n)
			}
			ours.stop()
			<-ours.ended
		}
	})
}

// A lead that panics leaves nobody renewing.
func TestLeadPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		func() {
			defer func() { recover() }()
			cfg := Config{Door: &door{h: h}, Name: "x", Identity: "a", Quiet: true, Audience: &Audience{}, Log: slog.New(slog.DiscardHandler)}
			_ = Run(context.Background(), cfg, func(context.Context) error { panic("oh") })
		}()
		synctest.Wait() // the goroutine that renews has ended, or this test would not
	})
}
