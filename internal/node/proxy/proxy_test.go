package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// door lists what it is given and lets the test send events by resource.
type door struct {
	client.Reader
	objs  map[string][]api.Object
	feeds map[string]*watch.FakeWatcher
}

func (d door) List(_ context.Context, ref client.Ref, _ metav1.ListOptions) (*client.List, error) {
	return &client.List{ResourceVersion: "1", Items: d.objs[ref.Resource.Resource]}, nil
}

func (d door) Watch(_ context.Context, ref client.Ref, _ metav1.ListOptions) (watch.Interface, error) {
	return d.feeds[ref.Resource.Resource], nil
}

func (d door) Get(context.Context, client.Ref, metav1.GetOptions) (runtime.Object, error) {
	return nil, errors.New("no get")
}

// recorder is an applier that keeps what it was told.
type recorder struct {
	mu     sync.Mutex
	resets int
	deltas []Delta
	lost   func()
	fail   int // how many calls fail from now on
}

func (r *recorder) Mode() string { return "test" }

func (r *recorder) Run(ctx context.Context, lost func()) error {
	r.mu.Lock()
	r.lost = lost
	r.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (r *recorder) Reset(d *Delta) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail > 0 {
		r.fail--
		return errors.New("no")
	}
	r.resets++
	r.deltas = append(r.deltas, *d)
	return nil
}

func (r *recorder) Apply(d *Delta) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail > 0 {
		r.fail--
		return errors.New("no")
	}
	r.deltas = append(r.deltas, *d)
	return nil
}

func (r *recorder) state() (resets, deltas int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resets, len(r.deltas)
}

func TestProxyAppliesChangesInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", ResourceVersion: "1"},
			Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.5", Ports: []corev1.ServicePort{{Port: 80}}}}
		name, port, rev := "", int32(8080), 1
		slice := func(addrs ...string) *discoveryv1.EndpointSlice {
			rev++
			s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s-1", ResourceVersion: strings.Repeat("1", rev),
				Labels: map[string]string{discoveryv1.LabelServiceName: "s"}}, AddressType: discoveryv1.AddressTypeIPv4,
				Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}}}
			for _, a := range addrs {
				s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
			}
			return s
		}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "here", ResourceVersion: "1"}}
		d := door{objs: map[string][]api.Object{"services": {svc}, "nodes": {node}}, feeds: map[string]*watch.FakeWatcher{}}
		for _, r := range []string{"services", "nodes", "endpointslices"} {
			d.feeds[r] = watch.NewFakeWithChanSize(100, false)
		}
		log := slog.New(slog.DiscardHandler)
		set := cache.NewSet(d, log)
		rec := &recorder{}
		p := New(Config{NodeName: "here", V4: rec, Log: log,
			Services: cache.For[*corev1.Service](set, client.Services, cache.Options{}),
			Slices:   cache.For[*discoveryv1.EndpointSlice](set, client.EndpointSlices, cache.Options{}),
			Nodes:    cache.For[*corev1.Node](set, client.Nodes, cache.Options{})})
		if code := get(p, "/healthz"); code != 503 {
			t.Errorf("healthy before anything was applied: %d", code)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = set.Run(ctx) })
		wg.Go(func() { _ = p.Run(ctx) })
		time.Sleep(time.Second)
		synctest.Wait()
		if resets, n := rec.state(); resets != 1 || n != 1 || len(rec.deltas[0].Changes) != 1 {
			t.Fatalf("at start: %d resets, %d deltas", resets, n)
		}
		if code := get(p, "/healthz"); code != 200 {
			t.Errorf("health: %d", code)
		}
		// The first change after a quiet time is applied without waiting, those that follow at once together.
		d.feeds["endpointslices"].Add(slice("10.0.0.1"))
		synctest.Wait()
		if _, n := rec.state(); n != 2 {
			t.Errorf("%d deltas, want the first change at once", n)
		}
		for _, a := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4"} {
			d.feeds["endpointslices"].Modify(slice("10.0.0.1", a))
		}
		time.Sleep(pause)
		synctest.Wait()
		if _, n := rec.state(); n != 3 {
			t.Errorf("%d deltas, want three changes in one", n)
		}
		// After a failure everything is made anew, and again until that works.
		time.Sleep(time.Second)
		rec.mu.Lock()
		rec.fail = 2
		rec.mu.Unlock()
		d.feeds["endpointslices"].Modify(slice("10.0.0.9"))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		resets, n := rec.state()
		k := Key{rec.deltas[n-1].AddClusterIPs[0], 6, 80}
		if resets != 2 || rec.deltas[n-1].Changes[k].New.Front.Backends[0].String() != "10.0.0.9:8080" {
			t.Errorf("%d resets, last %+v", resets, rec.deltas[n-1])
		}
		// When somebody breaks the rules they are made anew at once, but not without end.
		time.Sleep(time.Second)
		for range 10 {
			rec.lost()
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if now, _ := rec.state(); now < resets+1 || now > resets+2 {
			t.Errorf("%d resets within a second", now-resets)
		}
		cancel()
		wg.Wait()
	})
}

func get(p *Proxy, path string) int {
	rec := httptest.NewRecorder()
	p.HealthHandler().ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
	return rec.Code
}
