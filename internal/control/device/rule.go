package device

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"sampan.dev/internal/api/devices"
	"sampan.dev/internal/client"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// statusEvery is the shortest time between two writes of a rule's status.
const statusEvery = 10 * time.Second

// effect is what a rule does: how many pods it drives out or would, in how many namespaces; which devices it selects; and how many pods it
// has driven out.
type effect struct {
	pods, namespaces     int
	published, allocated int
	evicted              int
}

// report writes into a rule's status what comes of it.
func (e *evictor) report(ctx context.Context, name string) (time.Duration, error) {
	rule, ok := e.rules.Get("", name)
	if !ok {
		return 0, nil
	}
	was := inProgress(rule)
	if was != nil && was.ObservedGeneration == rule.Generation {
		if since := time.Since(was.LastTransitionTime.Time); since < statusEvery {
			return statusEvery - since, nil
		}
	}
	now := conditionOf(rule, e.effectOf(rule))
	if was != nil {
		if now.LastTransitionTime = was.LastTransitionTime; now == *was {
			return 0, nil
		}
	}
	now.LastTransitionTime = metav1.Now()
	body, err := json.Marshal(map[string]any{
		"apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule", "metadata": map[string]any{"name": rule.Name, "uid": rule.UID},
		"status": map[string]any{"conditions": []metav1.Condition{now}},
	})
	if err != nil {
		return 0, err
	}
	ref := client.Ref{Resource: client.DeviceTaintRules, Name: rule.Name, Subresource: "status"}
	if _, err := e.Door.Patch(ctx, ref, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: e.Name, Force: new(true)}); ignoreGone(err) != nil {
		return 0, fmt.Errorf("add condition to DeviceTaintRule status: %w", err)
	}
	return 0, nil
}

func inProgress(rule *resourcev1.DeviceTaintRule) *metav1.Condition {
	for i := range rule.Status.Conditions {
		if rule.Status.Conditions[i].Type == resourcev1.DeviceTaintConditionEvictionInProgress {
			return &rule.Status.Conditions[i]
		}
	}
	return nil
}

// effectOf counts what a rule does. Of one without an effect it counts what the rule would do if it drove pods out.
func (e *evictor) effectOf(rule *resourcev1.DeviceTaintRule) (out effect) {
	e.mu.Lock()
	out.evicted = e.mu.evicted[rule.UID]
	e.mu.Unlock()
	counted := rule
	switch rule.Spec.Taint.Effect {
	case resourcev1.DeviceTaintEffectNone:
		counted = rule.DeepCopy()
		counted.Spec.Taint.Effect = resourcev1.DeviceTaintEffectNoExecute
		out.published, out.allocated = e.selected(rule)
	case resourcev1.DeviceTaintEffectNoExecute:
	default:
		return out
	}
	spaces := map[string]bool{}
	for _, pod := range e.pods.List("") {
		if pod.DeletionTimestamp == nil && devices.Has(pod) && e.evictionOf(pod, []*resourcev1.DeviceTaintRule{counted}).rules[rule.UID] {
			out.pods++
			spaces[pod.Namespace] = true
		}
	}
	out.namespaces = len(spaces)
	return out
}

// selected counts the devices that a rule selects: those that are published, and those that claims have.
func (e *evictor) selected(rule *resourcev1.DeviceTaintRule) (there, given int) {
	newest := map[string]int64{}
	for _, s := range e.slices.List("") {
		pool := s.Spec.Driver + "/" + s.Spec.Pool.Name
		newest[pool] = max(newest[pool], s.Spec.Pool.Generation)
	}
	for _, s := range e.slices.List("") {
		for i := range s.Spec.Devices {
			if s.Spec.Pool.Generation == newest[s.Spec.Driver+"/"+s.Spec.Pool.Name] && devices.Picks(rule, s.Spec.Driver, s.Spec.Pool.Name, s.Spec.Devices[i].Name) {
				there++
			}
		}
	}
	for _, k := range e.claims.List("") {
		if a := k.Status.Allocation; a != nil {
			for i := range a.Devices.Results {
				if d := &a.Devices.Results[i]; devices.Picks(rule, d.Driver, d.Pool, d.Device) {
					given++
				}
			}
		}
	}
	return there, given
}

// conditionOf says in upstream's words what comes of a rule.
func conditionOf(rule *resourcev1.DeviceTaintRule, is effect) metav1.Condition {
	out := metav1.Condition{Type: resourcev1.DeviceTaintConditionEvictionInProgress, Status: metav1.ConditionFalse, ObservedGeneration: rule.Generation}
	switch rule.Spec.Taint.Effect {
	case resourcev1.DeviceTaintEffectNoExecute:
		switch {
		case is.pods > 0:
			out.Reason, out.Status = "PodsPendingEviction", metav1.ConditionTrue
			out.Message = many(is.pods, "1 pod needs", "%d pods need") + " to be evicted in " + many(is.namespaces, "1 namespace.", "%d different namespaces.")
		case is.evicted > 0:
			out.Reason = "Completed"
		default:
			out.Reason = "NotStarted"
		}
	case resourcev1.DeviceTaintEffectNone:
		out.Reason = "NoEffect"
		out.Message = many(is.published, "1 published device selected. ", "%d published devices selected. ") +
			many(is.allocated, "1 allocated device selected. ", "%d allocated devices selected. ") +
			many(is.pods, "1 pod", "%d pods") + " would be evicted in " + many(is.namespaces, "1 namespace", "%d different namespaces") +
			" if the effect was NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."
	default:
		out.Reason, out.Message = "OtherEffect", "Eviction only happens for the NoExecute effect."
	}
	if is.evicted > 0 {
		if out.Message != "" {
			out.Message += " "
		}
		out.Message += many(is.evicted, "1 pod", "%d pods") + " evicted since starting the controller."
	}
	return out
}

func many(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(more, n)
}
