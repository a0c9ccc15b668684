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
				s.mu.Lock()
				s.hangs[name] = release
				s.mu.Unlock()
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

// machines is a cloud that knows machines and routes.
type machines struct {
	mu     sync.Mutex
	of     map[string]*cloud.InstanceMetadata // by node
	down   map[string]bool
	routes []*cloud.Route
	full   bool // no further route can be made
	asked  int
}

func (m *machines) config() control.Config {
	return control.Config{NodeIPAM: ipam, Cloud: controlcloud.Config{ClusterCIDRs: ipam.ClusterCIDRs, Provider: &cloud.Provider{Name: "sky", Instances: m, Routes: m}}}
}

func (m *machines) InstanceExists(_ context.Context, n *corev1.Node) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.of[n.Name] != nil, nil
}

func (m *machines) InstanceShutdown(_ context.Context, n *corev1.Node) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.down[n.Name], nil
}

func (m *machines) InstanceMetadata(_ context.Context, n *corev1.Node) (*cloud.InstanceMetadata, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of[n.Name] == nil {
		return nil, cloud.ErrInstanceNotFound
	}
	return m.of[n.Name], nil
}

func (m *machines) ListRoutes(context.Context, string) ([]*cloud.Route, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.routes), nil
}

func (m *machines) CreateRoute(_ context.Context, _, _ string, r *cloud.Route) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errors.New("quota exceeded")
	}
	m.routes = append(m.routes, r)
	return nil
}

func (m *machines) DeleteRoute(_ context.Context, _ string, r *cloud.Route) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes = slices.DeleteFunc(m.routes, func(x *cloud.Route) bool { return x.DestinationCIDR == r.DestinationCIDR })
	return nil
}

func (m *machines) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

const uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"

// A node waits until its cloud knows it, and then is what that says; its addresses follow the cloud.
func TestNodeOfACloud(t *testing.T) {
	m := &machines{of: map[string]*cloud.InstanceMetadata{}, down: map[string]bool{}}
	inBubble(t, m.config(), func(b *bench) {
		b.addNode("n0", nil)
		b.patch(client.Ref{Resource: client.Nodes, Name: "n0"}, map[string]any{"spec": map[string]any{"taints": []corev1.Taint{
			{Key: uninitialized, Value: "true", Effect: corev1.TaintEffectNoSchedule}}}})
		b.settle(time.Minute)
		if !tainted(b.node("n0"), uninitialized, corev1.TaintEffectNoSchedule) {
			t.Error("initialized without a machine")
		}
		m.change(func() {
			m.of["n0"] = &cloud.InstanceMetadata{ProviderID: "sky://n0", Zone: "z", NodeAddresses: []corev1.NodeAddress{{Type: "ExternalIP", Address: "192.0.2.1"}}}
		})
		b.settle(3 * time.Minute) // its backoff has grown
		n := b.node("n0")
		if tainted(n, uninitialized, corev1.TaintEffectNoSchedule) || n.Spec.ProviderID != "sky://n0" || n.Labels[corev1.LabelTopologyZone] != "z" || !slices.Contains(n.Status.Addresses, corev1.NodeAddress{Type: "ExternalIP", Address: "192.0.2.1"}) {
			t.Errorf("%+v %+v", n.Spec, n.Status.Addresses)
		}
		m.change(func() { // another answer: the one before is the controller's
			m.of["n0"] = &cloud.InstanceMetadata{ProviderID: "sky://n0", Zone: "z", NodeAddresses: []corev1.NodeAddress{{Type: "ExternalIP", Address: "192.0.2.2"}}}
		})
		b.settle(6 * time.Minute)
		if n = b.node("n0"); !slices.Contains(n.Status.Addresses, corev1.NodeAddress{Type: "ExternalIP", Address: "192.0.2.2"}) {
			t.Errorf("addresses %v", n.Status.Addresses)
		}
		b.settle(5 * time.Second)
		if got := b.reasons("n0"); !strings.Contains(got, "Synced×1") {
			t.Errorf("events %q", got)
		}
	})
}

// A node whose machine is shut down is tainted, one whose machine is gone is deleted, and nobody asks about one that is ready.
func TestMachineGoes(t *testing.T) {
	m := &machines{of: map[string]*cloud.InstanceMetadata{}, down: map[string]bool{}}
	const shutdown = "node.cloudprovider.kubernetes.io/shutdown"
	inBubble(t, m.config(), func(b *bench) {
		for _, name := range []string{"n0", "n1", "n2", "n3"} {
			m.change(func() { m.of[name] = &cloud.InstanceMetadata{ProviderID: "sky://" + name} })
			b.addNode(name, nil)
		}
		b.settle(10 * time.Minute)
		m.change(func() {
			if m.asked != 0 {
				t.Errorf("asked %d times about nodes that are ready", m.asked)
			}
			m.down["n0"] = true
		})
		b.setSilent(true, "n0")
		b.settle(time.Minute)
		if !tainted(b.node("n0"), shutdown, corev1.TaintEffectNoSchedule) {
			t.Error("no taint")
		}
		b.setSilent(false, "n0")
		b.postStatus(b.node("n0"), corev1.ConditionTrue)
		b.settle(time.Second)
		if tainted(b.node("n0"), shutdown, corev1.TaintEffectNoSchedule) {
			t.Error("the taint stays on a node that is back")
		}
		m.change(func() { delete(m.of, "n0") })
		b.settle(time.Minute)
		b.node("n0") // is ready, so it is nobody's to delete
		b.setSilent(true, "n0")
		b.await("its end", 2*time.Minute, func() bool {
			_, err := client.Get[*corev1.Node](b.Context(), b.door, client.Nodes, "", "n0")
			return apierrors.IsNotFound(err)
		})
	})
}

// Each node has a route to its pods, or says that it has none and is not given any.
func TestRoutesOfNodes(t *testing.T) {
	m := &machines{of: map[string]*cloud.InstanceMetadata{"n0": {ProviderID: "sky://0"}, "n1": {ProviderID: "sky://1"}}}
	says := func(n *corev1.Node) string {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeNetworkUnavailable {
				return string(c.Status) + " " + c.Reason + ": " + c.Message
			}
		}
		return ""
	}
	inBubble(t, m.config(), func(b *bench) {
		b.addNode("n0", nil)
		b.settle(time.Second)
		if got := says(b.node("n0")); got != "False RouteCreated: RouteController created a route" {
			t.Errorf("condition %q", got)
		}
		m.change(func() { m.full = true })
		b.addNode("n1", nil)
		b.settle(time.Second)
		if got := says(b.node("n1")); got != "True NoRouteCreated: RouteController failed to create a route" || !tainted(b.node("n1"), corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule) {
			t.Errorf("condition %q, taints %v", got, b.node("n1").Spec.Taints)
		}
		m.change(func() { m.full = false })
		b.settle(15 * time.Second)
		if got := says(b.node("n1")); got != "False RouteCreated: RouteController created a route" || tainted(b.node("n1"), corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule) {
			t.Errorf("condition %q, taints %v", got, b.node("n1").Spec.Taints)
		}
		m.change(func() { m.routes = nil }) // by another hand
		b.settle(15 * time.Second)
		if routes, _ := m.ListRoutes(b.Context(), ""); len(routes) != 2 {
			t.Errorf("%d routes", len(routes))
		}
		if err := client.Delete(b.Context(), b.door, client.Nodes, "", "n1", ""); err != nil {
			t.Fatal(err)
		}
		b.settle(time.Second)
		if routes, _ := m.ListRoutes(b.Context(), ""); len(routes) != 1 || string(routes[0].TargetNode) != "n0" {
			t.Errorf("routes %v", routes)
		}
	})
}
