package scheduler_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/testkit"
)

// amongDevices runs body in virtual time on nodes n and m, with the claim controller and the default scheduler.
func amongDevices(t *testing.T, body func(c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{T: t, Cluster: testkit.StartWith(t, testkit.Options{NoScheduler: true, Controllers: []string{"serviceaccount", "resourceclaim-controller"}})}
		for _, name := range []string{"n", "m"} {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
			n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("10")}
			n.Status.Capacity = n.Status.Allocatable
			add(c, client.Nodes, n)
			c.patch(client.Ref{Resource: client.Nodes, Name: name}, `{"spec":{"taints":null}}`)
		}
		c.StartScheduler(t, scheduler.DefaultProfile())
		synctest.Wait()
		body(c)
	})
}

func gpus(node string, devices ...string) *resourcev1.ResourceSlice {
	s := &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node + "-gpus"}, Spec: resourcev1.ResourceSliceSpec{
		Driver: "gpu.example.com", NodeName: &node, Pool: resourcev1.ResourcePool{Name: node, ResourceSliceCount: 1},
	}}
	for _, d := range devices {
		name, model, _ := strings.Cut(d, ":")
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{Name: name, Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"model": {StringValue: &model}}})
	}
	return s
}

func gpuClass(name string, selectors ...string) *resourcev1.DeviceClass {
	class := &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, s := range append(selectors, `device.driver == "gpu.example.com"`) {
		class.Spec.Selectors = append(class.Spec.Selectors, resourcev1.DeviceSelector{CEL: &resourcev1.CELDeviceSelector{Expression: s}})
	}
	return class
}

// asking is a claim's spec with one request of each class.
func asking(classes ...string) (s resourcev1.ResourceClaimSpec) {
	for i, class := range classes {
		s.Devices.Requests = append(s.Devices.Requests, resourcev1.DeviceRequest{Name: fmt.Sprint("r", i), Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: class}})
	}
	return s
}

func (c *cluster) template(name string, spec resourcev1.ResourceClaimSpec) {
	c.Helper()
	add(c, client.ResourceClaimTemplates, &resourcev1.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: resourcev1.ResourceClaimTemplateSpec{Spec: spec}})
}

func byTemplate(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, corev1.PodResourceClaim{Name: "gpu", ResourceClaimTemplateName: &name})
	}
}

func byClaim(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, corev1.PodResourceClaim{Name: "gpu", ResourceClaimName: &name})
	}
}

// has is where a pod is and which devices its claims have: "m gpu-1".
func (c *cluster) has(pod string) string {
	c.Helper()
	p := c.get(pod)
	out := []string{p.Spec.NodeName}
	for _, k := range c.deviceClaims() {
		for _, r := range k.Status.ReservedFor {
			if r.UID != p.UID || k.Status.Allocation == nil {
				continue
			}
			for _, d := range k.Status.Allocation.Devices.Results {
				out = append(out, d.Device)
			}
		}
	}
	return strings.Join(out, " ")
}

func (c *cluster) deviceClaims() []*resourcev1.ResourceClaim {
	c.Helper()
	all, err := client.ListAll[*resourcev1.ResourceClaim](c.Context, c.Door, client.ResourceClaims, "default", metav1.ListOptions{})
	if err != nil {
		c.Fatal(err)
	}
	return all
}

func (c *cluster) kill(pod string) {
	c.Helper()
	if err := c.Door.Delete(c.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: pod}, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		c.Fatal(err)
	}
}

// A pod waits for its claim and for a device; when a pod ends, its device is the next one's.
func TestPodsGetDevices(t *testing.T) {
	amongDevices(t, func(c *cluster) {
		c.pod("p", byTemplate("one"))
		c.pass(time.Second)
		if got := c.message("p"); got != "waiting" {
			c.Errorf("a pod whose claim is to be made was told %q", got)
		}
		c.template("one", asking("gpu"))
		c.pass(time.Second)
		c.wantMessage("p", "0/2 nodes are available: request r0: device class gpu does not exist.")
		add(c, client.DeviceClasses, gpuClass("gpu"))
		c.pass(time.Second)
		c.wantMessage("p", "0/2 nodes are available: 2 cannot allocate all claims.")
		add(c, client.ResourceSlices, gpus("m", "gpu-1:a", "gpu-2:b"))
		c.pass(20 * time.Second)
		if got := c.has("p"); got != "m gpu-1" {
			c.Fatalf("p: %q, %s", got, c.message("p"))
		}
		k := c.deviceClaims()[0]
		if k.Finalizers[0] != resourcev1.Finalizer || k.Status.Allocation.NodeSelector == nil || !strings.HasPrefix(k.Name, "p-gpu-") {
			c.Errorf("%+v", k)
		}
		if s := c.get("p").Status.ResourceClaimStatuses; len(s) != 1 || *s[0].ResourceClaimName != k.Name {
			c.Errorf("statuses: %+v", s)
		}
		c.pod("q", byTemplate("one"))
		c.pod("r", byTemplate("one"))
		c.pass(5 * time.Second)
		second, third := "q", "r"
		if c.get("q").Spec.NodeName == "" {
			second, third = "r", "q"
		}
		if got := c.has(second); got != "m gpu-2" {
			c.Errorf("%s: %q", second, got)
		}
		c.wantMessage(third, "0/2 nodes are available: 2 cannot allocate all claims.")
		c.patch(client.Ref{Resource: client.Pods, Namespace: "default", Name: "p", Subresource: "status"}, `{"status":{"phase":"Succeeded"}}`)
		c.pass(20 * time.Second)
		if got := c.has(third); got != "m gpu-1" {
			c.Errorf("%s: %q, %s", third, got, c.message(third))
		}
		if n := len(c.deviceClaims()); n != 2 {
			c.Errorf("%d claims, the one of the pod that has ended too", n)
		}
	})
}

// A claim that several pods name is allocated once, and given back with the last of them.
func TestSharedClaims(t *testing.T) {
	amongDevices(t, func(c *cluster) {
		add(c, client.DeviceClasses, gpuClass("gpu"))
		add(c, client.ResourceSlices, gpus("n", "gpu-1:a"))
		c.pod("a", byClaim("shared"))
		c.pod("b", byClaim("shared"))
		c.pass(time.Second)
		add(c, client.ResourceClaims, &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shared"}, Spec: asking("gpu")})
		c.pass(20 * time.Second)
		for _, p := range []string{"a", "b"} {
			if got := c.has(p); got != "n gpu-1" {
				c.Errorf("%s: %q, %s", p, got, c.message(p))
			}
		}
		c.kill("a")
		c.pass(time.Second)
		if k := c.deviceClaims()[0]; len(k.Status.ReservedFor) != 1 || k.Status.Allocation == nil {
			c.Errorf("%+v", k.Status)
		}
		c.kill("b")
		c.pass(time.Second)
		if k := c.deviceClaims()[0]; len(k.Status.ReservedFor) != 0 || k.Status.Allocation != nil || len(k.Finalizers) != 0 {
			c.Errorf("%+v", k)
		}
	})
}

// Selectors, alternatives in order, taints and tolerations, admin access.
func TestWhichDevices(t *testing.T) {
	amongDevices(t, func(c *cluster) {
		add(c, client.DeviceClasses, gpuClass("gpu"))
		add(c, client.DeviceClasses, gpuClass("big", `device.attributes["gpu.example.com"].model == "big"`))
		add(c, client.DeviceClasses, gpuClass("wrong", `device.attributes["gpu.example.com"].nothing == "x"`))
		add(c, client.ResourceSlices, gpus("n", "gpu-1:small"))
		add(c, client.ResourceSlices, gpus("m", "gpu-2:big"))
		either := resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{Name: "r", FirstAvailable: []resourcev1.DeviceSubRequest{
			{Name: "best", DeviceClassName: "big"}, {Name: "any", DeviceClassName: "gpu"},
		}}}}}
		c.template("either", either)
		for _, tc := range []struct{ pod, want string }{{"first", "m gpu-2"}, {"second", "n gpu-1"}} {
			c.pod(tc.pod, byTemplate("either"))
			c.pass(5 * time.Second)
			if got := c.has(tc.pod); got != tc.want {
				c.Errorf("%s: %q, %s", tc.pod, got, c.message(tc.pod))
			}
		}
		c.kill("second")
		add(c, client.DeviceTaintRules, &resourcev1.DeviceTaintRule{ObjectMeta: metav1.ObjectMeta{Name: "broken"}, Spec: resourcev1.DeviceTaintRuleSpec{
			DeviceSelector: &resourcev1.DeviceTaintSelector{Device: new("gpu-1")}, Taint: resourcev1.DeviceTaint{Key: "broken", Effect: resourcev1.DeviceTaintEffectNoSchedule},
		}})
		c.pass(time.Second)
		c.template("one", asking("gpu"))
		c.pod("kept-off", byTemplate("one"))
		c.pass(5 * time.Second)
		c.wantMessage("kept-off", "0/2 nodes are available: 2 cannot allocate all claims.")
		tolerant := asking("gpu")
		tolerant.Devices.Requests[0].Exactly.Tolerations = []resourcev1.DeviceToleration{{Key: "broken", Operator: resourcev1.DeviceTolerationOpExists}}
		c.template("tolerant", tolerant)
		c.pod("tolerant", byTemplate("tolerant"))
		c.pass(5 * time.Second)
		if got := c.has("tolerant"); got != "n gpu-1" {
			c.Errorf("tolerant: %q, %s", got, c.message("tolerant"))
		}
		for _, pod := range []string{"kept-off", "tolerant", "first"} {
			c.kill(pod)
		}
		c.pass(5 * time.Second)
		c.template("wrong", asking("wrong"))
		c.pod("wrong", byTemplate("wrong"))
		c.pass(5 * time.Second)
		c.wantMessage("wrong", `running "DynamicResources" filter plugin: class wrong: selector #0 on device gpu.example.com/`)
	})
}

func (c *cluster) patch(ref client.Ref, body string) {
	c.Helper()
	if _, err := c.Door.Patch(c.Context, ref, types.MergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
		c.Fatal(err)
	}
}
