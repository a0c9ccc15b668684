package devices

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/node/devices/devicestest"
	"sampan.dev/internal/node/topology"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// bench is a manager that serves plugins.
type bench struct {
	*testing.T
	*Manager
	dir     string
	changed chan []types.UID
	end     func() // ends the manager as a kubelet's end does
}

func newBench(t *testing.T, dir string) *bench {
	t.Helper()
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "dp"); err != nil { // t.TempDir's names are too long for sockets
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	b := &bench{T: t, dir: dir, changed: make(chan []types.UID, 100)}
	b.Manager = New(Config{Dir: dir, Nodes: func() []int { return []int{0, 1} }, Log: slog.New(slog.DiscardHandler),
		Affinity: func(types.UID, string) topology.Hint { return topology.Hint{} }, Changed: func(pods []types.UID) { b.changed <- pods }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx) }()
	b.end = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(cancel)
	return b
}

func (b *bench) start(p *devicestest.Plugin, devices ...*pluginapi.Device) {
	b.Helper()
	p.Set(devices...)
	if err := p.Start(b.Context(), b.dir); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Stop)
	b.wait()
}

// wait waits until the manager has told of a change.
func (b *bench) wait() []types.UID {
	b.Helper()
	select {
	case pods := <-b.changed:
		return pods
	case <-time.After(devicestest.Within):
		b.Fatal("nothing changed")
	}
	return nil
}

func asks(uid types.UID, n int64) (*corev1.Pod, *corev1.Container) {
	pod := &corev1.Pod{}
	pod.UID = uid
	list := corev1.ResourceList{"example.com/gpu": *resource.NewQuantity(n, resource.DecimalSI)}
	pod.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: list, Limits: list}}}
	return pod, &pod.Spec.Containers[0]
}

func TestPlugin(t *testing.T) {
	b := newBench(t, "")
	plugin := &devicestest.Plugin{Resource: "example.com/gpu",
		Options: &pluginapi.DevicePluginOptions{PreStartRequired: true, GetPreferredAllocationAvailable: true},
		Needs: func(ids []string) (*pluginapi.ContainerAllocateResponse, error) {
			return &pluginapi.ContainerAllocateResponse{Envs: map[string]string{"GPU": strings.Join(ids, ",")},
				Devices:     []*pluginapi.DeviceSpec{{ContainerPath: "/dev/gpu", HostPath: "/dev/null", Permissions: "rw"}},
				Mounts:      []*pluginapi.Mount{{ContainerPath: "/opt/gpu", HostPath: "/opt", ReadOnly: true}},
				Annotations: map[string]string{"gpu": "yes"}, CdiDevices: []*pluginapi.CDIDevice{{Name: "example.com/gpu=" + ids[0]}}}, nil
		},
		Prefer: func(r *pluginapi.ContainerPreferredAllocationRequest) []string { return r.AvailableDeviceIDs[1:] }}
	sick := devicestest.Device("d")
	sick.Health = pluginapi.Unhealthy
	b.start(plugin, devicestest.Device("a"), devicestest.Device("b"), devicestest.Device("c"), sick)
	capacity, allocatable, _ := b.Capacity(time.Now())
	all, usable := capacity["example.com/gpu"], allocatable["example.com/gpu"]
	if all.Value() != 4 || usable.Value() != 3 {
		t.Errorf("capacity %v, allocatable %v", capacity, allocatable)
	}

	pod, c := asks("p", 2)
	if err := b.Allocate(t.Context(), pod, c); err != nil {
		t.Fatal(err)
	}
	needs, err := b.Prepare(t.Context(), pod, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := plugin.Started(); !reflect.DeepEqual(got, [][]string{{"b", "c"}}) {
		t.Errorf("told of the start of %v", got)
	}
	if len(needs.Envs) != 1 || string(needs.Envs[0].Value) != "b,c" || needs.Devices[0].HostPath != "/dev/null" || !needs.Mounts[0].Readonly ||
		needs.Annotations["gpu"] != "yes" || needs.CDI[0].Name != "example.com/gpu=b" {
		t.Errorf("%+v", needs)
	}
	if err := b.Allocate(t.Context(), pod, c); err != nil || len(plugin.Allocated()) != 1 {
		t.Errorf("again: %v, %v", err, plugin.Allocated())
	}
	more, mc := asks("q", 2)
	if err := b.Allocate(t.Context(), more, mc); err == nil || err.Error() != "requested number of devices unavailable for example.com/gpu. Requested: 2, Available: 1" {
		t.Errorf("%v", err)
	}

	// A device that falls ill is told of by the pod that has it.
	ill := devicestest.Device("b")
	ill.Health = pluginapi.Unhealthy
	plugin.Set(devicestest.Device("a"), ill, devicestest.Device("c"), sick)
	if pods := b.wait(); len(pods) != 1 || pods[0] != "p" {
		t.Errorf("told %v", pods)
	}
	want := []corev1.ResourceStatus{{Name: "example.com/gpu", Resources: []corev1.ResourceHealth{
		{ResourceID: "b", Health: corev1.ResourceHealthStatusUnhealthy}, {ResourceID: "c", Health: corev1.ResourceHealthStatusHealthy}}}}
	if got := b.Status("p", "c"); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}

	// Plugins go: their devices are not healthy, and after a while they are gone.
	plugin.Stop()
	b.wait()
	_, allocatable, _ = b.Capacity(time.Now())
	if q := allocatable["example.com/gpu"]; !q.IsZero() {
		t.Errorf("%v", allocatable)
	}
	if err := b.Allocate(t.Context(), more, mc); err == nil || !strings.HasPrefix(err.Error(), "no healthy devices present") {
		t.Errorf("%v", err)
	}
	if _, _, gone := b.Capacity(time.Now().Add(graceAfterStop + time.Second)); len(gone) != 1 {
		t.Errorf("%v", gone)
	}
	if got := b.Taken()["example.com/gpu"]; got != 2 {
		t.Errorf("%d devices are given out", got)
	}
	b.Keep(func(types.UID) bool { return false })
	if b.Has("p") {
		t.Error("not taken back")
	}
}

// The next kubelet knows who has what, gives none of it out, and waits for plugins to come back.
func TestRestart(t *testing.T) {
	b := newBench(t, "")
	plugin := &devicestest.Plugin{Resource: "example.com/gpu"}
	b.start(plugin, devicestest.Device("a"), devicestest.Device("b"))
	pod, c := asks("p", 1)
	if err := b.Allocate(t.Context(), pod, c); err != nil {
		t.Fatal(err)
	}
	b.end()
	plugin.Stop()

	next := newBench(t, b.dir)
	capacity, _, gone := next.Capacity(time.Now())
	if q, ok := capacity["example.com/gpu"]; !ok || !q.IsZero() || len(gone) > 0 {
		t.Errorf("%v, gone %v", capacity, gone)
	}
	back := &devicestest.Plugin{Resource: "example.com/gpu"}
	next.start(back, devicestest.Device("a"), devicestest.Device("b"))
	needs, err := next.Prepare(t.Context(), pod, c)
	if err != nil || string(needs.Envs[0].Value) != "[a]" || len(back.Allocated()) > 0 {
		t.Errorf("%+v %v, asked for %v", needs, err, back.Allocated())
	}
	other, oc := asks("q", 1)
	if err := next.Allocate(t.Context(), other, oc); err != nil || !reflect.DeepEqual(back.Allocated(), [][]string{{"b"}}) {
		t.Errorf("%v, %v", err, back.Allocated())
	}
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	b := newBench(t, "")
	conn, err := grpc.NewClient("unix:"+filepath.Join(b.dir, "kubelet.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, c := range []struct {
		version, resource, want string
	}{
		{"v1alpha", "example.com/gpu", `requested API version "v1alpha" is not supported by kubelet`},
		{pluginapi.Version, "gpu", `the ResourceName "gpu" is invalid`},
		{pluginapi.Version, "kubernetes.io/gpu", "is invalid"},
		{pluginapi.Version, "requests.example.com/gpu", "is invalid"},
	} {
		_, err := pluginapi.NewRegistrationClient(conn).Register(t.Context(), &pluginapi.RegisterRequest{Version: c.version, ResourceName: c.resource, Endpoint: "x.sock"}, grpc.WaitForReady(true))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// The file was written by a stock v1.37.1, which leaves the order of its entries to chance. Its checksum is ours, and what we write says the same.
func TestCheckpointIsUpstreams(t *testing.T) {
	want, err := os.ReadFile("testdata/" + File)
	if err != nil {
		t.Fatal(err)
	}
	given, registered, err := decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := given["p0"]["c0"]["example.com/r1"]; !got.devices.ids().has("d0") || !reflect.DeepEqual(got.devices.nodes("d1"), []int64{3}) || got.needs.Envs["N"] != "2" {
		t.Errorf("%+v", got)
	}
	b, err := encode(given, registered)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := decode(b)
	if err != nil || len(again) != len(given) {
		t.Errorf("%v", err)
	}
	var x, y file
	if json.Unmarshal(want, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatal("no JSON")
	}
	for _, registered := range []map[string][]string{x.Data.RegisteredDevices, y.Data.RegisteredDevices} {
		for _, ids := range registered {
			slices.Sort(ids)
		}
	}
	if len(x.Data.PodDeviceEntries) != len(y.Data.PodDeviceEntries) || !reflect.DeepEqual(x.Data.RegisteredDevices, y.Data.RegisteredDevices) {
		t.Errorf("\n got %s\nwant %s", b, want)
	}
	broken := strings.Replace(string(want), `"PodUID":"p0"`, `"PodUID":"px"`, 1)
	if _, _, err := decode([]byte(broken)); err == nil {
		t.Error("a checkpoint that was changed")
	}
}
