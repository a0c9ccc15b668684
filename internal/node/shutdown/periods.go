package shutdown

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Period is how long the pods of a priority, and of those above it up to the next Period's, have to end.
type Period struct {
	Priority int32 `json:"priority"`
	Seconds  int64 `json:"shutdownGracePeriodSeconds"`
}

// systemCritical is the priority from which on pods are critical, and the system's own.
const systemCritical = 2000000000

// Settings are those of the kubelet's configuration: a whole time with a part for critical pods at its end, or a list.
type Settings struct {
	Whole, Critical time.Duration
	ByPriority      []Period
}

// Periods are the settings as one list, the lowest priority first; none where pods are not to be ended.
func (s Settings) Periods() []Period {
	out := slices.Clone(s.ByPriority)
	if len(out) == 0 && s.Whole > 0 && s.Critical <= s.Whole {
		out = []Period{{0, int64((s.Whole - s.Critical) / time.Second)}, {systemCritical, int64(s.Critical / time.Second)}}
	}
	slices.SortStableFunc(out, func(a, b Period) int { return cmp.Compare(a.Priority, b.Priority) })
	return out
}

// Check refuses what upstream refuses, in its words.
func (s Settings) Check() error {
	short := func(d time.Duration) bool { return d < 0 || d > 0 && d < time.Second }
	switch {
	case s.Critical > s.Whole:
		return fmt.Errorf("invalid configuration: shutdownGracePeriodCriticalPods {%v} must be <= shutdownGracePeriod {%v}", s.Critical, s.Whole)
	case short(s.Whole):
		return fmt.Errorf("invalid configuration: shutdownGracePeriod {%v} must be either zero or otherwise >= 1 sec", s.Whole)
	case short(s.Critical):
		return fmt.Errorf("invalid configuration: shutdownGracePeriodCriticalPods {%v} must be either zero or otherwise >= 1 sec", s.Critical)
	case len(s.ByPriority) > 0 && (s.Whole > 0 || s.Critical > 0):
		return errors.New("invalid configuration: Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time")
	}
	return nil
}

// total is how long all periods take together.
func total(periods []Period) time.Duration {
	var sum int64
	for _, p := range periods {
		sum += p.Seconds
	}
	return time.Duration(sum) * time.Second
}

// groups are the pods of each period. A pod belongs to the highest period that is not above its priority; one below all to the lowest.
func groups(periods []Period, pods []*corev1.Pod) [][]*corev1.Pod {
	out := make([][]*corev1.Pod, len(periods))
	for _, pod := range pods {
		priority := int32(0)
		if pod.Spec.Priority != nil {
			priority = *pod.Spec.Priority
		}
		i := 0
		for i+1 < len(periods) && periods[i+1].Priority <= priority {
			i++
		}
		out[i] = append(out[i], pod)
	}
	return out
}

// grace is how long one pod has, in seconds: its own time where that is shorter than the period's.
func grace(p Period, pod *corev1.Pod) int64 {
	if own := pod.Spec.TerminationGracePeriodSeconds; own != nil && *own <= p.Seconds {
		return *own
	}
	return p.Seconds
}
