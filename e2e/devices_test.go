//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"
)

const deviceDriver = "gadget.example.com"

// gadgets is a DRA driver as its authors write one, over upstream's own helper: it publishes devices, and for each claim writes a CDI
// file that gives a container a variable with the names of its devices.
type gadgets struct {
	testing *testing.T
	cdi     string // folder of CDI files

	mu       sync.Mutex
	prepared map[types.UID]string // by claim: the CDI file
	sick     string               // the device that is not well
	news     chan struct{}        // of one slot: sick has changed
}

func (g *gadgets) PrepareResourceClaims(_ context.Context, claims []*resourcev1.ResourceClaim) (map[types.UID]kubeletplugin.PrepareResult, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[types.UID]kubeletplugin.PrepareResult{}
	for _, k := range claims {
		var names []string
		result := kubeletplugin.PrepareResult{}
		for _, d := range k.Status.Allocation.Devices.Results {
			names = append(names, d.Device)
			result.Devices = append(result.Devices, kubeletplugin.Device{Requests: []string{d.Request}, PoolName: d.Pool, DeviceName: d.Device,
				CDIDeviceIDs: []string{deviceDriver + "/claim=" + string(k.UID)}})
		}
		spec := map[string]any{"cdiVersion": "0.5.0", "kind": deviceDriver + "/claim", "devices": []any{map[string]any{
			"name": string(k.UID), "containerEdits": map[string]any{"env": []string{"GADGETS=" + strings.Join(names, ",")}},
		}}}
		text, err := json.Marshal(spec)
		path := filepath.Join(g.cdi, deviceDriver+"-"+string(k.UID)+".json")
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
		result.Err = err
		g.prepared[k.UID] = path
		out[k.UID] = result
	}
	return out, nil
}

func (g *gadgets) UnprepareResourceClaims(_ context.Context, claims []kubeletplugin.NamespacedObject) (map[types.UID]error, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[types.UID]error{}
	for _, k := range claims {
		if path := g.prepared[k.UID]; path != "" {
			_ = os.Remove(path)
		}
		delete(g.prepared, k.UID)
		out[k.UID] = nil
	}
	return out, nil
}

func (g *gadgets) HandleError(_ context.Context, err error, msg string) {
	if !errors.Is(err, kubeletplugin.ErrRecoverable) {
		g.testing.Errorf("driver: %s: %v", msg, err)
	}
}

func (g *gadgets) WatchHealthStatus(ctx context.Context, reports chan<- kubeletplugin.DeviceHealthReport) error {
	for {
		g.mu.Lock()
		var report kubeletplugin.DeviceHealthReport
		for _, name := range []string{"g-0", "g-1"} {
			d := kubeletplugin.DeviceHealth{PoolName: "sampan", DeviceName: name, Health: kubeletplugin.HealthStatusHealthy}
			if name == g.sick {
				d.Health, d.Message = kubeletplugin.HealthStatusUnhealthy, "it smokes"
			}
			report.Devices = append(report.Devices, d)
		}
		g.mu.Unlock()
		select {
		case reports <- report:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-g.news:
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *gadgets) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.prepared)
}

// gadgets runs a driver of two devices on the node until stop.
func (c *cluster) gadgets(t *testing.T) (g *gadgets, stop func()) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	hub, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	g = &gadgets{testing: t, cdi: "/var/run/cdi", prepared: map[types.UID]string{}, news: make(chan struct{}, 1)}
	if err := os.MkdirAll(g.cdi, 0o755); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(c.dir, "kubelet", "plugins", deviceDriver)
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	node := c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
	ctx, cancel := context.WithCancel(context.Background())
	helper, err := kubeletplugin.Start(ctx, g, kubeletplugin.DriverName(deviceDriver), kubeletplugin.NodeName(node), kubeletplugin.KubeClient(hub),
		kubeletplugin.RegistrarDirectoryPath(filepath.Join(c.dir, "kubelet", "plugins_registry")), kubeletplugin.PluginDataDirectoryPath(data))
	if err == nil {
		err = helper.PublishResources(ctx, resourceslice.DriverResources{Pools: map[string]resourceslice.Pool{"sampan": {Slices: []resourceslice.Slice{{
			Devices: []resourcev1.Device{{Name: "g-0"}, {Name: "g-1"}},
		}}}}})
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			helper.Stop()
			cancel()
			for _, path := range g.prepared {
				_ = os.Remove(path)
			}
		}
	}
	t.Cleanup(stop)
	return g, stop
}

const gadgetClass = `apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gadget}
spec: {selectors: [{cel: {expression: 'device.driver == "` + deviceDriver + `"'}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one}
spec: {spec: {devices: {requests: [{name: gadget, exactly: {deviceClassName: gadget}}]}}}
`

func gadgetPod(name string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  resourceClaims: [{name: g, resourceClaimTemplateName: one}]
  containers:
  - {name: c, image: sampan.dev/busybox:1, command: [sleep, '3600'], resources: {claims: [{name: g}]}}
`, name)
}

// TestDevices: pods get devices of a driver that is built on upstream's helper, and their containers see them by CDI. One that finds none
// waits, and starts when another ends. The kubelet keeps to what it has prepared across a restart, tells how devices are, and takes them
// back; slices of a driver that is gone go.
func TestDevices(t *testing.T) {
	t.Parallel()
	c := start(t)
	g, stop := c.gadgets(t)
	c.kubectlIn(t, gadgetClass+"---\n"+gadgetPod("a")+"---\n"+gadgetPod("b"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/a", "pod/b", "--for=condition=Ready", "--timeout=300s")
	seen := map[string]bool{}
	for _, pod := range []string{"a", "b"} {
		seen[strings.TrimSpace(c.kubectl(t, "exec", pod, "--", "sh", "-c", "echo $GADGETS"))] = true
	}
	if !seen["g-0"] || !seen["g-1"] {
		t.Errorf("the containers see %v", seen)
	}
	c.kubectlIn(t, gadgetPod("late"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/late", "--for=jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable", "--timeout=300s")
	if got := c.kubectl(t, "get", "pod", "late", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}"); !strings.HasPrefix(got, "0/1 nodes are available: 1 cannot allocate all claims.") {
		t.Error(got)
	}
	claim := c.kubectl(t, "get", "pod", "a", "-o", "jsonpath={.status.resourceClaimStatuses[0].resourceClaimName}")
	has := c.kubectl(t, "get", "resourceclaim", claim, "-o", "jsonpath={.status.allocation.devices.results[0].device}")
	health := func(want string) {
		t.Helper()
		until(t, time.Minute, "the pod tells that its device is "+want, func() error {
			got := c.kubectl(t, "get", "pod", "a", "-o", "jsonpath={.status.containerStatuses[0].allocatedResourcesStatus[0].name} {.status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health}")
			if got != "claim:g "+want {
				return errors.New(got)
			}
			return nil
		})
	}
	health("Healthy")
	g.mu.Lock()
	g.sick = has
	g.mu.Unlock()
	g.news <- struct{}{}
	health("Unhealthy")
	c.tellsClaim(t, "a", claim, has)

	run := func() string {
		return c.kubectl(t, "get", "pod", "a", "-o", "jsonpath={.status.containerStatuses[0].state.running} {.status.containerStatuses[0].containerID}")
	}
	before := run()
	c.down(t) // ends the containers, too
	c.up(t)
	until(t, 90*time.Second, "the container runs again", func() error {
		if now := run(); now == before || strings.HasPrefix(now, " ") {
			return errors.New(now)
		}
		return nil
	})
	if now := strings.TrimSpace(c.kubectl(t, "exec", "a", "--", "sh", "-c", "echo $GADGETS")); now != has {
		t.Errorf("after a restart the container sees %q, not %q", now, has)
	}
	if g.count() != 2 {
		t.Errorf("%d claims are prepared", g.count())
	}
	c.kubectl(t, "delete", "pod", "a", "--timeout=300s")
	c.kubectl(t, "wait", "pod/late", "--for=condition=Ready", "--timeout=300s")
	if got := strings.TrimSpace(c.kubectl(t, "exec", "late", "--", "sh", "-c", "echo $GADGETS")); got != has {
		t.Errorf("the pod that waited has %q, not %q", got, has)
	}
	c.kubectl(t, "delete", "pod", "b", "late", "--timeout=300s")
	until(t, time.Minute, "everything is given back", func() error {
		if got := c.kubectl(t, "get", "resourceclaims", "-o", "name"); got != "" || g.count() != 0 {
			return fmt.Errorf("%d prepared, claims %s", g.count(), got)
		}
		return nil
	})
	if got := c.kubectl(t, "get", "resourceslices", "-o", "name"); got == "" {
		t.Error("no slices while the driver runs")
	}
	stop()
	until(t, 2*time.Minute, "the slices of a driver that is gone go", func() error {
		if got := c.kubectl(t, "get", "resourceslices", "-o", "name"); got != "" {
			return errors.New(got)
		}
		return nil
	})
}

// tellsClaim checks that the pod resources API tells of a pod's device.
func (c *cluster) tellsClaim(t *testing.T, pod, claim, device string) {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+filepath.Join(c.dir, "kubelet", "pod-resources", "kubelet.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience*time.Minute)
	defer cancel()
	got, err := podresourcesv1.NewPodResourcesListerClient(conn).Get(ctx, &podresourcesv1.GetPodResourcesRequest{PodName: pod, PodNamespace: "default"}, grpc.WaitForReady(true))
	if err != nil || len(got.PodResources.Containers) != 1 || len(got.PodResources.Containers[0].DynamicResources) != 1 {
		t.Fatalf("pod resources: %v %v", got, err)
	}
	r := got.PodResources.Containers[0].DynamicResources[0]
	if r.ClaimName != claim || len(r.ClaimResources) != 1 || r.ClaimResources[0].DeviceName != device || len(r.ClaimResources[0].CdiDevices) != 1 {
		t.Errorf("pod resources: %v", r)
	}
}
