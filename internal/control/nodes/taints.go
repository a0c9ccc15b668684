package nodes

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditionTaints are the taints that conditions of a node lead to, with effect NoSchedule.
var conditionTaints = []struct {
	kind   corev1.NodeConditionType
	status corev1.ConditionStatus
	key    string
}{
	{corev1.NodeReady, corev1.ConditionFalse, corev1.TaintNodeNotReady},
	{corev1.NodeReady, corev1.ConditionUnknown, corev1.TaintNodeUnreachable},
	{corev1.NodeMemoryPressure, corev1.ConditionTrue, corev1.TaintNodeMemoryPressure},
	{corev1.NodeDiskPressure, corev1.ConditionTrue, corev1.TaintNodeDiskPressure},
	{corev1.NodeNetworkUnavailable, corev1.ConditionTrue, corev1.TaintNodeNetworkUnavailable},
	{corev1.NodePIDPressure, corev1.ConditionTrue, corev1.TaintNodePIDPressure},
}

// eviction is what a node's readiness asks for in NoExecute taints.
type eviction int

const (
	keepTaints  eviction = iota // leave the NoExecute taints as they are
	dropTaints                  // the node is fine
	placeTaints                 // the node is not, and it is its turn
)

// desiredTaints returns the taints of a node as its conditions ask for, and whether they differ from those it has. What
// other parties put there stays.
func desiredTaints(node *corev1.Node, evict eviction, now time.Time) ([]corev1.Taint, bool) {
	want := noScheduleKeys(node)
	out := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule && ours(t.Key) && !slices.Contains(want, t.Key)
	})
	added := metav1.NewTime(now)
	add := func(key string, effect corev1.TaintEffect) {
		if !hasTaint(out, key, effect) {
			out = append(out, corev1.Taint{Key: key, Effect: effect, TimeAdded: &added})
		}
	}
	for _, key := range want {
		add(key, corev1.TaintEffectNoSchedule)
	}
	if evict != keepTaints {
		key := ""
		if evict == placeTaints {
			key = evictionTaint(node)
		}
		out = slices.DeleteFunc(out, func(t corev1.Taint) bool {
			return t.Effect == corev1.TaintEffectNoExecute && t.Key != key &&
				(t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable)
		})
		if key != "" {
			add(key, corev1.TaintEffectNoExecute)
		}
	}
	return out, !slices.EqualFunc(out, node.Spec.Taints, func(a, b corev1.Taint) bool { return a.Key == b.Key && a.Effect == b.Effect })
}

func noScheduleKeys(node *corev1.Node) []string {
	var out []string
	for _, ct := range conditionTaints {
		if c := nodeCondition(node, ct.kind); c != nil && c.Status == ct.status {
			out = append(out, ct.key)
		}
	}
	if node.Spec.Unschedulable {
		out = append(out, corev1.TaintNodeUnschedulable)
	}
	return out
}

func ours(key string) bool {
	if key == corev1.TaintNodeUnschedulable {
		return true
	}
	for _, ct := range conditionTaints {
		if ct.key == key {
			return true
		}
	}
	return false
}

// evictionTaint is the key of the NoExecute taint that a node's readiness asks for, or "".
func evictionTaint(node *corev1.Node) string {
	switch readiness(node) {
	case corev1.ConditionFalse:
		return corev1.TaintNodeNotReady
	case corev1.ConditionUnknown:
		return corev1.TaintNodeUnreachable
	}
	return ""
}

func hasTaint(taints []corev1.Taint, key string, effect corev1.TaintEffect) bool {
	return slices.ContainsFunc(taints, func(t corev1.Taint) bool { return t.Key == key && t.Effect == effect })
}

func evicting(node *corev1.Node) bool {
	return hasTaint(node.Spec.Taints, corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute) ||
		hasTaint(node.Spec.Taints, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)
}
