package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
	"sampan.dev/internal/control/scheduler/preempt"
)

// Preemption that remembers what it knows of nodes finds the same as one that looks at all nodes for each pod, whatever comes and
// goes meanwhile: pods, nodes, nominations, budgets, and versions of pods that ask for the same.
func TestHuntsKnowWhatTheyDid(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { hunts(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

// hunter is a profile, and the preemption in it.
type hunter struct {
	*profile
	*preempt.DefaultPreemption
}

func newHunter(budgets *[]*policyv1.PodDisruptionBudget, remembers bool) hunter {
	p := defaultProfile()
	h := hunter{p, preemption(p)}
	hands := preempt.Hands{Budgets: func() []*policyv1.PodDisruptionBudget {
		return append([]*policyv1.PodDisruptionBudget(nil), *budgets...)
	}}
	if remembers {
		hands.Steady = p.steady
	}
	h.Connect(hands)
	return h
}

// preemption is the profile's.
func preemption(p *profile) *preempt.DefaultPreemption {
	for _, f := range p.PostFilters {
		if d, is := f.(*preempt.DefaultPreemption); is {
			return d
		}
	}
	return nil
}

// find is what one of them finds for a pod that fits nowhere.
func (h hunter) find(obj *corev1.Pod, s *snapshot) (plugin.Nomination, bool) {
	pod := h.newPod(obj)
	var nodes []*plugin.Node
	for _, n := range s.nodes {
		f, v := h.admit(pod, n, s)
		if f == nil {
			return plugin.Nomination{}, false
		}
		if !v.Unresolvable {
			nodes = append(nodes, n)
		}
	}
	return h.PostFilter(pod, nodes, h.without(pod, s)), true
}

func hunts(t *testing.T, dice *rand.Rand) {
	var budgets []*policyv1.PodDisruptionBudget
	fast, slow := newHunter(&budgets, true), newHunter(&budgets, false)
	s := newSnapshot(fast.profile, slow.profile)
	kinds := randomPods(dice, 6)
	began, found, none := time.Now(), 0, 0
	any := func() (placement, bool) {
		for _, at := range s.placed {
			return at, true
		}
		return placement{}, false
	}
	for step := range 1500 {
		name := fmt.Sprintf("n%02d", dice.IntN(12))
		switch dice.IntN(12) {
		case 0:
			s.setNode(name, randomNode(dice, name))
		case 1:
			if dice.IntN(6) == 0 && s.byName[name] != nil {
				s.setNode(name, nil)
			}
		case 2:
			if at, some := any(); some {
				s.removePod(at.pod.UID)
			}
		case 3: // any has begun, or is on its way out
			if at, some := any(); some {
				obj := at.pod.Pod.DeepCopy()
				obj.Status.StartTime = &metav1.Time{Time: began.Add(-time.Duration(dice.IntN(100)) * time.Second)}
				s.addPod(at.node, plugin.NewPod(obj))
			}
		case 4:
			if dice.IntN(3) == 0 {
				budgets = randomBudgets(dice)
			} else if len(budgets) > 0 {
				i := dice.IntN(len(budgets))
				b := budgets[i].DeepCopy()
				b.Status.DisruptionsAllowed = int32(dice.IntN(3))
				budgets[i] = b
			}
		case 5:
			for uid := range s.nominated.node {
				s.nominated.drop(uid)
				break
			}
		default:
			obj := kinds[dice.IntN(len(kinds))].DeepCopy()
			obj.UID, obj.Name = types.UID(fmt.Sprint(step)), fmt.Sprint(step)
			obj.Spec.Priority = new(int32(dice.IntN(3)))
			got, asked := fast.find(obj, s)
			want, _ := slow.find(obj, s)
			if got.Node != want.Node || got.Message != want.Message || got.Cancel != want.Cancel || (got.Evict == nil) != (want.Evict == nil) {
				t.Fatalf("step %d: found %q, %s; a look at all nodes finds %q, %s", step, got.Node, got.Message, want.Node, want.Message)
			}
			switch {
			case !asked:
				best, _ := best(fast.profile, fast.newPod(obj), s)
				for node := range best {
					s.addPod(node, plugin.NewPod(obj))
					break
				}
			case got.Node != "":
				if found++; dice.IntN(3) == 0 {
					s.nominated.set(fast.newPod(obj), got.Node)
				}
			default:
				none++
			}
		}
	}
	if found < 20 || none < 20 {
		t.Errorf("found a node %d times and none %d times: too few to say anything", found, none)
	}
}

func randomBudgets(dice *rand.Rand) []*policyv1.PodDisruptionBudget {
	var out []*policyv1.PodDisruptionBudget
	for i := range dice.IntN(3) {
		b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("b", i), UID: types.UID(fmt.Sprint(dice.IntN(1000))), Generation: 1}}
		b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint(dice.IntN(3))}}
		b.Status.DisruptionsAllowed = int32(dice.IntN(3))
		out = append(out, b)
	}
	return out
}
