package hub

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/hub/store/relaxed"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLastingLease(t *testing.T) {
	stored := func(change func(*coordinationv1.Lease)) uint64 {
		l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n", Namespace: "d"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("me"), RenewTime: &metav1.MicroTime{Time: time.Unix(1, 0)}}}
		l.GetObjectKind().SetGroupVersionKind(coordinationv1.SchemeGroupVersion.WithKind("Lease"))
		change(l)
		b, err := api.EncodeStored(l)
		if err != nil {
			t.Fatal(err)
		}
		return lastingLease(b)
	}
	base := stored(func(*coordinationv1.Lease) {})
	for name, c := range map[string]struct {
		change func(*coordinationv1.Lease)
		lasts  bool
	}{
		"renewal":    {func(l *coordinationv1.Lease) { l.Spec.RenewTime.Time = time.Unix(2, 0) }, false},
		"managed":    {func(l *coordinationv1.Lease) { l.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}} }, false},
		"holder":     {func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = new("you") }, true},
		"released":   {func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil }, true},
		"transition": {func(l *coordinationv1.Lease) { l.Spec.LeaseTransitions = new(int32(1)) }, true},
		"label":      {func(l *coordinationv1.Lease) { l.Labels = map[string]string{"a": "b"} }, true},
	} {
		if got := stored(c.change) != base; got != c.lasts {
			t.Errorf("%s lasts: %v", name, got)
		}
	}
}

// writes counts what reaches the store that lasts.
type writes struct {
	*memory.Store
	mu struct {
		sync.Mutex
		n int // as many as etcd would sync for
	}
}

func (w *writes) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.n++
}

func (w *writes) take() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.mu.n
	w.mu.n = 0
	return n
}

func (w *writes) Create(ctx context.Context, key string, value []byte, ttl int64) (int64, error) {
	w.count()
	return w.Store.Create(ctx, key, value, ttl)
}

func (w *writes) Update(ctx context.Context, key string, value []byte, expect, ttl int64) (int64, error) {
	w.count()
	return w.Store.Update(ctx, key, value, expect, ttl)
}

func (w *writes) Delete(ctx context.Context, key string, expect int64) (int64, error) {
	w.count()
	return w.Store.Delete(ctx, key, expect)
}

func (w *writes) Apply(ctx context.Context, list []store.Write) error {
	w.count()
	return w.Store.Apply(ctx, list)
}

// Compact is three commits of etcd's database at least.
func (w *writes) Compact(ctx context.Context, revision int64) error {
	w.count()
	w.count()
	w.count()
	return w.Store.Compact(ctx, revision)
}

// TestIdleHourWritesLittle has a hub run for an hour in which one node renews its lease, and counts writes. etcd takes some 40
// KB of the disk for each.
func TestIdleHourWritesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds, st, log := all.Kinds(), &writes{Store: memory.New()}, slog.New(slog.DiscardHandler)
		fast, err := relaxed.Open(t.Context(), relaxed.Config{Back: st, Prefixes: Relaxed(kinds), Log: log})
		if err != nil {
			t.Fatal(err)
		}
		apart := map[string]store.Store{}
		for _, p := range fast.Prefixes() {
			apart[p] = fast
		}
		h, err := New(Config{
			Kinds: kinds, Store: st, Apart: apart, Log: log,
			Bootstrap: true, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		<-h.Ready()
		objects := 0
		synctest.Wait() // until each flow schema has been told, once, that its level is there
		schemas := 0
		h.catalog.Count(ctx, func(k *api.Kind, n, _ int) {
			objects += n
			if k.GVR() == client.FlowSchemas {
				schemas = n
			}
		})
		if n := st.take(); n > objects+schemas+5 {
			t.Errorf("%d writes to begin with, of %d objects, %d of them flow schemas", n, objects, schemas)
		}

		lease, err := client.Create(ctx, h.Own(), client.Leases, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: "n"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("n")},
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := st.take(); n != 1 {
			t.Errorf("%d writes for a new lease", n)
		}
		time.Sleep(2 * time.Hour) // what the start left to be compacted
		st.take()
		for range 360 {
			time.Sleep(10 * time.Second)
			l := lease.DeepCopy()
			l.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
			if lease, err = client.Update(ctx, h.Own(), client.Leases, l); err != nil {
				t.Fatal(err)
			}
		}
		if n := st.take(); n > 8 {
			t.Errorf("%d writes in an hour of renewals", n)
		}
		for i := range 100 {
			_, err := client.Create(ctx, h.Own(), client.Events, &corev1.Event{
				ObjectMeta:     metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("e", i)},
				InvolvedObject: corev1.ObjectReference{Namespace: "default"},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * relaxed.FlushEvery)
		if n := st.take(); n != 1 {
			t.Errorf("%d writes for a hundred events", n)
		}
		if l, err := st.List(ctx, store.Page{Prefix: "/registry/events/default/"}); err != nil || l.Count != 100 {
			t.Errorf("%d events in the store that lasts, %v", l.Count, err)
		}
		cancel()
		<-done
		if err := fast.Close(); err != nil {
			t.Error(err)
		}
		st.Close()
	})
}
