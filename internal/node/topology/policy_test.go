package topology

import (
	"context"
	"errors"
	"strings"
	"testing"

	"sampan.dev/internal/node/hardware"

	corev1 "k8s.io/api/core/v1"
)

func TestOptions(t *testing.T) {
	for want, m := range map[string]map[string]string{
		"": {"prefer-closest-numa-nodes": "true", "max-allowable-numa-nodes": "16"},
		`unknown Topology Manager Policy option: "x"`:          {"x": "1"},
		`bad value for option "prefer-closest-numa-nodes"`:     {"prefer-closest-numa-nodes": "maybe"},
		`unable to convert policy option to integer`:           {"max-allowable-numa-nodes": "many"},
		`"max-allowable-numa-nodes" should not be less than 8`: {"max-allowable-numa-nodes": "7"},
	} {
		o, err := ReadOptions(m)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", m, err, want)
		}
		if want == "" && (!o.Closest || o.MaxNodes != 16) {
			t.Errorf("%+v", o)
		}
	}
}

func TestPolicyOfAMachine(t *testing.T) {
	machine := func(n int) *hardware.Machine {
		m := &hardware.Machine{}
		for i := range n {
			m.Nodes = append(m.Nodes, hardware.Node{ID: i})
		}
		return m
	}
	for _, c := range []struct {
		name  string
		o     Options
		nodes int
		want  string
	}{
		{None, Options{MaxNodes: 8}, 20, ""},
		{Restricted, Options{MaxNodes: 8}, 8, ""},
		{Restricted, Options{MaxNodes: 8}, 9, "unsupported on machines with more than 8 NUMA Nodes"},
		{Restricted, Options{MaxNodes: 9}, 9, ""},
		{Restricted, Options{MaxNodes: 8, Closest: true}, 2, "cannot discover NUMA topology"},
		{"strict", Options{MaxNodes: 8}, 2, `unknown policy: "strict"`},
	} {
		_, err := NewPolicy(c.name, c.o, machine(c.nodes))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// fixed is a provider that can serve on the sets that it is told, and may fail to.
type fixed struct {
	hints Hints
	m     *Manager
	fail  error
	given []Hint
}

func (f *fixed) Hints(*corev1.Pod, *corev1.Container) Hints { return f.hints }
func (f *fixed) PodHints(*corev1.Pod) Hints                 { return f.hints }
func (f *fixed) Allocate(_ context.Context, pod *corev1.Pod, c *corev1.Container) error {
	f.given = append(f.given, f.m.Affinity(pod.UID, c.Name))
	return f.fail
}

func TestAdmit(t *testing.T) {
	pod := &corev1.Pod{}
	pod.UID = "p"
	pod.Spec.InitContainers = []corev1.Container{{Name: "i"}}
	pod.Spec.Containers = []corev1.Container{{Name: "a"}, {Name: "b"}}
	for _, c := range []struct {
		name, policy, scope string
		hints               Hints
		fail                error
		reason, message     string
		asked               int
	}{
		{name: "fits", policy: SingleNUMANode, scope: ContainerScope, hints: Hints{"cpu": {{MaskOf(1), true}}}, asked: 3},
		{name: "the whole pod fits", policy: SingleNUMANode, scope: PodScope, hints: Hints{"cpu": {{MaskOf(1), true}}}, asked: 3},
		{name: "lies apart", policy: SingleNUMANode, scope: PodScope, hints: Hints{"cpu": {{MaskOf(0, 1), true}}},
			reason: "TopologyAffinityError", message: "Resources cannot be allocated with Topology locality"},
		{name: "nothing is left", policy: Restricted, hints: Hints{"cpu": {}}, reason: "TopologyAffinityError", message: "Resources cannot be allocated with Topology locality"},
		{name: "nothing is left, and nobody minds", policy: BestEffort, hints: Hints{"cpu": {}}, asked: 3},
		{name: "fails", policy: None, fail: errors.New("no devices"), asked: 1,
			reason: "UnexpectedAdmissionError", message: "Allocate failed due to no devices, which is unexpected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &hardware.Machine{Nodes: []hardware.Node{{ID: 0}, {ID: 1}}}
			p, err := NewPolicy(c.policy, Options{MaxNodes: 8}, m)
			if err != nil {
				t.Fatal(err)
			}
			mgr, err := New(p, c.scope)
			if err != nil {
				t.Fatal(err)
			}
			f := &fixed{hints: c.hints, m: mgr, fail: c.fail}
			mgr.Use(f)
			err = mgr.Admit(t.Context(), pod)
			if (err == nil) != (c.reason == "") || len(f.given) != c.asked {
				t.Fatalf("%v, asked %d times", err, len(f.given))
			}
			if err != nil {
				if reason, message := Explain(err); reason != c.reason || message != c.message {
					t.Errorf("%s: %s", reason, message)
				}
			} else if c.policy == SingleNUMANode && f.given[2] != (Hint{MaskOf(1), true}) {
				t.Errorf("%+v", f.given)
			}
			if mgr.Forget("p"); mgr.Affinity("p", "a") != (Hint{}) {
				t.Error("the pod is not forgotten")
			}
		})
	}
	if _, err := New(nil, "node"); err == nil {
		t.Error("a scope that is none")
	}
}
