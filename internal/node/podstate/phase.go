package podstate

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// phaseOf computes the phase from container statuses. terminal says that no container runs or will run again; inited that
// a main container has been made.
func phaseOf(pod *corev1.Pod, statuses []corev1.ContainerStatus, terminal, inited bool) corev1.PodPhase {
	pendingInit, failedInit := 0, false
	var unknown, running, waiting, stopped, final, succeeded, pendingSidecars int
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		st := pods.FindStatus(statuses, c.Name)
		if pods.IsSidecar(c) {
			switch {
			case st == nil:
				unknown++
			case st.State.Running != nil:
				if st.Started == nil || !*st.Started {
					pendingSidecars++
				}
				running++
			case st.State.Terminated != nil, st.LastTerminationState.Terminated != nil:
			case st.State.Waiting != nil:
				pendingSidecars++
				waiting++
			default:
				pendingSidecars++
				unknown++
			}
			continue
		}
		end := ended(st)
		switch {
		case end == nil:
			pendingInit++
		case end.ExitCode != 0 && !restartsAfter(pod, c, end.ExitCode) && end.Reason != restartingAll:
			failedInit = true
		}
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		st := pods.FindStatus(statuses, c.Name)
		switch {
		case st == nil:
			unknown++
		case st.State.Running != nil:
			running++
		case st.State.Terminated != nil || st.State.Waiting != nil && st.LastTerminationState.Terminated != nil:
			stopped++
			end := ended(st)
			if !restartsAfter(pod, c, end.ExitCode) && end.Reason != restartingAll {
				final++
			}
			if st.State.Terminated != nil && end.ExitCode == 0 {
				succeeded++
			}
		case st.State.Waiting != nil:
			waiting++
		default:
			unknown++
		}
	}
	switch {
	case failedInit:
		return corev1.PodFailed
	case pendingInit > 0 || pendingSidecars > 0 && !inited || waiting > 0:
		return corev1.PodPending
	case running > 0 && unknown == 0:
		return corev1.PodRunning
	case running == 0 && stopped > 0 && unknown == 0:
		if !terminal || pods.IsStatic(pod) {
			if stopped != final {
				return corev1.PodRunning // some are about to be restarted
			}
		}
		if stopped == succeeded {
			return corev1.PodSucceeded
		}
		return corev1.PodFailed
	}
	return corev1.PodPending
}

// ended returns how a container ended last, when it does not run.
func ended(st *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	switch {
	case st == nil || st.State.Running != nil:
		return nil
	case st.State.Terminated != nil:
		return st.State.Terminated
	case st.State.Waiting != nil:
		return st.LastTerminationState.Terminated
	}
	return nil
}

// OwnConditions are the condition types that the kubelet writes.
var OwnConditions = []corev1.PodConditionType{
	corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled,
	corev1.PodResizePending, corev1.PodResizeInProgress, corev1.AllContainersRestarting,
}

// conditionsOf computes the conditions: others' as they are, ours from statuses.
func conditionsOf(f Facts, s *corev1.PodStatus, all []corev1.ContainerStatus) []corev1.PodCondition {
	var out []corev1.PodCondition
	for _, c := range f.Pod.Status.Conditions {
		if !slices.Contains(OwnConditions, c.Type) {
			out = append(out, c)
		}
	}
	out = append(out, f.Resize...)
	if c := pods.FindCondition(f.Old.Conditions, corev1.DisruptionTarget); c != nil && pods.FindCondition(out, corev1.DisruptionTarget) == nil {
		out = append(out, *c)
	}
	add := func(t corev1.PodConditionType, ok bool, reason, message string) {
		out = append(out, corev1.PodCondition{Type: t, Status: boolStatus(ok), Reason: reason, Message: message, ObservedGeneration: f.Pod.Generation})
	}
	if need, _, _, why := sandboxNeeded(f.Pod, f.Obs); need {
		add(corev1.PodReadyToStartContainers, false, "PodSandboxNotReady", why)
	} else {
		add(corev1.PodReadyToStartContainers, true, "", "")
	}
	ok, reason, message := initializedCondition(f.Pod, all, s.Phase)
	if was := pods.FindCondition(f.Old.Conditions, corev1.PodInitialized); !ok && was != nil && was.Status == corev1.ConditionTrue {
		ok, reason, message = true, "", "" // what was initialized stays so, also when all containers start anew
	}
	add(corev1.PodInitialized, ok, reason, message)
	ok, reason, message = containersReady(f.Pod, all, s.Phase)
	rok, rreason, rmessage := ok, reason, message
	if ok {
		rok, rreason, rmessage = gatesReady(f.Pod, out)
	}
	add(corev1.PodReady, rok, rreason, rmessage)
	add(corev1.ContainersReady, ok, reason, message)
	add(corev1.PodScheduled, true, "", "")
	if mayRestartAll(f.Pod) {
		ok, reason, message = allRestarting(&f)
		out = append(out, corev1.PodCondition{Type: corev1.AllContainersRestarting, Status: boolStatus(ok), Reason: reason, Message: message})
	}
	return out
}

func boolStatus(ok bool) corev1.ConditionStatus {
	if ok {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

// Disrupted tells that the kubelet ends a pod for the sake of others.
func Disrupted(s *corev1.PodStatus, pod *corev1.Pod, message string) {
	c := corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonTerminationByKubelet,
		Message: message, ObservedGeneration: pod.Generation}
	if i := slices.IndexFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget }); i >= 0 {
		s.Conditions[i] = c
		return
	}
	s.Conditions = append(s.Conditions, c)
}

func initializedCondition(pod *corev1.Pod, all []corev1.ContainerStatus, phase corev1.PodPhase) (ok bool, reason, message string) {
	var unknown, incomplete []string
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		st := pods.FindStatus(all, c.Name)
		switch {
		case st == nil:
			unknown = append(unknown, c.Name)
		case pods.IsSidecar(c) && (st.Started == nil || !*st.Started), !pods.IsSidecar(c) && !st.Ready:
			incomplete = append(incomplete, c.Name)
		}
	}
	if phase == corev1.PodSucceeded && len(unknown) == 0 {
		return true, "PodCompleted", ""
	}
	for i := range pod.Spec.Containers {
		if st := pods.FindStatus(all, pod.Spec.Containers[i].Name); st != nil && (st.State.Running != nil || st.State.Terminated != nil) {
			return true, "", "" // initialized before; a sidecar may be restarting
		}
	}
	if m := listed("incomplete", unknown, incomplete); m != "" {
		return false, "ContainersNotInitialized", m
	}
	return true, "", ""
}

func containersReady(pod *corev1.Pod, all []corev1.ContainerStatus, phase corev1.PodPhase) (ok bool, reason, message string) {
	var unknown, unready []string
	look := func(c *corev1.Container) {
		switch st := pods.FindStatus(all, c.Name); {
		case st == nil:
			unknown = append(unknown, c.Name)
		case !st.Ready:
			unready = append(unready, c.Name)
		}
	}
	for i := range pod.Spec.InitContainers {
		if pods.IsSidecar(&pod.Spec.InitContainers[i]) {
			look(&pod.Spec.InitContainers[i])
		}
	}
	for i := range pod.Spec.Containers {
		look(&pod.Spec.Containers[i])
	}
	switch {
	case phase == corev1.PodSucceeded && len(unknown) == 0:
		return false, "PodCompleted", ""
	case phase == corev1.PodFailed:
		return false, "PodFailed", ""
	}
	if m := listed("unready", unknown, unready); m != "" {
		return false, "ContainersNotReady", m
	}
	return true, "", ""
}

func listed(what string, unknown, other []string) string {
	var parts []string
	if len(unknown) > 0 {
		parts = append(parts, fmt.Sprintf("containers with unknown status: %s", unknown))
	}
	if len(other) > 0 {
		parts = append(parts, fmt.Sprintf("containers with %s status: %s", what, other))
	}
	return strings.Join(parts, ", ")
}

func gatesReady(pod *corev1.Pod, conditions []corev1.PodCondition) (ok bool, reason, message string) {
	var parts []string
	for _, g := range pod.Spec.ReadinessGates {
		switch c := pods.FindCondition(conditions, g.ConditionType); {
		case c == nil:
			parts = append(parts, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", string(g.ConditionType)))
		case c.Status != corev1.ConditionTrue:
			parts = append(parts, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", string(g.ConditionType), c.Status))
		}
	}
	if len(parts) > 0 {
		return false, "ReadinessGatesNotReady", strings.Join(parts, ", ")
	}
	return true, "", ""
}

// Stamp sets the start time and the transition times of conditions against the old status, and cuts what is too long.
func Stamp(pod *corev1.Pod, s, old *corev1.PodStatus, now metav1.Time) {
	now = now.Rfc3339Copy()
	if s.StartTime.IsZero() {
		s.StartTime = &now
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if !slices.Contains(OwnConditions, c.Type) && c.Type != corev1.DisruptionTarget {
			continue
		}
		if was := pods.FindCondition(old.Conditions, c.Type); was != nil && was.Status == c.Status && !was.LastTransitionTime.IsZero() {
			c.LastTransitionTime = was.LastTransitionTime
		} else if c.LastTransitionTime.IsZero() || was != nil {
			c.LastTransitionTime = now
		}
	}
	limit := 12 << 10
	if n := len(pod.Spec.Containers) + len(pod.Spec.InitContainers) + len(pod.Spec.EphemeralContainers); n > 0 {
		limit /= n
	}
	for _, list := range [][]corev1.ContainerStatus{s.ContainerStatuses, s.InitContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			normalizeState(&list[i].State, limit)
			normalizeState(&list[i].LastTerminationState, limit)
		}
	}
}

// normalizeState cuts a container's state to what is written. What it points to may be part of an older status that is being written
// meanwhile, so it is replaced and not changed.
func normalizeState(s *corev1.ContainerState, limit int) {
	if s.Running != nil {
		s.Running = &corev1.ContainerStateRunning{StartedAt: s.Running.StartedAt.Rfc3339Copy()}
	}
	if s.Terminated != nil {
		t := *s.Terminated
		t.StartedAt, t.FinishedAt = t.StartedAt.Rfc3339Copy(), t.FinishedAt.Rfc3339Copy()
		if len(t.Message) > limit {
			t.Message = t.Message[:limit]
		}
		s.Terminated = &t
	}
}
