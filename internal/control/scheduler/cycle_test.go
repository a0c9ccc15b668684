package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

func testNode(name, cpu, memory string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	n.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse(cpu),
		corev1.ResourceMemory: resource.MustParse(memory),
		corev1.ResourcePods:   resource.MustParse("3"),
	}
	for _, f := range change {
		f(n)
	}
	return n
}

func testPod(name, cpu, memory string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
	c := corev1.Container{Name: "main", Image: "app"}
	c.Resources.Requests = corev1.ResourceList{}
	if cpu != "" {
		c.Resources.Requests[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		c.Resources.Requests[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	p.Spec.Containers = []corev1.Container{c}
	p.Spec.SchedulerName = corev1.DefaultSchedulerName
	for _, f := range change {
		f(p)
	}
	return p
}

func taint(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

func label(k, v string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[k] = v }
}

func hostPort(port int32, ip string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: port, HostIP: ip, ContainerPort: port, Protocol: corev1.ProtocolTCP}}
	}
}

func selector(k, v string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{k: v} }
}

func image(name string, size int64) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{name}, SizeBytes: size})
	}
}

func cordon(n *corev1.Node) { n.Spec.Unschedulable = true }

func TestCycle(t *testing.T) {
	tests := []struct {
		name  string
		nodes []*corev1.Node
		there map[string][]*corev1.Pod // node -> pods on it
		pod   *corev1.Pod
		want  string // node
		why   string // message when want is ""
	}{
		{
			name: "no nodes",
			pod:  testPod("p", "1", ""),
			why:  "no nodes available to schedule pods",
		},
		{
			name:  "least allocated wins",
			nodes: []*corev1.Node{testNode("full", "4", "8Gi"), testNode("free", "4", "8Gi")},
			there: map[string][]*corev1.Pod{"full": {testPod("a", "3", "6Gi")}},
			pod:   testPod("p", "500m", "1Gi"),
			want:  "free",
		},
		{
			name:  "one milli too many",
			nodes: []*corev1.Node{testNode("n", "1", "8Gi")},
			there: map[string][]*corev1.Pod{"n": {testPod("a", "999m", "1Mi")}},
			pod:   testPod("p", "2m", ""),
			why:   "0/1 nodes are available: 1 Insufficient cpu.",
		},
		{
			name:  "every reason counts, in order of its text",
			nodes: []*corev1.Node{testNode("a", "1", "1Gi"), testNode("b", "1", "1Gi"), testNode("c", "8", "8Gi", taint("k", corev1.TaintEffectNoSchedule)), testNode("d", "8", "8Gi", cordon)},
			pod:   testPod("p", "2", "2Gi"),
			why:   "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu, 2 Insufficient memory.",
		},
		{
			name:  "too many pods",
			nodes: []*corev1.Node{testNode("n", "4", "8Gi")},
			there: map[string][]*corev1.Pod{"n": {testPod("a", "", ""), testPod("b", "", ""), testPod("c", "", "")}},
			pod:   testPod("p", "", ""),
			why:   "0/1 nodes are available: 1 Too many pods.",
		},
		{
			name:  "selector",
			nodes: []*corev1.Node{testNode("a", "4", "8Gi"), testNode("b", "1", "1Gi", label("disk", "ssd"))},
			pod:   testPod("p", "100m", "", selector("disk", "ssd")),
			want:  "b",
		},
		{
			name:  "selector that nothing matches",
			nodes: []*corev1.Node{testNode("a", "4", "8Gi")},
			pod:   testPod("p", "100m", "", selector("disk", "ssd")),
			why:   "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
		},
		{
			name:  "host port taken on every address",
			nodes: []*corev1.Node{testNode("a", "4", "8Gi")},
			there: map[string][]*corev1.Pod{"a": {testPod("x", "", "", hostPort(80, ""))}},
			pod:   testPod("p", "", "", hostPort(80, "10.0.0.1")),
			why:   "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
		},
		{
			name:  "host port on another address",
			nodes: []*corev1.Node{testNode("a", "4", "8Gi")},
			there: map[string][]*corev1.Pod{"a": {testPod("x", "", "", hostPort(80, "10.0.0.2"))}},
			pod:   testPod("p", "", "", hostPort(80, "10.0.0.1")),
			want:  "a",
		},
		{
			name:  "a taint that only prefers",
			nodes: []*corev1.Node{testNode("a", "4", "8Gi", taint("k", corev1.TaintEffectPreferNoSchedule)), testNode("b", "4", "8Gi")},
			pod:   testPod("p", "100m", "100Mi"),
			want:  "b",
		},
		{
			name:  "the image is there",
			nodes: []*corev1.Node{testNode("a", "4", "8Gi"), testNode("b", "4", "8Gi", image("app:latest", 900<<20))},
			pod:   testPod("p", "100m", "100Mi"),
			want:  "b",
		},
		{
			name:  "balance: memory-heavy pod to the CPU-heavy node",
			nodes: []*corev1.Node{testNode("a", "4", "4Gi"), testNode("b", "4", "4Gi")},
			there: map[string][]*corev1.Pod{"a": {testPod("x", "2", "1Gi")}, "b": {testPod("y", "1", "2Gi")}},
			pod:   testPod("p", "0", "1Gi"),
			want:  "a",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := defaultProfile()
			s := newSnapshot(p)
			for _, n := range tt.nodes {
				s.setNode(n.Name, n)
			}
			for node, pods := range tt.there {
				for _, there := range pods {
					s.addPod(node, plugin.NewPod(there))
				}
			}
			// Every start must give the same answer: none of these is a tie.
			for start := range max(len(tt.nodes), 1) {
				s.start = start
				out := p.cycle(p.newPod(tt.pod), s, rand.New(rand.NewPCG(1, 1)))
				if out.node != tt.want {
					t.Fatalf("node %q, want %q (%v)", out.node, tt.want, out.rejected)
				}
				if tt.want == "" && out.text != tt.why {
					t.Fatalf("message\n  %s\nwant\n  %s", out.text, tt.why)
				}
			}
			// And so must the ranking of its signature.
			alike := newRankings(p)
			for range worthwhile + 1 {
				out := alike.place(p.newPod(tt.pod), s, rand.New(rand.NewPCG(1, 1)))
				if out.node != tt.want || tt.want == "" && out.text != tt.why {
					t.Fatalf("the ranking says node %q, message %q", out.node, out.text)
				}
			}
		})
	}
}

// C04 of spec/system.md: the requests on a node never exceed what it has, whatever comes.
func TestRequestsNeverExceedTheNode(t *testing.T) {
	dice := rand.New(rand.NewPCG(7, 7))
	profile := defaultProfile()
	s, alike := newSnapshot(profile), newRankings(profile)
	for i := range 5 {
		n := testNode(fmt.Sprintf("n%d", i), "4", "8Gi", func(n *corev1.Node) {
			n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("110")
		})
		s.setNode(n.Name, n)
	}
	var placed []struct {
		node string
		uid  types.UID
	}
	refused := 0
	for i := range 200 {
		p := profile.newPod(testPod(fmt.Sprintf("p%d", i), fmt.Sprintf("%dm", dice.IntN(900)), fmt.Sprintf("%dMi", dice.IntN(1500))))
		out := alike.place(p, s, dice)
		if out.node == "" {
			refused++
			continue
		}
		s.addPod(out.node, p)
		placed = append(placed, struct {
			node string
			uid  types.UID
		}{out.node, p.UID})
		if dice.IntN(4) == 0 {
			k := dice.IntN(len(placed))
			s.removePod(placed[k].uid)
			placed = append(placed[:k], placed[k+1:]...)
		}
		for _, n := range s.nodes {
			var cpu, mem int64
			for _, p := range s.placed {
				if p.node == n.Name {
					cpu += p.pod.Requests.MilliCPU
					mem += p.pod.Requests.Memory
				}
			}
			if cpu != n.Requested.MilliCPU || mem != n.Requested.Memory {
				t.Fatalf("%s: sums drifted: %d/%d and %d/%d", n.Name, cpu, n.Requested.MilliCPU, mem, n.Requested.Memory)
			}
			if cpu > n.Allocatable.MilliCPU || mem > n.Allocatable.Memory {
				t.Fatalf("%s holds %dm and %d bytes", n.Name, cpu, mem)
			}
		}
	}
	if refused == 0 {
		t.Fatal("nothing was refused; the test does not reach the limit")
	}
}

func TestFeasibleNodes(t *testing.T) {
	for n, want := range map[int]int{1: 1, 100: 100, 200: 100, 1000: 420, 5000: 500, 6000: 300, 10000: 500} {
		if got := feasibleNodes(n); got != want {
			t.Errorf("feasibleNodes(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestRemovedNodeLeavesTheSnapshot(t *testing.T) {
	index := newAtMost(100, "zone")
	s := newSnapshot(newProfile(Profile{Filters: []plugin.Filter{index}}))
	for _, name := range []string{"a", "b", "c"} {
		s.setNode(name, testNode(name, "1", "1Gi", image("app:latest", 1)))
	}
	p := plugin.NewPod(testPod("p", "1", ""))
	s.addPod("b", p)
	s.setNode("b", nil)
	if len(s.nodes) != 2 || len(index.where) != 2 {
		t.Fatalf("%d nodes, %d in the index", len(s.nodes), len(index.where))
	}
	if s.byName["b"] == nil {
		t.Fatal("the pods of a node that may come back were forgotten")
	}
	s.setNode("b", testNode("b", "1", "1Gi"))
	if got := s.byName["b"].Requested.MilliCPU; got != 1000 {
		t.Fatalf("after its return the node counts %dm", got)
	}
	s.setNode("b", nil)
	s.removePod(p.UID)
	if s.byName["b"] != nil {
		t.Fatal("a node without object and pods is still there")
	}
}
