package scheduler

import (
	"math/rand/v2"

	"sampan.dev/internal/control/scheduler/plugin"
)

// A ranking costs a look at every node, which pays from the second pod with its signature on. Of more rankings than these,
// the one used longest ago is dropped.
const (
	worthwhile   = 2
	mostRankings = 64
)

// rankings chooses nodes for the pods of one profile: by the ranking of their signature where there are more pods with it,
// or looking at nodes one by one. It belongs to the scheduler's goroutine.
type rankings struct {
	profile     *profile
	bySignature map[string]*ranking
	cycles      uint64
}

func newRankings(p *profile) *rankings {
	return &rankings{profile: p, bySignature: map[string]*ranking{}}
}

// place decides where pod should run.
func (rs *rankings) place(pod *plugin.Pod, s *snapshot, dice *rand.Rand) outcome {
	rs.cycles++
	if epoch := rs.profile.epoch(); epoch != pod.Epoch {
		rs.profile.sign(pod, epoch)
	}
	if out, rejected := rs.profile.preFilter(pod, s); rejected {
		return out
	}
	if len(s.nominated.node) > 0 {
		if node := rs.profile.nominated(pod, s); node != "" {
			return outcome{node: node, nodes: len(s.nodes), evaluated: 1}
		}
	}
	if node := rs.profile.pinned(pod, s); node != "" {
		return outcome{node: node, nodes: len(s.nodes), evaluated: 1}
	}
	r := rs.of(pod)
	if r == nil || r.uses < worthwhile && !r.built {
		return rs.profile.cycle(pod, s, dice)
	}
	if node := r.choose(s, dice); node != "" {
		return outcome{node: node, nodes: len(s.nodes), evaluated: len(s.nodes)}
	}
	return r.outcome(s)
}

// of returns the ranking of the pod's signature, nil for a pod that is like no other.
func (rs *rankings) of(pod *plugin.Pod) *ranking {
	if pod.Signature == "" {
		return nil
	}
	r := rs.bySignature[pod.Signature]
	if r == nil {
		if len(rs.bySignature) >= mostRankings {
			rs.drop()
		}
		r = &ranking{profile: rs.profile, signature: pod.Signature}
		rs.bySignature[pod.Signature] = r
	}
	r.pod = pod
	r.uses++
	r.used = rs.cycles
	return r
}

func (rs *rankings) drop() {
	var oldest *ranking
	for _, r := range rs.bySignature {
		if oldest == nil || r.used < oldest.used {
			oldest = r
		}
	}
	delete(rs.bySignature, oldest.signature)
}
