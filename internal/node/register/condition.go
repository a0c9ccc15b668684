package register

import (
	"slices"
	"strings"

	"sampan.dev/internal/node/evict"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// facts are what a node's conditions say.
type facts struct {
	network  bool // sampan's pod network serves the node
	pressure evict.Pressure
	trouble  []error // what keeps the node from being ready
}

// setConditions sets the conditions of s, which holds the last ones, in upstream's order, Ready last: old control planes read
// them so. now is the heartbeat, and the transition of those whose status changes.
func setConditions(s *corev1.NodeStatus, f facts, now metav1.Time) {
	set := func(t corev1.NodeConditionType, ok bool, reason, message string) {
		c := corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
		if ok {
			c.Status = corev1.ConditionTrue
		}
		i := slices.IndexFunc(s.Conditions, func(c corev1.NodeCondition) bool { return c.Type == t })
		if i < 0 {
			s.Conditions = append(s.Conditions, c)
			return
		}
		if s.Conditions[i].Status == c.Status {
			c.LastTransitionTime = s.Conditions[i].LastTransitionTime
		}
		s.Conditions[i] = c
	}
	either := func(on bool, t corev1.NodeConditionType, yes, yesText, no, noText string) {
		if on {
			set(t, true, yes, yesText)
		} else {
			set(t, false, no, noText)
		}
	}
	if f.network && !withoutRoute(s.Conditions) {
		set(corev1.NodeNetworkUnavailable, false, "RouteCreated", "Sampan's pod network serves this node")
	}
	p := f.pressure
	either(p.Memory, corev1.NodeMemoryPressure, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available", "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
	either(p.Disk, corev1.NodeDiskPressure, "KubeletHasDiskPressure", "kubelet has disk pressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
	either(p.PID, corev1.NodePIDPressure, "KubeletHasInsufficientPID", "kubelet has insufficient PID available", "KubeletHasSufficientPID", "kubelet has sufficient PID available")
	either(len(f.trouble) == 0, corev1.NodeReady, "KubeletReady", "kubelet is posting ready status", "KubeletNotReady", aggregate(f.trouble))
}

// withoutRoute reports whether a cloud's route controller says that the node has no route, which it will take back itself.
func withoutRoute(conditions []corev1.NodeCondition) bool {
	return slices.ContainsFunc(conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeNetworkUnavailable && c.Reason == "NoRouteCreated"
	})
}

// aggregate joins errors as upstream's utilerrors.NewAggregate words them: "a", or "[a, b]".
func aggregate(errs []error) string {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// changes names the events of the conditions that are not as they were: "NodeReady", "NodeHasDiskPressure".
func changes(old, now []corev1.NodeCondition) (reasons []string) {
	names := map[corev1.NodeConditionType][2]string{ // while it holds, while it does not
		corev1.NodeReady:          {"NodeReady", "NodeNotReady"},
		corev1.NodeMemoryPressure: {"NodeHasInsufficientMemory", "NodeHasSufficientMemory"},
		corev1.NodeDiskPressure:   {"NodeHasDiskPressure", "NodeHasNoDiskPressure"},
		corev1.NodePIDPressure:    {"NodeHasInsufficientPID", "NodeHasSufficientPID"},
	}
	for _, c := range now {
		i := slices.IndexFunc(old, func(o corev1.NodeCondition) bool { return o.Type == c.Type })
		name, ok := names[c.Type]
		switch {
		case !ok || i >= 0 && old[i].Status == c.Status:
		case c.Status == corev1.ConditionTrue:
			reasons = append(reasons, name[0])
		default:
			reasons = append(reasons, name[1])
		}
	}
	return reasons
}

// isReady reports whether the conditions say that a node is ready.
func isReady(conditions []corev1.NodeCondition) bool {
	return slices.ContainsFunc(conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
