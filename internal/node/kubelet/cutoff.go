package kubelet

import (
	"context"
	"maps"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/admit"
	"sampan.dev/internal/node/fence"

	corev1 "k8s.io/api/core/v1"
)

// newFence makes what ends exclusive pods when the node is cut off; nil on a node that promises nothing.
func (k *Kubelet) newFence() *fence.Fence {
	if !k.cfg.FastFailover || k.cfg.Door == nil {
		return nil
	}
	after, _ := fence.Times(k.cfg.LeaseDuration)
	return &fence.Fence{After: after, File: k.cfg.LastRenewal, Now: k.cfg.SinceBoot, End: k.endExclusive}
}

// promised adds the node's promise to its annotations, if it makes one.
func (k *Kubelet) promised(annotations map[string]string) map[string]string {
	if k.fence == nil {
		return annotations
	}
	out := maps.Clone(annotations)
	if out == nil {
		out = map[string]string{}
	}
	_, promise := fence.Times(k.cfg.LeaseDuration)
	out[pods.EndsExclusiveAfter] = promise.String()
	return out
}

// withdraw takes the promise back: a kubelet that has ended keeps none, and its containers run on.
func (k *Kubelet) withdraw() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := client.MergePatch(ctx, k.cfg.Door, client.Ref{Resource: client.Nodes, Name: k.cfg.NodeName},
		map[string]any{"metadata": map[string]any{"annotations": map[string]any{pods.EndsExclusiveAfter: nil}}})
	if err != nil {
		k.cfg.Log.Warn("this node's promise to end exclusive pods when it is cut off stands although its kubelet ends", "error", err)
	}
}

// endExclusive ends the exclusive pods of a node that is cut off. A kubelet that was started since, and so was never told of the node's
// pods, ends all that no manifest names.
func (k *Kubelet) endExclusive(ctx context.Context) {
	select {
	case <-k.pods.Synced():
	default:
		list, err := k.rt.List(ctx)
		if err != nil {
			k.cfg.Log.Warn("pods of a node that is cut off are not ended", "error", err)
			return
		}
		for _, p := range list {
			if k.roster.get(p.UID) == nil {
				k.cfg.Log.Warn("ending a pod, since the node is cut off", "pod", p.Namespace+"/"+p.Name, "uid", p.UID)
				k.orphan(ctx, p)
			}
		}
	}
	for _, rec := range k.roster.all() {
		if pod := rec.current(); !pods.IsStatic(pod) && !rec.over() && (pods.IsExclusive(pod) || rec.orphaned()) && rec.cutOff() {
			k.events.Pod(pod, "", corev1.EventTypeWarning, fence.Reason, "%s", fence.Message)
		}
	}
}

// cutOff ends the pod because the node is cut off, sooner than it is being ended otherwise. It reports whether that is new.
func (r *record) cutOff() bool {
	r.mu.Lock()
	if r.mu.rejected != nil && r.mu.rejected.Reason == fence.Reason {
		r.mu.Unlock()
		return false
	}
	r.mu.grace = min(r.graceLocked(), int64(fence.Grace/time.Second))
	r.mu.disturbs = fence.Message
	if r.mu.cancelOp != nil && r.mu.stage == terminating && r.mu.grace < r.mu.opGrace {
		r.mu.cancelOp()
	}
	r.mu.Unlock()
	r.reject(&admit.Rejection{Reason: fence.Reason, Message: fence.Message})
	return true
}

// orphaned reports whether the pod's source has it no longer, or never had.
func (r *record) orphaned() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.gone
}
