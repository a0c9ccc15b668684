package scheduler

import (
	"context"
	"math/rand/v2"
	"slices"

	"sampan.dev/internal/control/scheduler/extend"
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
	if out, rejected := rs.begin(pod, s); rejected {
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

// placeExtended decides where a pod should run that extenders want to be asked about. What they answer may be otherwise the next time, so
// nothing is remembered of it: nodes are looked at one by one, as upstream does it, and those that fit go through the extenders. It waits
// for them on the scheduler's goroutine, for their timeouts at the longest.
func (rs *rankings) placeExtended(ctx context.Context, pod *plugin.Pod, s *snapshot, by *extend.Chain, dice *rand.Rand) outcome {
	p := rs.profile
	if out, rejected := rs.begin(pod, s); rejected {
		return out
	}
	if node := p.nominated(pod, s); node != "" {
		one := []*plugin.Node{s.byName[node]}
		if left, err := by.Filter(ctx, pod.Pod, one, func(*plugin.Node, plugin.Verdict) {}); err == nil && len(left) > 0 {
			return outcome{node: node, nodes: len(s.nodes), evaluated: 1}
		}
	}
	out, fit := p.sift(pod, s)
	if out.err != nil {
		return out
	}
	left, err := by.Filter(ctx, pod.Pod, fit, func(node *plugin.Node, v plugin.Verdict) {
		out.reject(node, extend.Rejecting{}, v)
		if !v.Unresolvable {
			out.resolvable = append(out.resolvable, node)
		}
	})
	if err != nil {
		return outcome{nodes: len(s.nodes), err: err, text: err.Error()}
	}
	rejecting := extend.Rejecting{}.Name()
	if len(left) < len(fit) && !slices.ContainsFunc(out.by, func(r plugin.Rejecting) bool { return r.Name() == rejecting }) {
		out.by = append(out.by, extend.Rejecting{})
	}
	return p.pick(pod, out, left, func() map[string]int64 { return by.Scores(ctx, pod.Pod, left) }, dice)
}

// begin brings the pod's signature up to date, and reports whether a plugin rejects the pod as a whole.
func (rs *rankings) begin(pod *plugin.Pod, s *snapshot) (outcome, bool) {
	rs.cycles++
	if epoch := rs.profile.epoch(); epoch != pod.Epoch {
		rs.profile.sign(pod, epoch)
	}
	return rs.profile.preFilter(pod, s)
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
