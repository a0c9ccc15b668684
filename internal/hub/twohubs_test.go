package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/etcd"
	"sampan.dev/internal/hub/store/memory"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// pair is two hubs on one store (on an etcd elsewhere each by a connection of its own), of which the second comes and goes.
type pair struct {
	t      *testing.T
	stores [2]store.Store
	hubs   [2]atomic.Pointer[life]
	ends   [2]func()
}

// life is a hub from its start to its end, which ends the calls to it.
type life struct {
	hub *Hub
	ctx context.Context
}

// run starts the i-th hub anew.
func (p *pair) run(i int) {
	p.t.Helper()
	h, err := New(Config{
		Kinds: all.Kinds(), Store: p.stores[i], Shared: true, Log: quiet(), Bootstrap: true, Authenticator: byHeader{}, Authorizer: allowAll{},
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/22"), Advertise: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 6443),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	select {
	case <-h.Ready():
	case err := <-done:
		p.t.Fatal(err)
	}
	p.hubs[i].Store(&life{h, ctx})
	p.ends[i] = func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			p.t.Errorf("hub %d: %v", i, err)
		}
	}
}

// door returns a door to the i-th hub as it runs now, and until when.
func (p *pair) door(i int) (context.Context, client.Interface) {
	l := p.hubs[i].Load()
	return l.ctx, l.hub.Door(api.User{Name: "u", Groups: []string{api.GroupMasters}}, "test")
}

// history is what one watcher saw: of each name the last value, and where a value was none that may come after it.
type history struct {
	mu    sync.Mutex
	last  map[string]int
	wrong []string
}

// see takes what a watch shows, which is every write; or what a list does, which is a later one.
func (h *history) see(cm *corev1.ConfigMap, listed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, _ := strconv.Atoi(cm.Data["n"])
	if was, ok := h.last[cm.Name]; ok && (n < was || n > was+1 && !listed) {
		h.wrong = append(h.wrong, fmt.Sprintf("%s: %d after %d", cm.Name, n, was))
	}
	h.last[cm.Name] = n
}

// follow watches through one hub, and goes on from where it was when the watch ends. A hub that has just started may know nothing of
// that time any more (410): then it lists anew.
func (p *pair) follow(ctx context.Context, i int, h *history) {
	revision := ""
	for ctx.Err() == nil {
		life, door := p.door(i)
		if revision == "" {
			l, err := door.List(life, client.Ref{Resource: client.ConfigMaps, Namespace: "default"}, metav1.ListOptions{})
			if err != nil {
				time.Sleep(time.Millisecond)
				continue
			}
			for _, o := range l.Items {
				h.see(o.(*corev1.ConfigMap), true)
			}
			revision = l.ResourceVersion
		}
		w, err := door.Watch(life, client.Ref{Resource: client.ConfigMaps, Namespace: "default"}, metav1.ListOptions{ResourceVersion: revision})
		if err != nil {
			if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
				revision = ""
			}
			time.Sleep(time.Millisecond)
			continue
		}
		stop := context.AfterFunc(ctx, w.Stop)
		for e := range w.ResultChan() {
			cm, ok := e.Object.(*corev1.ConfigMap)
			if e.Type == watch.Error {
				revision = ""
				break
			}
			if !ok || e.Type == watch.Bookmark {
				continue
			}
			h.see(cm, false)
			revision = cm.ResourceVersion
		}
		stop()
		w.Stop()
	}
}

// count adds one to a counter, through either hub, until it has been told that it did. It returns what the counter is then.
func (p *pair) count(ctx context.Context, name string, want int, via int) error {
	for {
		life, door := p.door(via)
		cm, err := client.Get[*corev1.ConfigMap](life, door, client.ConfigMaps, "default", name)
		if err == nil {
			if have, _ := strconv.Atoi(cm.Data["n"]); have == want {
				return nil // an answer that was lost
			}
			out := cm.DeepCopy()
			out.Data = map[string]string{"n": strconv.Itoa(want)}
			_, err = client.Update(life, door, client.ConfigMaps, out)
		}
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		via = 1 - via
	}
}

// serve makes a Service with an address and a node port, through either hub.
func (p *pair) serve(ctx context.Context, name string, via int) (*corev1.Service, error) {
	for {
		life, door := p.door(via)
		svc, err := client.Create(life, door, client.Services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}},
		})
		switch {
		case err == nil:
			return svc, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case apierrors.IsAlreadyExists(err):
			if svc, err = client.Get[*corev1.Service](life, door, client.Services, "default", name); err == nil {
				return svc, nil
			}
		}
		via = 1 - via
	}
}

// Two hubs on one store: what either acknowledges is there, the watches of both show every write in order, and no address and no port
// is given twice, while one of them comes and goes.
func TestTwoHubs(t *testing.T) {
	s := memory.New()
	defer s.Close()
	twoHubs(t, [2]store.Store{s, s})
}

// The same holds on a stock etcd, where each hub has a connection of its own.
func TestTwoHubsOnEtcd(t *testing.T) {
	program := os.Getenv("SAMPAN_TEST_ETCD")
	if program == "" {
		t.Skip("SAMPAN_TEST_ETCD is not set")
	}
	server := stockEtcd(t, program)
	var stores [2]store.Store
	for i := range stores {
		s, err := etcd.External(t.Context(), etcd.ExternalConfig{Servers: []string{server}, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores[i] = s
	}
	twoHubs(t, stores)
}

// stockEtcd runs the program until the test ends, and returns the URL for its clients.
func stockEtcd(t *testing.T, program string) string {
	t.Helper()
	var urls [2]string
	for i := range urls {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		urls[i] = "http://" + l.Addr().String()
		l.Close()
	}
	cmd := exec.Command(program, "--data-dir", t.TempDir(), "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
		"--listen-peer-urls", urls[1])
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return urls[0]
}

// twoHubs writes and watches through both hubs and judges what they were told.
func twoHubs(t *testing.T, stores [2]store.Store) {
	const writers, watchers, writes, restarts = 8, 16, 300, 20
	p := &pair{t: t, stores: stores}
	p.run(0)
	p.run(1)
	ctx, cancel := context.WithCancel(t.Context())
	for i := range writers {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("w", i)}, Data: map[string]string{"n": "0"}}
		life, door := p.door(i % 2)
		if _, err := client.Create(life, door, client.ConfigMaps, cm); err != nil {
			t.Fatal(err)
		}
	}
	var watching, writing sync.WaitGroup
	seen := make([]*history, watchers)
	for i := range seen {
		seen[i] = &history{last: map[string]int{}}
		watching.Go(func() { p.follow(ctx, i%2, seen[i]) })
	}
	var mu sync.Mutex
	owner := map[string]string{} // address or port
	for i := range writers {
		writing.Go(func() {
			for n := range writes {
				if err := p.count(ctx, fmt.Sprint("w", i), n+1, (i+n)%2); err != nil {
					t.Error(err)
					return
				}
				if n%4 != 0 {
					continue
				}
				name := fmt.Sprintf("s%d-%d", i, n)
				svc, err := p.serve(ctx, name, (i+n)%2)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, what := range []string{svc.Spec.ClusterIP, strconv.Itoa(int(svc.Spec.Ports[0].NodePort))} {
					if was := owner[what]; was != "" {
						t.Errorf("%s is %s's and %s's", what, was, name)
					}
					owner[what] = name
				}
				mu.Unlock()
			}
		})
	}
	for range restarts { // while they write
		p.ends[1]()
		p.run(1)
	}
	mu.Lock()
	t.Logf("%d of %d Services made when the last restart was over", len(owner)/2, writers*writes/4)
	mu.Unlock()
	writing.Wait()
	for i, h := range seen {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			h.mu.Lock()
			whole := len(h.last) == writers
			for _, n := range h.last {
				whole = whole && n == writes
			}
			h.mu.Unlock()
			if whole {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("watcher %d: %v", i, h.last)
			}
		}
		if len(h.wrong) > 0 {
			t.Errorf("watcher %d: %q", i, h.wrong)
		}
	}
	cancel()
	watching.Wait()
	life, door := p.door(0)
	e, err := client.Get[*corev1.Endpoints](life, door, client.EndpointsResource, "default", "kubernetes")
	if err != nil || len(e.Subsets) != 1 || len(e.Subsets[0].Addresses) != 2 {
		t.Errorf("endpoints of both: %v %v", e, err)
	}
	p.ends[1]()
	e, err = client.Get[*corev1.Endpoints](life, door, client.EndpointsResource, "default", "kubernetes")
	if err != nil || len(e.Subsets) != 1 || len(e.Subsets[0].Addresses) != 1 || e.Subsets[0].Addresses[0].IP != "192.0.2.1" {
		t.Errorf("endpoints of the one that is left: %v %v", e, err)
	}
	p.ends[0]()
}
