package plug

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/cloud"
	"sampan.dev/internal/cloud/plug/cloudv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// small is a whole provider: a rack of machines, a balancer of each service at an address of its own, routes in a map.
type small struct {
	cloudv1.UnimplementedCloudServer
	mu        sync.Mutex
	machines  map[string]string   // ID by the node's name
	balancers map[string]string   // address by the service's UID
	behind    map[string][]string // nodes by the service's UID
	routes    map[string]*cloudv1.Route
}

func (s *small) Describe(context.Context, *cloudv1.DescribeRequest) (*cloudv1.DescribeResponse, error) {
	return &cloudv1.DescribeResponse{Name: "small", Machines: true, Balancers: true, Routes: true}, nil
}

func (s *small) GetMachine(_ context.Context, r *cloudv1.GetMachineRequest) (*cloudv1.GetMachineResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.machines[r.Node.Name]
	return &cloudv1.GetMachineResponse{Found: ok, ProviderId: "small://" + id, Zone: "rack", ShutDown: id == "asleep",
		Addresses: []*cloudv1.Address{{Type: "InternalIP", Address: "10.0.0.1"}}}, nil
}

func (s *small) EnsureBalancer(_ context.Context, r *cloudv1.EnsureBalancerRequest) (*cloudv1.EnsureBalancerResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Service.Annotations["small.example.com/mood"] {
	case "slow":
		return &cloudv1.EnsureBalancerResponse{RetryAfterSeconds: 7, WaitingFor: "a parcel"}, nil
	case "bad":
		return nil, status.Error(codes.ResourceExhausted, "no address is left")
	}
	address, ok := s.balancers[r.Service.Uid]
	if !ok {
		address = "192.0.2." + string(rune('1'+len(s.balancers)))
		s.balancers[r.Service.Uid] = address
	}
	s.behind[r.Service.Uid] = nil
	for _, n := range r.Nodes {
		s.behind[r.Service.Uid] = append(s.behind[r.Service.Uid], n.Name)
	}
	return &cloudv1.EnsureBalancerResponse{Ingress: []*cloudv1.Ingress{{Ip: address, Proxy: true}}}, nil
}

func (s *small) GetBalancer(_ context.Context, r *cloudv1.GetBalancerRequest) (*cloudv1.GetBalancerResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.balancers[r.Service.Uid]
	return &cloudv1.GetBalancerResponse{Found: ok}, nil
}

func (s *small) DeleteBalancer(_ context.Context, r *cloudv1.DeleteBalancerRequest) (*cloudv1.DeleteBalancerResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.balancers, r.Service.Uid)
	return &cloudv1.DeleteBalancerResponse{}, nil
}

func (s *small) ListRoutes(context.Context, *cloudv1.ListRoutesRequest) (*cloudv1.ListRoutesResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &cloudv1.ListRoutesResponse{}
	for _, r := range s.routes {
		out.Routes = append(out.Routes, r)
	}
	return out, nil
}

func (s *small) CreateRoute(_ context.Context, r *cloudv1.CreateRouteRequest) (*cloudv1.CreateRouteResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[r.Route.Destination] = r.Route
	return &cloudv1.CreateRouteResponse{}, nil
}

// serve runs a provider at a socket and writes the file that leads to it.
func serve(t *testing.T, s cloudv1.CloudServer) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	cloudv1.RegisterCloudServer(server, s)
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return write(t, "endpoint: unix://"+filepath.Join(dir, "s")+"\n")
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProgram(t *testing.T) {
	s := &small{machines: map[string]string{"n": "7", "m": "asleep"}, balancers: map[string]string{}, behind: map[string][]string{}, routes: map[string]*cloudv1.Route{}}
	p, err := New(serve(t, s), "c")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	node := func(name string) *corev1.Node { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	m, err := p.Instances.InstanceMetadata(ctx, node("n"))
	if err != nil || m.ProviderID != "small://7" || m.Zone != "rack" || len(m.NodeAddresses) != 1 || m.NodeAddresses[0].Type != corev1.NodeInternalIP {
		t.Errorf("%+v %v", m, err)
	}
	if down, err := p.Instances.InstanceShutdown(ctx, node("m")); !down || err != nil {
		t.Errorf("shut down: %v %v", down, err)
	}
	if _, err := p.Instances.InstanceMetadata(ctx, node("other")); !errors.Is(err, cloud.ErrInstanceNotFound) {
		t.Errorf("not there: %v", err)
	}
	svc := func(mood string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", UID: types.UID("u"), Annotations: map[string]string{"small.example.com/mood": mood}}}
	}
	st, err := p.Balancers.EnsureLoadBalancer(ctx, "c", svc(""), []*corev1.Node{node("n")})
	if err != nil || len(st.Ingress) != 1 || st.Ingress[0].IP != "192.0.2.1" || *st.Ingress[0].IPMode != corev1.LoadBalancerIPModeProxy {
		t.Errorf("%+v %v", st, err)
	}
	if err := p.Balancers.UpdateLoadBalancer(ctx, "c", svc(""), []*corev1.Node{node("n"), node("m")}); err != nil || len(s.behind["u"]) != 2 {
		t.Errorf("%v %v", s.behind, err)
	}
	if _, err := p.Balancers.EnsureLoadBalancer(ctx, "c", svc("slow"), nil); cloud.RetryAfter(err) != 7*time.Second || err.Error() != "a parcel" {
		t.Errorf("slow: %v", err)
	}
	if _, err := p.Balancers.EnsureLoadBalancer(ctx, "c", svc("bad"), nil); err == nil || err.Error() != "no address is left" {
		t.Errorf("bad: %v", err)
	}
	if err := p.Balancers.EnsureLoadBalancerDeleted(ctx, "c", svc("")); err != nil {
		t.Error(err)
	}
	if _, found, err := p.Balancers.GetLoadBalancer(ctx, "c", svc("")); found || err != nil {
		t.Errorf("deleted: %v %v", found, err)
	}
	if err := p.Routes.CreateRoute(ctx, "c", "hint", &cloud.Route{TargetNode: "n", DestinationCIDR: "10.244.0.0/24"}); err != nil {
		t.Error(err)
	}
	if routes, err := p.Routes.ListRoutes(ctx, "c"); err != nil || len(routes) != 1 || routes[0].TargetNode != "n" {
		t.Errorf("%v %v", routes, err)
	}
	if err := p.Routes.DeleteRoute(ctx, "c", &cloud.Route{}); !errors.Is(err, cloud.ErrNotImplemented) {
		t.Errorf("what it does not do: %v", err)
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"endpoint: 192.0.2.1:4000\n":                             "caFile: Required value",
		"endpoint: cloud.example.com:4000\n":                     "caFile: Required value",
		"{}\n":                                                   "endpoint: Required value",
		"endpoint: unix:///x\nport: 1\n":                         `unknown field "port"`,
		"endpoint: 192.0.2.1:4000\ncaFile: /nonesuch\n":          "no such file",
		"endpoint: 192.0.2.1:4000\ncaFile: /proc/self/cmdline\n": "no certificate in it",
	} {
		if _, err := New(write(t, text), "c"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
