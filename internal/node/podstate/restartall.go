package podstate

import (
	"slices"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// restartingAll is the reason of containers that are taken away because all of their pod start anew, by a rule of one of them.
const restartingAll = "RestartingAllContainers"

const takenAway = "The container is removed because RestartAllContainers in place"

// Reset is one run of a container that is removed so that all of the pod start anew in the same sandbox.
type Reset struct {
	ID, Name string
	Kill     bool // it has not ended
}

// mayRestartAll reports whether a rule of any container asks for all to be restarted.
func mayRestartAll(pod *corev1.Pod) bool {
	asks := func(c corev1.Container) bool {
		return slices.ContainsFunc(c.RestartPolicyRules, func(r corev1.ContainerRestartRule) bool {
			return r.Action == corev1.ContainerRestartRuleActionRestartAllContainers
		})
	}
	return slices.ContainsFunc(pod.Spec.InitContainers, asks) || slices.ContainsFunc(pod.Spec.Containers, asks)
}

// restartsAll reports whether all containers of a pod are to start anew: it has been told before and is not done, or one has ended as
// its rule says, by the runtime or by the last status.
func restartsAll(pod *corev1.Pod, obs *runtime.Pod, old *corev1.PodStatus) bool {
	if !mayRestartAll(pod) {
		return false
	}
	if RestartingAll(old) {
		return true
	}
	found := false
	eachRun(pod, func(c *corev1.Container, list []corev1.ContainerStatus) {
		s := obs.Container(c.Name)
		if s == nil || s.State != runtime.Exited {
			return // as upstream: what the status says of a container counts only while the runtime knows how it ended
		}
		found = found || triggers(c, s.ExitCode)
		if st := pods.FindStatus(list, c.Name); st != nil && st.State.Terminated != nil {
			found = found || triggers(c, st.State.Terminated.ExitCode)
		}
	}, old)
	return found
}

// RestartingAll reports whether a status tells that all containers of the pod are being restarted.
func RestartingAll(s *corev1.PodStatus) bool {
	c := pods.FindCondition(s.Conditions, corev1.AllContainersRestarting)
	return c != nil && c.Status == corev1.ConditionTrue
}

func triggers(c *corev1.Container, code int32) bool {
	r := matchingRule(c, code)
	return r != nil && r.Action == corev1.ContainerRestartRuleActionRestartAllContainers
}

// eachRun calls fn for each init and main container, with the statuses among which its own is.
func eachRun(pod *corev1.Pod, fn func(c *corev1.Container, list []corev1.ContainerStatus), s *corev1.PodStatus) {
	for i := range pod.Spec.InitContainers {
		fn(&pod.Spec.InitContainers[i], s.InitContainerStatuses)
	}
	for i := range pod.Spec.Containers {
		fn(&pod.Spec.Containers[i], s.ContainerStatuses)
	}
}

// anyRun reports whether the runtime has any run of an init or main container.
func anyRun(pod *corev1.Pod, obs *runtime.Pod) bool {
	found := false
	eachRun(pod, func(c *corev1.Container, _ []corev1.ContainerStatus) { found = found || obs.Container(c.Name) != nil }, &corev1.PodStatus{})
	return found
}

// resets are the runs to take away, in that order: main containers before init containers, and those that asked for it last, so that
// a kubelet that dies meanwhile finds out again.
func resets(pod *corev1.Pod, obs *runtime.Pod) []Reset {
	var targets, sources []Reset
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			for j := range obs.Containers {
				switch s := &obs.Containers[j]; {
				case s.Name != list[i].Name:
				case s.State == runtime.Exited && triggers(&list[i], s.ExitCode):
					sources = append(sources, Reset{ID: s.ID, Name: s.Name})
				default:
					targets = append(targets, Reset{ID: s.ID, Name: s.Name, Kill: s.State != runtime.Exited})
				}
			}
		}
	}
	return append(targets, sources...)
}

// takenAwayStatus shows a container that was taken away as one that waits to start anew.
func takenAwayStatus(st *corev1.ContainerStatus, was *corev1.ContainerStatus) {
	st.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: restartingAll, Message: takenAway}}
	st.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: restartingAll, Message: takenAway, ExitCode: 137}
	st.RestartCount = was.RestartCount + 1
}

// allRestarting is the condition that tells of it.
func allRestarting(f *Facts) (on bool, reason, message string) {
	if !f.restarts || !anyRun(f.Pod, f.Obs) {
		return false, "", ""
	}
	return true, "RestartAllContainersStarted", "container exited with restart policy rule"
}
