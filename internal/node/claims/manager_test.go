package claims

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/client"

	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	drahealthv1 "k8s.io/kubelet/pkg/apis/dra-health/v1"
	drav1 "k8s.io/kubelet/pkg/apis/dra/v1"
)

// hub has claims and nothing else.
type hub struct {
	client.Interface
	claims map[string]*resourcev1.ResourceClaim
}

func (h hub) Get(_ context.Context, ref client.Ref, _ metav1.GetOptions) (runtime.Object, error) {
	if k := h.claims[ref.Name]; k != nil {
		return k, nil
	}
	return nil, apierrors.NewNotFound(ref.Resource.GroupResource(), ref.Name)
}

// fake is a driver that prepares one device for each claim.
type fake struct {
	drav1.UnimplementedDRAPluginServer
	mu       sync.Mutex
	prepared map[string]int // by claim: how often
	failing  bool
}

func (f *fake) NodePrepareResources(_ context.Context, q *drav1.NodePrepareResourcesRequest) (*drav1.NodePrepareResourcesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &drav1.NodePrepareResourcesResponse{Claims: map[string]*drav1.NodePrepareResourceResponse{}}
	for _, c := range q.Claims {
		one := &drav1.NodePrepareResourceResponse{Devices: []*drav1.Device{{RequestNames: []string{"r"}, PoolName: "pool", DeviceName: "d", CdiDeviceIds: []string{"v/c=" + c.Uid}}}}
		if f.failing {
			one = &drav1.NodePrepareResourceResponse{Error: "it is stuck"}
		} else {
			f.prepared[c.Name]++
		}
		out.Claims[c.Uid] = one
	}
	return out, nil
}

func (f *fake) NodeUnprepareResources(_ context.Context, q *drav1.NodeUnprepareResourcesRequest) (*drav1.NodeUnprepareResourcesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing {
		return nil, errors.New("it is stuck")
	}
	out := &drav1.NodeUnprepareResourcesResponse{Claims: map[string]*drav1.NodeUnprepareResourceResponse{}}
	for _, c := range q.Claims {
		delete(f.prepared, c.Name)
		out.Claims[c.Uid] = &drav1.NodeUnprepareResourceResponse{}
	}
	return out, nil
}

func (f *fake) serve(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	drav1.RegisterDRAPluginServer(s, f)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return socket
}

func claimed(name string, pods ...string) *resourcev1.ResourceClaim {
	k := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)}}
	k.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{{Request: "r", Driver: "d.example.com", Pool: "pool", Device: "d"}}}}
	for _, p := range pods {
		k.Status.ReservedFor = append(k.Status.ReservedFor, resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: p, UID: types.UID(p)})
	}
	return k
}

func using(name string, claims ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	for _, c := range claims {
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, corev1.PodResourceClaim{Name: c, ResourceClaimName: &c})
		p.Spec.Containers[0].Resources.Claims = append(p.Spec.Containers[0].Resources.Claims, corev1.ResourceClaim{Name: c})
	}
	return p
}

func manager(t *testing.T, dir string, h hub) *Manager {
	t.Helper()
	m, err := New(Config{Dir: dir, Node: "n", Hub: h, Wake: func(types.UID) {}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.end(); m.wait.Wait() })
	return m
}

// A claim of two pods is prepared once and taken back with the second; what an earlier run prepared is taken back by the next.
func TestPreparing(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	h := hub{claims: map[string]*resourcev1.ResourceClaim{"one": claimed("one", "a", "b"), "two": claimed("two", "a")}}
	f := &fake{prepared: map[string]int{}}
	m := manager(t, dir, h)
	a, b := using("a", "one", "two"), using("b", "one")
	if err := m.Prepare(ctx, a); err == nil || !strings.Contains(err.Error(), "DRA driver d.example.com is not registered") {
		t.Fatalf("without a driver: %v", err)
	}
	socket := f.serve(t)
	if err := m.Register(ctx, "d.example.com", socket, []string{drav1.DRAPluginService}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*corev1.Pod{a, b, a} {
		if err := m.Prepare(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if f.prepared["one"] != 1 || f.prepared["two"] != 1 {
		t.Errorf("prepared: %v", f.prepared)
	}
	ids, err := m.Devices(a, &a.Spec.Containers[0])
	if err != nil || len(ids) != 2 || ids[0].Name != "v/c=uid-one" || ids[1].Name != "v/c=uid-two" {
		t.Errorf("devices: %v %v", ids, err)
	}
	if err := m.Prepare(ctx, using("c", "one")); err == nil || !strings.Contains(err.Error(), "is not allowed to use ResourceClaim one") {
		t.Errorf("a pod that a claim is not reserved for: %v", err)
	}
	if err := m.Unprepare(ctx, "a"); err != nil || f.prepared["one"] != 1 || f.prepared["two"] != 0 || m.Has("a") || !m.Has("b") {
		t.Errorf("after a: %v, %v", err, f.prepared)
	}

	next := manager(t, dir, h)
	if !next.Has("b") {
		t.Fatal("the next run does not know of b")
	}
	if ids, err := next.Devices(b, &b.Spec.Containers[0]); err != nil || len(ids) != 1 {
		t.Errorf("in the next run: %v %v", ids, err)
	}
	if err := next.Register(ctx, "d.example.com", socket, []string{drav1.DRAPluginService}); err != nil {
		t.Fatal(err)
	}
	if err := next.Unprepare(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	if len(f.prepared) != 0 || next.Has("b") {
		t.Errorf("left: %v", f.prepared)
	}
}

// What fails is told, and the pod has the claim until it was taken back.
func TestPreparingFails(t *testing.T) {
	ctx := t.Context()
	f := &fake{prepared: map[string]int{}, failing: true}
	m := manager(t, t.TempDir(), hub{claims: map[string]*resourcev1.ResourceClaim{"one": claimed("one", "a", "b")}})
	if err := m.Register(ctx, "d.example.com", f.serve(t), []string{drav1.DRAPluginService}); err != nil {
		t.Fatal(err)
	}
	if err := m.Prepare(ctx, using("a", "one")); err == nil || err.Error() != "prepare dynamic resources: NodePrepareResources failed for ResourceClaim one: it is stuck" {
		t.Errorf("%v", err)
	}
	if err := m.Unprepare(ctx, "a"); err == nil || !m.Has("a") {
		t.Errorf("%v, has %t", err, m.Has("a"))
	}
	if err := m.Prepare(ctx, using("b", "one")); err == nil || !strings.Contains(err.Error(), "ResourceClaim one is being unprepared") {
		t.Errorf("%v", err)
	}
	f.mu.Lock()
	f.failing = false
	f.mu.Unlock()
	if err := m.Unprepare(ctx, "a"); err != nil || m.Has("a") {
		t.Errorf("%v, has %t", err, m.Has("a"))
	}
}

// The checkpoint is the stock kubelet's, byte for byte.
func TestCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	c, err := claimOf(claimed("one"))
	if err != nil {
		t.Fatal(err)
	}
	c.PodUIDs.Insert("a")
	c.DriverState["d.example.com"] = driverState{Devices: []device{{PoolName: "pool", DeviceName: "d", RequestNames: []string{"r"}, CDIDeviceIDs: []string{"v/c=x"}}}}
	if err := save(path, map[string]*claim{"ns/one": c}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const data = `{"kind":"DRACheckpoint","apiVersion":"checkpoint.dra.kubelet.k8s.io/v1","ClaimInfoStateList":[{"ClaimUID":"uid-one","ClaimName":"one","Namespace":"ns","PodUIDs":{"a":{}},` +
		`"DriverState":{"d.example.com":{"Devices":[{"PoolName":"pool","DeviceName":"d","ShareID":null,"RequestNames":["r"],"CDIDeviceIDs":["v/c=x"]}]}}}]}`
	var got file
	if err := json.Unmarshal(text, &got); err != nil || got.Data != data {
		t.Errorf("%v\ngot  %s\nwant %s", err, got.Data, data)
	}
	all, err := load(path)
	if err != nil || len(all) != 1 || !all["ns/one"].PodUIDs.Has("a") {
		t.Errorf("%v, %v", all, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "uid-one", "uid-two", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(path); err == nil || !strings.Contains(err.Error(), "corrupted") {
		t.Errorf("a changed checkpoint: %v", err)
	}
}

// What a driver says of a device holds for a while.
func TestHealth(t *testing.T) {
	var h health
	now, d := time.Unix(1000, 0), deviceName{"d.example.com", "pool", "d"}
	say := func(s drahealthv1.HealthStatus, at time.Time) bool {
		return h.told("d.example.com", []*drahealthv1.DeviceHealth{{Device: &drahealthv1.DeviceIdentifier{PoolName: "pool", DeviceName: "d"}, Health: s}}, at)[d]
	}
	if got := h.get(d, now); got.health != corev1.ResourceHealthStatusUnknown {
		t.Errorf("before: %v", got)
	}
	if !say(drahealthv1.HealthStatus_HEALTHY, now) || say(drahealthv1.HealthStatus_HEALTHY, now.Add(time.Second)) || !say(drahealthv1.HealthStatus_UNHEALTHY, now.Add(2*time.Second)) {
		t.Error("changes are not told, or what is none is")
	}
	for after, want := range map[time.Duration]corev1.ResourceHealthStatus{20 * time.Second: corev1.ResourceHealthStatusUnhealthy, time.Minute: corev1.ResourceHealthStatusUnknown} {
		if got := h.get(d, now.Add(after)); got.health != want {
			t.Errorf("after %s: %v", after, got)
		}
	}
	if !h.drop("d.example.com")[d] || h.drop("d.example.com")[d] {
		t.Error("what is dropped is not told once")
	}
}
