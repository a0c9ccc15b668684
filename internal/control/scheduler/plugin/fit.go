package plugin

import (
	"sort"

	corev1 "k8s.io/api/core/v1"
)

// Fit is NodeResourcesFit: what the pod asks for must be free, and with the zero value nodes with more free are preferred
// (LeastAllocated, CPU and memory alike).
type Fit struct {
	absolute
	how *Strategy // nil: the default
}

// NewFit returns one with another strategy.
func NewFit(how Strategy) Fit { return Fit{how: &how} }

// Name implements Plugin.
func (Fit) Name() string { return "NodeResourcesFit" }

// Sign implements Signed.
func (Fit) Sign(s *Signer) {
	s.Requests()
	s.Assumed()
}

// Filter implements Filter. What an empty node would not have either is unresolvable.
func (f Fit) Filter(pod *Pod, node *Node) Verdict {
	var v Verdict
	short := func(name corev1.ResourceName, want, have, used int64) {
		if want > 0 && want > have-used {
			v.Reasons = append(v.Reasons, "Insufficient "+string(name))
			v.Unresolvable = v.Unresolvable || want > have
		}
	}
	if node.Requested.Pods+1 > node.Allocatable.Pods {
		v.Reasons = append(v.Reasons, "Too many pods")
	}
	r, a, u := &pod.Requests, &node.Allocatable, &node.Requested
	short(corev1.ResourceCPU, r.MilliCPU, a.MilliCPU, u.MilliCPU)
	short(corev1.ResourceMemory, r.Memory, a.Memory, u.Memory)
	short(corev1.ResourceEphemeralStorage, r.Ephemeral, a.Ephemeral, u.Ephemeral)
	if len(r.Scalar) > 0 {
		names := make([]string, 0, len(r.Scalar))
		for name := range r.Scalar {
			names = append(names, string(name))
		}
		sort.Strings(names)
		for _, n := range names {
			name := corev1.ResourceName(n)
			if f.how.ignores(name) {
				continue
			}
			short(name, r.Scalar[name], a.Scalar[name], u.Scalar[name])
		}
	}
	return v
}

// Score implements Score: by default the mean share of CPU and memory that stays free.
func (f Fit) Score(pod *Pod, node *Node) int64 {
	if !f.how.plain() {
		return f.how.score(pod, node)
	}
	free := func(used, have int64) (int64, int64) {
		if have == 0 {
			return 0, 0
		}
		if used > have {
			return 0, 1
		}
		return (have - used) * MaxScore / have, 1
	}
	cpu, w1 := free(node.Assumed.MilliCPU+pod.Assumed.MilliCPU, node.Allocatable.MilliCPU)
	mem, w2 := free(node.Assumed.Memory+pod.Assumed.Memory, node.Allocatable.Memory)
	if w1+w2 == 0 {
		return 0
	}
	return (cpu + mem) / (w1 + w2)
}

// Events implements Rejecting.
func (Fit) Events() Event { return NodeAdded | NodeChanged | PodLeft | PodShrank | PodUpdated }

// Helps implements Rejecting. Room that is not enough helps all the same when it was a pod's that could not have been evicted: what
// is missing may now be had by preemption.
func (p Fit) Helps(pod *Pod, c Change) bool {
	if c.Event&(NodeAdded|NodeChanged|PodLeft) == 0 {
		return true
	}
	return c.Event == PodLeft && c.Pod.Priority() >= pod.Priority() || p.Filter(pod, c.Node).Fits()
}
