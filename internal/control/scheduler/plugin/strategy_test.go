package plugin

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func of(list ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(list); i += 2 {
		out[corev1.ResourceName(list[i])] = resource.MustParse(list[i+1])
	}
	return out
}

func asks(list ...string) *Pod {
	p := &corev1.Pod{}
	p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: of(list...)}}}
	return NewPod(p)
}

func has(list ...string) *Node {
	obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	obj.Status.Allocatable = of(append(list, "pods", "10")...)
	return NewNode("n").With(obj)
}

// The scores are those of upstream's strategies for the same pods and nodes.
func TestStrategies(t *testing.T) {
	const gpu = "example.com/gpu"
	rising := []Point{{0, 0}, {100, 10}}
	node := has("cpu", "4", "memory", "10Gi", gpu, "4").WithPod(asks("cpu", "1", "memory", "4Gi", gpu, "1"))
	pod := asks("cpu", "1", "memory", "1Gi")
	for _, tt := range []struct {
		name string
		how  Strategy
		pod  *Pod
		want int64
	}{
		{"default", Strategy{}, pod, (50 + 50) / 2},
		{"most", Strategy{Kind: MostAllocated}, pod, (50 + 50) / 2},
		{"least, weighed", Strategy{Kind: LeastAllocated, Resources: []Weight{{"cpu", 3}, {"memory", 1}}}, asks("cpu", "2", "memory", "1Gi"), (25*3 + 50) / 4},
		{"most of a device that the pod does not ask for", Strategy{Kind: MostAllocated, Resources: []Weight{{"cpu", 1}, {gpu, 5}}}, pod, 50},
		{"most of a device", Strategy{Kind: MostAllocated, Resources: []Weight{{gpu, 5}}}, asks(gpu, "2"), 75},
		{"a line", Strategy{Kind: RequestedToCapacityRatio, Shape: rising}, pod, 50},
		{"a broken line", Strategy{Kind: RequestedToCapacityRatio, Resources: []Weight{{"cpu", 1}}, Shape: []Point{{0, 10}, {40, 2}, {60, 8}}}, pod, 50},
		{"behind the end of the line", Strategy{Kind: RequestedToCapacityRatio, Resources: []Weight{{"cpu", 1}}, Shape: []Point{{0, 10}, {40, 2}}}, pod, 20},
		{"a resource that the node has none of", Strategy{Kind: MostAllocated, Resources: []Weight{{"cpu", 1}, {"example.com/none", 1}}}, asks("cpu", "1", "example.com/none", "1"), 50},
	} {
		if got := NewFit(tt.how).Score(tt.pod, node); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestIgnoredResources(t *testing.T) {
	node := has("cpu", "4")
	for _, tt := range []struct {
		how  Strategy
		fits bool
	}{
		{Strategy{}, false},
		{Strategy{IgnoredResources: []string{"example.com/gpu"}}, true},
		{Strategy{IgnoredResources: []string{"example.com/other"}}, false},
		{Strategy{IgnoredGroups: []string{"example.com"}}, true},
		{Strategy{IgnoredGroups: []string{"example.org"}}, false},
	} {
		if got := NewFit(tt.how).Filter(asks("example.com/gpu", "1"), node).Fits(); got != tt.fits {
			t.Errorf("%+v: fits %v", tt.how, got)
		}
	}
}

func TestBalancedOfOtherResources(t *testing.T) {
	const gpu = "example.com/gpu"
	node := has("cpu", "4", "memory", "8Gi", gpu, "4")
	both, all := NewBalanced("cpu", "memory"), NewBalanced("cpu", "memory", gpu)
	for _, pod := range []*Pod{asks("cpu", "1", "memory", "1Gi"), asks("cpu", "3"), asks()} {
		if got, want := both.Score(pod, node), (Balanced{}).Score(pod, node); got != want {
			t.Errorf("CPU and memory by name: %d, want %d", got, want)
		}
	}
	if got := all.Score(asks("cpu", "1", "memory", "2Gi", gpu, "1"), node); got != 75 {
		t.Errorf("even: %d, want 75", got)
	}
	if got := all.Score(asks("cpu", "4", gpu, "4"), node); got != 50+(50+52-100)/2 {
		t.Errorf("uneven: %d", got)
	}
}

func TestAddedAffinity(t *testing.T) {
	zone := func(v string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{v}}}}
	}
	p, err := NewNodeAffinity(corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution:  &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{zone("a"), zone("b")}},
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 7, Preference: zone("a")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		zone  string
		fits  bool
		score int64
	}{{"a", true, 7}, {"b", true, 0}, {"c", false, 0}} {
		n := has("cpu", "1")
		obj := n.Node.DeepCopy()
		obj.Labels = map[string]string{"zone": tt.zone}
		n = n.With(obj)
		v := p.Filter(asks(), n)
		if v.Fits() != tt.fits || !v.Fits() && v.Reasons[0] != "node(s) didn't match scheduler-enforced node affinity" {
			t.Errorf("zone %s: %v", tt.zone, v)
		}
		if got := p.Score(asks(), n); got != tt.score {
			t.Errorf("zone %s: score %d, want %d", tt.zone, got, tt.score)
		}
	}
}
