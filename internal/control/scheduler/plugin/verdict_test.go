package plugin

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What no eviction can change is unresolvable, plugin by plugin as upstream has it (pkg/scheduler/framework/plugins, v1.37).
func TestUnresolvable(t *testing.T) {
	quantities := func(cpu, memory, device string) corev1.ResourceList {
		return corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory), "example.com/device": resource.MustParse(device)}
	}
	obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	obj.Status.Allocatable = quantities("4", "4Gi", "2")
	obj.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("1")
	obj.Spec.Unschedulable = true
	obj.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
	there := testPort(80)
	there.Spec.Containers[0].Resources.Requests = quantities("3", "3Gi", "1")
	node := NewNode("n").With(obj).WithPod(NewPod(there))
	asking := func(cpu, memory, device string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = quantities(cpu, memory, device) }
	}
	const full = "Too many pods"
	tests := []struct {
		name         string
		filter       Filter
		change       func(*corev1.Pod)
		reasons      []string
		unresolvable bool
	}{
		{"cordoned", NodeUnschedulable{}, func(*corev1.Pod) {}, []string{"node(s) were unschedulable"}, true},
		{"another node by name", NodeName{}, func(p *corev1.Pod) { p.Spec.NodeName = "m" }, []string{"node(s) didn't match the requested node name"}, true},
		{"tainted", TaintToleration{}, func(*corev1.Pod) {}, []string{"node(s) had untolerated taint(s)"}, true},
		{"not selected", NodeAffinity{}, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"a": "b"} }, []string{"node(s) didn't match Pod's node affinity/selector"}, true},
		{"port taken", NodePorts{}, func(p *corev1.Pod) { p.Spec.Containers[0].Ports = there.Spec.Containers[0].Ports }, []string{"node(s) didn't have free ports for the requested pod ports"}, false},
		{"full", Fit{}, func(*corev1.Pod) {}, []string{full}, false},
		{"all that an empty node has", Fit{}, asking("4", "4Gi", "2"), []string{full, "Insufficient cpu", "Insufficient memory", "Insufficient example.com/device"}, false},
		{"more CPU than an empty node has", Fit{}, asking("5", "1Gi", "1"), []string{full, "Insufficient cpu"}, true},
		{"one resource of several", Fit{}, asking("2", "5Gi", "1"), []string{full, "Insufficient cpu", "Insufficient memory"}, true},
		{"more devices than an empty node has", Fit{}, asking("1", "1Gi", "3"), []string{full, "Insufficient example.com/device"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{}}}}
			tt.change(pod)
			if got, want := tt.filter.Filter(NewPod(pod), node), (Verdict{Reasons: tt.reasons, Unresolvable: tt.unresolvable}); !got.Equal(want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// The image index counts the nodes that are there, whatever versions of them came and went.
func TestImageLocalityCountsNodes(t *testing.T) {
	p := NewImageLocality()
	with := func(name string, images ...string) *Node {
		obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for _, image := range images {
			obj.Status.Images = append(obj.Status.Images, corev1.ContainerImage{Names: []string{image}, SizeBytes: 1 << 30})
		}
		return NewNode(name).With(obj)
	}
	a, b := with("a", "app"), with("b", "app", "tool:1")
	p.Node(NewNode("a"), a)
	p.Node(NewNode("b"), b)
	pod := NewPod(&corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "app"}}}})
	_, version, _ := p.Since(pod, 0)
	if p.nodes != 2 || p.with["app:latest"] != 2 || p.with["tool:1"] != 1 {
		t.Fatalf("%d nodes, %v", p.nodes, p.with)
	}
	bare := with("b", "app")
	p.Node(b, bare)
	if _, _, same := p.Since(pod, version); !same {
		t.Error("an image that the pod does not have changed its answers")
	}
	p.Node(bare, bare.With(nil))
	if _, _, same := p.Since(pod, version); same {
		t.Error("a node went with the pod's image, and the version stayed")
	}
	if p.nodes != 1 || p.with["app:latest"] != 1 || len(p.with) != 1 {
		t.Fatalf("%d nodes, %v", p.nodes, p.with)
	}
}
