package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/cloud"
	"sampan.dev/internal/control"
	controlcloud "sampan.dev/internal/control/cloud"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sky is a cloud that takes its time and notes what it is asked for.
type sky struct {
	takes time.Duration // of each call

	mu    sync.Mutex
	calls []string
	fails map[string]error         // by service name
	hangs map[string]chan struct{} // by service name: until it is closed
	has   map[string]string        // balancers by service name: the nodes behind
}

func newSky() *sky {
	return &sky{fails: map[string]error{}, hangs: map[string]chan struct{}{}, has: map[string]string{}}
}

func (s *sky) config() control.Config {
	return control.Config{Controllers: []string{"service-lb-controller"}, Cloud: controlcloud.Config{Provider: &cloud.Provider{Name: "sky", Balancers: s}}}
}

// call notes a call and takes as long as it does.
func (s *sky) call(ctx context.Context, what string, svc *corev1.Service) error {
	s.mu.Lock()
	s.calls = append(s.calls, what+" "+svc.Name)
	err, hang := s.fails[svc.Name], s.hangs[svc.Name]
	s.mu.Unlock()
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (s *sky) called() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.calls
	s.calls = nil
	return out
}

func (s *sky) balancers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.has)
}

func (s *sky) behind(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[name]
}

func (s *sky) set(svc *corev1.Service, nodes []*corev1.Node) {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[svc.Name] = strings.Join(names, " ")
}

func (s *sky) GetLoadBalancer(_ context.Context, _ string, svc *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.has[svc.Name]
	return &corev1.LoadBalancerStatus{}, ok, nil
}

func (s *sky) GetLoadBalancerName(_ context.Context, _ string, svc *corev1.Service) string {
	return svc.Name
}

func (s *sky) EnsureLoadBalancer(ctx context.Context, cluster string, svc *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	if err := s.call(ctx, "ensure", svc); err != nil {
		return nil, err
	}
	s.set(svc, nodes)
	return &corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{Hostname: svc.Name + "." + cluster + ".example.com"}}}, nil
}

func (s *sky) UpdateLoadBalancer(ctx context.Context, _ string, svc *corev1.Service, nodes []*corev1.Node) error {
	if err := s.call(ctx, "update", svc); err != nil {
		return err
	}
	s.set(svc, nodes)
	return nil
}

func (s *sky) EnsureLoadBalancerDeleted(ctx context.Context, _ string, svc *corev1.Service) error {
	if err := s.call(ctx, "delete", svc); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.has, svc.Name)
	return nil
}

func balanced(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeLoadBalancer }

func (b *bench) getService(name string) *corev1.Service {
	b.Helper()
	s, err := client.Get[*corev1.Service](b.Context(), b.door, client.Services, "default", name)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bench) patch(res client.Ref, patch any) {
	b.Helper()
	if _, err := client.MergePatch(b.Context(), b.door, res, patch); err != nil {
		b.Fatal(err)
	}
}

// reasons are those of the events about an object, oldest first, with how often each came.
func (b *bench) reasons(name string) string {
	b.Helper()
	events, err := client.ListAll[*corev1.Event](b.Context(), b.door, client.Events, "default", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	events = slices.DeleteFunc(events, func(e *corev1.Event) bool { return e.InvolvedObject.Name != name })
	slices.SortStableFunc(events, func(x, y *corev1.Event) int { return strings.Compare(x.Name, y.Name) })
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprintf("%s×%d", e.Reason, e.Count))
	}
	return strings.Join(out, " ")
}

func serviceRef(name string) client.Ref {
	return client.Ref{Resource: client.Services, Namespace: "default", Name: name}
}

func TestBalancerOfAService(t *testing.T) {
	s := newSky()
	inBubble(t, s.config(), func(b *bench) {
		b.addNode("n0", nil)
		b.service("web", balanced)
		b.settle(time.Second)
		svc := b.getService("web")
		if in := svc.Status.LoadBalancer.Ingress; len(in) != 1 || in[0].Hostname != "web.kubernetes.example.com" {
			t.Errorf("status %+v", svc.Status)
		}
		if !slices.Equal(svc.Finalizers, []string{controlcloud.Finalizer}) {
			t.Errorf("finalizers %v", svc.Finalizers)
		}
		b.patch(serviceRef("web"), map[string]any{"metadata": map[string]any{"labels": map[string]string{"a": "b"}}})
		b.settle(time.Second)
		if got := s.called(); !slices.Equal(got, []string{"ensure web"}) {
			t.Errorf("calls %q", got)
		}
		b.addNode("n1", nil)
		b.settle(time.Second)
		if got := s.called(); !slices.Equal(got, []string{"update web"}) || s.behind("web") != "n0 n1" {
			t.Errorf("after a node came: calls %q, nodes %q", got, s.behind("web"))
		}
		b.patch(client.Ref{Resource: client.Nodes, Name: "n0"}, map[string]any{"metadata": map[string]any{"labels": map[string]string{corev1.LabelNodeExcludeBalancers: ""}}})
		b.settle(time.Second)
		if s.behind("web") != "n1" {
			t.Errorf("an excluded node: %q", s.behind("web"))
		}
		b.patch(serviceRef("web"), map[string]any{"spec": map[string]any{"loadBalancerSourceRanges": []string{"10.0.0.0/8"}}})
		b.settle(time.Second)
		if err := client.Delete(b.Context(), b.door, client.Services, "default", "web", ""); err != nil {
			t.Fatal(err)
		}
		b.settle(time.Second)
		if got := s.called(); !slices.Equal(got, []string{"update web", "ensure web", "delete web"}) {
			t.Errorf("calls %q", got)
		}
		if _, err := client.Get[*corev1.Service](b.Context(), b.door, client.Services, "default", "web"); !apierrors.IsNotFound(err) {
			t.Errorf("the service is still there: %v", err)
		}
		b.settle(5 * time.Second)
		if got, want := b.reasons("web"), "EnsuringLoadBalancer×2 EnsuredLoadBalancer×2 UpdatedLoadBalancer×2 DeletingLoadBalancer×1 DeletedLoadBalancer×1"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

func TestBalancerIsGivenUp(t *testing.T) {
	s := newSky()
	inBubble(t, s.config(), func(b *bench) {
		class := "example.com/other"
		b.service("web", balanced)
		b.service("other", func(s *corev1.Service) { balanced(s); s.Spec.LoadBalancerClass = &class })
		b.service("plain", nil)
		b.settle(time.Second)
		if !strings.Contains(b.reasons("web"), "UnAvailableLoadBalancer×1") {
			t.Errorf("without a node: %q", b.reasons("web"))
		}
		b.patch(serviceRef("web"), map[string]any{"spec": map[string]any{"type": "ClusterIP"}})
		b.settle(time.Second)
		svc := b.getService("web")
		if len(svc.Finalizers) != 0 || len(svc.Status.LoadBalancer.Ingress) != 0 {
			t.Errorf("finalizers %v, status %v", svc.Finalizers, svc.Status)
		}
		// Its finalizer taken off by another hand, what was made for it goes all the same.
		b.service("bare", balanced)
		b.settle(time.Second)
		b.patch(serviceRef("bare"), map[string]any{"metadata": map[string]any{"finalizers": nil}})
		if err := client.Delete(b.Context(), b.door, client.Services, "default", "bare", ""); err != nil {
			t.Fatal(err)
		}
		b.settle(time.Second)
		if got := s.called(); !slices.Equal(got, []string{"ensure web", "delete web", "ensure bare", "delete bare"}) {
			t.Errorf("calls %q", got)
		}
	})
}

type later struct{ time.Duration }

func (l later) Error() string             { return "not yet" }
func (l later) RetryAfter() time.Duration { return l.Duration }

// A service that fails comes again after 5, 10, 20 … seconds, or when its provider says; the others do not wait for it.
func TestBalancersThatFail(t *testing.T) {
	s := newSky()
	s.fails["bad"], s.fails["slow"] = errors.New("no such thing"), later{7 * time.Second}
	inBubble(t, s.config(), func(b *bench) {
		b.addNode("n0", nil)
		b.service("bad", balanced)
		b.service("slow", balanced)
		b.service("good", balanced)
		b.settle(36 * time.Second)
		count := map[string]int{}
		for _, c := range s.called() {
			count[c]++
		}
		if count["ensure bad"] != 4 || count["ensure slow"] != 6 || count["ensure good"] != 1 {
			t.Errorf("calls %v", count)
		}
		if len(b.getService("good").Status.LoadBalancer.Ingress) != 1 {
			t.Error("the good one has no address")
		}
		events, err := client.ListAll[*corev1.Event](b.Context(), b.door, client.Events, "default", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := "Error syncing load balancer: failed to ensure load balancer: no such thing"
		if !slices.ContainsFunc(events, func(e *corev1.Event) bool {
			return e.Reason == "SyncLoadBalancerFailed" && e.Type == "Warning" && e.Message == want && e.Source.Component == "service-controller"
		}) {
			t.Error("no event says why")
		}
		s.mu.Lock()
		clear(s.fails)
		s.mu.Unlock()
		b.settle(time.Minute)
		if len(b.getService("bad").Status.LoadBalancer.Ingress) != 1 || len(b.getService("slow").Status.LoadBalancer.Ingress) != 1 {
			t.Error("not mended")
		}
	})
}

// A thousand balancers at a provider that takes 100 ms a call and never answers for ten of them.
func TestAThousandBalancers(t *testing.T) {
	const n = 1000
	s := newSky()
	s.takes = 100 * time.Millisecond
	inBubble(t, s.config(), func(b *bench) {
		release := make(chan struct{})
		b.addNode("n0", nil)
		for i := range n {
			name := fmt.Sprintf("s%04d", i)
			if i%100 == 0 {
				s.hangs[name] = release
			}
		}
		began := time.Now()
		for i := range n {
			b.service(fmt.Sprintf("s%04d", i), balanced)
		}
		b.await("all but those that hang", time.Minute, func() bool { return s.balancers() == n-10 })
		t.Logf("%d balancers in %v", n-10, time.Since(began))
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v: one after the other would be %v", took, n*s.takes)
		}
		close(release)
		b.await("the others", time.Minute, func() bool { return s.balancers() == n })
		b.settle(time.Second)
		s.called()
		began = time.Now()
		b.addNode("n1", nil)
		b.await("all lead to the new node", time.Minute, func() bool { return s.behind("s0999") == "n0 n1" })
		b.settle(5 * time.Second)
		if calls := s.called(); len(calls) != n {
			t.Errorf("%d calls for one new node", len(calls))
		}
	})
}

// Without a balancer there is nothing of the loop: no client of its own is made.
func TestNoBalancerCostsNothing(t *testing.T) {
	s := newSky()
	var mu sync.Mutex
	opened := map[string]bool{}
	cfg := s.config()
	cfg.Controllers = nil
	inBubble(t, cfg, func(b *bench) {
		b.service("web", nil)
		b.settle(time.Minute)
		account := api.ServiceAccount("kube-system", "service-controller", "").Name
		is := func() bool { mu.Lock(); defer mu.Unlock(); return opened[account] }
		if is() {
			t.Error("the loop runs")
		}
		b.patch(serviceRef("web"), map[string]any{"spec": map[string]any{"type": "LoadBalancer"}})
		b.settle(time.Second)
		if !is() || len(b.getService("web").Status.LoadBalancer.Ingress) != 1 {
			t.Error("the loop does not run")
		}
	}, func(doors client.Factory) client.Factory {
		return func(u api.User, agent string) client.Interface {
			mu.Lock()
			opened[u.Name] = true
			mu.Unlock()
			return doors(u, agent)
		}
	})
}
