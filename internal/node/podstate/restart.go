package podstate

import (
	"slices"
	"time"

	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// Crash loop back-off, upstream's constants (pkg/kubelet/kubelet.go): the first restart is at once, the second waits
// backoffFirst since the exit, each further one twice as long up to a maximum. Twice BackoffMax without a crash forget it.
const (
	backoffFirst = 10 * time.Second
	BackoffMax   = 300 * time.Second
)

// restartsAfter reports whether a container that exited with code is to run again: by the container's rules, else by its
// own policy, else by the pod's.
func restartsAfter(pod *corev1.Pod, c *corev1.Container, code int32) bool {
	if c.RestartPolicy != nil {
		if rule := matchingRule(c, code); rule != nil {
			switch rule.Action {
			case corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers:
				return true
			}
		}
		switch *c.RestartPolicy {
		case corev1.ContainerRestartPolicyAlways:
			return true
		case corev1.ContainerRestartPolicyOnFailure:
			return code != 0
		case corev1.ContainerRestartPolicyNever:
			return false
		}
	}
	switch pod.Spec.RestartPolicy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	}
	return true
}

func matchingRule(c *corev1.Container, code int32) *corev1.ContainerRestartRule {
	for i := range c.RestartPolicyRules {
		e := c.RestartPolicyRules[i].ExitCodes
		if e == nil {
			continue
		}
		in := slices.Contains(e.Values, code)
		if e.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn && in || e.Operator == corev1.ContainerRestartRuleOnExitCodesOpNotIn && !in {
			return &c.RestartPolicyRules[i]
		}
	}
	return nil
}

// shouldRun reports whether a container that does not run is to be started (again).
func shouldRun(pod *corev1.Pod, c *corev1.Container, obs *runtime.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	s := obs.Container(c.Name)
	switch {
	case s == nil, s.State == runtime.Unknown, s.State == runtime.Created:
		return true
	case s.State == runtime.Running:
		return false
	}
	return restartsAfter(pod, c, s.ExitCode)
}

// crash remembers the restarts of one container of a pod.
type crash struct {
	wait time.Duration
	last time.Time // when wait was set
}

// Backoff keeps the crash loop back-offs of one pod by container name. Max is the longest wait, BackoffMax at most.
type Backoff struct {
	Max time.Duration
	by  map[string]crash
}

// NewBackoff returns a back-off that remembers nothing.
func NewBackoff(most time.Duration) Backoff { return Backoff{Max: most, by: map[string]crash{}} }

// Wait is how long a container waits after its last exit.
func (b Backoff) Wait(name string) time.Duration { return b.by[name].wait }

// Holds returns until when a container that exited at the given time must wait; ok is false when it may start now.
func (b Backoff) Holds(name string, exited, now time.Time) (until time.Time, ok bool) {
	e, known := b.by[name]
	if !known || exited.Sub(e.last) > 2*BackoffMax {
		return time.Time{}, false
	}
	until = exited.Add(e.wait)
	return until, now.Before(until)
}

// Next lengthens the back-off of a container that is being restarted after it exited at the given time.
func (b Backoff) Next(name string, exited, now time.Time) {
	e, known := b.by[name]
	if !known || exited.Sub(e.last) > 2*BackoffMax {
		e.wait = min(backoffFirst, b.Max)
	} else {
		e.wait = min(2*e.wait, b.Max)
	}
	e.last = now
	b.by[name] = e
}
