package replay

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

func testNode(name string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("1Gi"), "pods": resource.MustParse("3")}
	return n
}

func testPod(name, node, cpu string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{}}}}
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse(cpu)}
	for _, f := range change {
		f(p)
	}
	return p
}

func port(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}} }

func claiming(p *corev1.Pod) {
	p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: new("k")}}
}

func testClaim(name, reserved string) *resourcev1.ResourceClaim {
	k := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
	k.Status.Allocation = &resourcev1.AllocationResult{}
	k.Status.Allocation.Devices.Results = []resourcev1.DeviceRequestAllocationResult{{Driver: "d", Pool: "p", Device: "0"}}
	if reserved != "" {
		k.Status.ReservedFor = []resourcev1.ResourceClaimConsumerReference{{Name: reserved, UID: types.UID(reserved)}}
	}
	return k
}

// Each kind of fault is told, and what is all right is none.
func TestFaults(t *testing.T) {
	n := testNode("n")
	deleted := testPod("a", "", "1", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} })
	done := testPod("a", "n", "2", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
	elsewhere := func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "z"} }
	gated := func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} }
	for _, tt := range []struct {
		name   string
		writes []any // objects; one that follows the word "gone" is deleted
		want   string
	}{
		{"full", []any{n, testPod("a", "n", "1"), testPod("b", "n", "1")}, ""},
		{"cpu", []any{n, testPod("a", "n", "1"), testPod("b", "n", "1"), testPod("c", "n", "1m")}, "of cpu are asked for"},
		{"pods", []any{n, testPod("a", "n", "0"), testPod("b", "n", "0"), testPod("c", "n", "0"), testPod("d", "n", "0")}, "of pods are asked for"},
		{"ports", []any{n, testPod("a", "n", "0", port), testPod("b", "n", "0", port)}, "port /80 is that of"},
		{"one has ended", []any{n, testPod("a", "n", "2"), done, testPod("b", "n", "2")}, ""},
		{"one has gone", []any{n, testPod("a", "n", "2"), "gone", testPod("a", "n", "2"), testPod("b", "n", "2")}, ""},
		{"twice", []any{n, testNode("m"), testPod("a", "n", "1"), testPod("a", "m", "1")}, `pod a, bound to n, is on "m"`},
		{"unbound", []any{n, testPod("a", "n", "1"), testPod("a", "", "1")}, `pod a, bound to n, is on ""`},
		{"no such node", []any{testPod("a", "n", "1")}, "which is not there"},
		{"node just gone", []any{n, "gone", n, testPod("a", "n", "1")}, ""},
		{"node long gone", []any{n, "gone", n, testPod("x", "", "1"), testPod("y", "", "1"), testPod("z", "", "1"), testPod("a", "n", "1")}, "which is not there"},
		{"deleted", []any{n, deleted, testPod("a", "n", "1")}, "while it is being deleted"},
		{"gated", []any{n, testPod("a", "n", "1", gated)}, "behind its gates"},
		{"selector", []any{n, testPod("a", "n", "1", elsewhere)}, "it selects other nodes"},
		{"claim", []any{n, testClaim("k", "a"), testPod("a", "n", "1", claiming)}, ""},
		{"no claim", []any{n, testPod("a", "n", "1", claiming)}, "without its claim k"},
		{"another's claim", []any{n, testClaim("k", "b"), testPod("a", "n", "1", claiming)}, "is not reserved for it"},
		{"one device twice", []any{testClaim("k", "a"), testClaim("l", "b")}, "to claim l and to another"},
		{"one device in turn", []any{testClaim("k", "a"), "gone", testClaim("k", "a"), testClaim("l", "b")}, ""},
	} {
		var events []watch.Event
		kind := watch.Modified
		for _, w := range tt.writes {
			obj, ok := w.(runtime.Object)
			if !ok {
				kind = watch.Deleted
				continue
			}
			obj = obj.DeepCopyObject()
			obj.(metav1.Object).SetResourceVersion(fmt.Sprint(10 + len(events)))
			events = append(events, watch.Event{Type: kind, Object: obj})
			kind = watch.Modified
		}
		got := Check(3, events).Faults
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A pod that waits has room where nothing keeps it away, beside those of its priority that have been promised some.
func TestRoom(t *testing.T) {
	cordoned, tainted := testNode("cordoned"), testNode("tainted")
	cordoned.Spec.Unschedulable = true
	tainted.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute}}
	c := &Cluster{}
	nominated := testPod("urgent", "", "1", func(p *corev1.Pod) { p.Spec.Priority, p.Status.NominatedNodeName = new(int32(7)), "m" })
	for i, obj := range []runtime.Object{testNode("n"), testNode("m"), cordoned, tainted, testPod("a", "n", "1500m"), testPod("b", "m", "500m"), nominated} {
		c.Write(uint64(i), watch.Event{Type: watch.Added, Object: obj})
	}
	for _, tt := range []struct {
		pod  *corev1.Pod
		want string
	}{
		{testPod("p", "", "500m"), "[m n]"},
		{testPod("p", "", "1"), "[]"},
		{testPod("p", "", "1", func(p *corev1.Pod) { p.Spec.Priority = new(int32(8)) }), "[m]"},
		{testPod("p", "", "1", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Key: "k"}} }), "[tainted]"},
	} {
		if got := fmt.Sprint(c.Room(tt.pod)); got != tt.want {
			t.Errorf("room for %v: %s, want %s", tt.pod.Spec.Containers[0].Resources.Requests, got, tt.want)
		}
	}
	if w := c.Waiting(); len(w) != 1 || w[0].Name != "urgent" {
		t.Errorf("waiting: %v", w)
	}
}
