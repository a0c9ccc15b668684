//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/node/devices/devicestest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"
	"k8s.io/utils/cpuset"
)

// placedPod runs until it is deleted. extra goes beside its CPUs and memory, as "example.com/dongle: 1".
func placedPod(name, cpu, extra string) string {
	if extra != "" {
		extra = ", " + extra
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: sampan.dev/busybox:1
    command: [sleep, '3600']
    resources: {limits: {cpu: %s, memory: 32Mi%s}}
`, name, cpu, extra)
}

// cpus are those that a pod's process may run on.
func (c *cluster) cpus(t *testing.T, pod string) cpuset.CPUSet {
	t.Helper()
	set, err := cpuset.Parse(strings.TrimSpace(c.kubectl(t, "exec", pod, "--", "sed", "-n", "s/^Cpus_allowed_list:[[:space:]]*//p", "/proc/self/status")))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestPlacement: a container has CPUs to itself while it lives, across a restart of the kubelet; others are moved away from them and back. A
// device plugin's devices are the node's, a pod's and told by the pod resources API.
func TestPlacement(t *testing.T) {
	c := start(t, "--cpu-manager-policy=static", "--kube-reserved=cpu=500m", "--topology-manager-policy=single-numa-node", "--cpu-manager-reconcile-period=1s")
	c.kubectlIn(t, placedPod("shares", "100m", ""), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/shares", "--for=condition=Ready", "--timeout=300s")
	all := c.cpus(t, "shares")

	c.kubectlIn(t, placedPod("alone", "1", ""), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/alone", "--for=condition=Ready", "--timeout=300s")
	own := c.cpus(t, "alone")
	t.Logf("all %s, alone has %s", all, own)
	if own.Size() != 1 || !own.IsSubsetOf(all) || own.Contains(0) {
		t.Errorf("alone runs on %s of %s", own, all)
	}
	moved := func(want cpuset.CPUSet) {
		t.Helper()
		until(t, time.Minute, "the sharing container is moved", func() error {
			if now := c.cpus(t, "shares"); !now.Equals(want) {
				return fmt.Errorf("it is on %s, not %s", now, want)
			}
			return nil
		})
	}
	moved(all.Difference(own))
	c.down(t)
	c.up(t)
	c.kubectl(t, "wait", "pod/alone", "--for=condition=Ready", "--timeout=300s")
	if now := c.cpus(t, "alone"); !now.Equals(own) {
		t.Errorf("after a restart alone runs on %s, not %s", now, own)
	}

	c.dongles(t)
	c.kubectl(t, "delete", "pod", "alone", "--timeout=300s")
	moved(all)
	state, err := os.ReadFile(filepath.Join(c.dir, "kubelet", "cpu_manager_state"))
	if want := fmt.Sprintf(`"defaultCpuSet":%q`, all); err != nil || !strings.Contains(string(state), want) {
		t.Errorf("%v: %s", err, state)
	}
}

// dongles gives the node a device plugin.
func (c *cluster) dongles(t *testing.T) {
	t.Helper()
	plugin := &devicestest.Plugin{Resource: "example.com/dongle"}
	plugin.Set(devicestest.Device("one", 0), devicestest.Device("two", 0))
	ctx, cancel := context.WithTimeout(t.Context(), patience*time.Minute)
	defer cancel()
	if err := plugin.Start(ctx, filepath.Join(c.dir, "kubelet", "device-plugins")); err != nil {
		t.Fatal(err)
	}
	defer plugin.Stop()
	until(t, time.Minute, "the node has dongles", func() error {
		if got := c.kubectl(t, "get", "nodes", "-o", `jsonpath={.items[0].status.allocatable.example\.com/dongle}`); got != "2" {
			return errors.New("it has " + got)
		}
		return nil
	})
	c.kubectlIn(t, placedPod("plugged", "100m", "example.com/dongle: 1"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/plugged", "--for=condition=Ready", "--timeout=300s")
	if got := c.kubectl(t, "exec", "plugged", "--", "sh", "-c", "echo $DEVICES"); strings.TrimSpace(got) != "[one]" {
		t.Errorf("the container's variable is %q", got)
	}
	if got := c.kubectl(t, "get", "pod", "plugged", "-o", "jsonpath={.status.containerStatuses[0].allocatedResourcesStatus}"); got != `[{"name":"example.com/dongle","resources":[{"health":"Healthy","resourceID":"one"}]}]` {
		t.Errorf("its status says %s", got)
	}
	conn, err := grpc.NewClient("unix:"+filepath.Join(c.dir, "kubelet", "pod-resources", "kubelet.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	api := podresourcesv1.NewPodResourcesListerClient(conn)
	got, err := api.Get(ctx, &podresourcesv1.GetPodResourcesRequest{PodName: "plugged", PodNamespace: "default"}, grpc.WaitForReady(true))
	if err != nil || len(got.PodResources.Containers) != 1 || len(got.PodResources.Containers[0].Devices) != 1 {
		t.Errorf("pod resources: %v %v", got, err)
	}
	alone, err := api.Get(ctx, &podresourcesv1.GetPodResourcesRequest{PodName: "alone", PodNamespace: "default"})
	if err != nil || len(alone.PodResources.Containers[0].CpuIds) != 1 {
		t.Errorf("pod resources: %v %v", alone, err)
	}
	c.kubectlIn(t, placedPod("greedy", "100m", "example.com/dongle: 2"), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/greedy", "--for=jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable", "--timeout=300s")
	c.kubectl(t, "delete", "pod", "greedy", "plugged", "--timeout=300s")
}
