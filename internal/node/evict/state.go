package evict

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// State is what is remembered between looks at the machine: since when thresholds have been crossed, which were, and when each pressure was
// last seen. It belongs to whoever looks.
type State struct {
	thresholds []Threshold
	transition time.Duration

	since map[Threshold]time.Time
	met   []Threshold // at the last look, their grace being over
	seen  map[string]time.Time
}

// NewState remembers nothing yet.
func NewState(thresholds []Threshold, transition time.Duration) *State {
	return &State{thresholds: thresholds, transition: transition, since: map[Threshold]time.Time{}, seen: map[string]time.Time{}}
}

// Signals are amounts of this machine by signal; a signal that cannot be read is missing.
type Observed map[string]Signals

// Look compares observations with the thresholds. It returns those that are crossed and whose grace is over, the first to be acted upon
// first, and the pressure that the node tells of: one that has passed is told for the time of transition, so that conditions do not flap.
//
// A threshold that was crossed at the last look stays so until what it wants reclaimed is there.
func (s *State) Look(now time.Time, seen Observed) (met []Threshold, p Pressure) {
	crossed := over(s.thresholds, seen, false)
	for _, t := range over(s.met, seen, true) {
		if !slices.Contains(crossed, t) {
			crossed = append(crossed, t)
		}
	}
	since := map[Threshold]time.Time{}
	for _, t := range crossed {
		at, known := s.since[t]
		if !known {
			at = now
		}
		since[t] = at
		s.seen[condition(t.Signal)] = now
		if now.Sub(at) >= t.Grace {
			met = append(met, t)
		}
	}
	s.since, s.met = since, met
	held := func(c string) bool {
		at, ok := s.seen[c]
		return ok && now.Sub(at) < s.transition
	}
	slices.SortStableFunc(met, func(a, b Threshold) int { return order(a) - order(b) })
	return met, Pressure{Memory: held("memory"), Disk: held("disk"), PID: held("pid")}
}

// Relieved reports whether no threshold is crossed any more, with what is to be reclaimed on top.
func (s *State) Relieved(seen Observed) bool { return len(over(s.thresholds, seen, true)) == 0 }

// order has memory first: it is what a node dies of soonest.
func order(t Threshold) int {
	if resourceOf[t.Signal] == corev1.ResourceMemory {
		return 0
	}
	return 1
}

// over are the thresholds that are crossed.
func over(list []Threshold, seen Observed, reclaim bool) (out []Threshold) {
	for _, t := range list {
		s, ok := seen[t.Signal]
		if !ok {
			continue
		}
		want := t.Value.of(s.Capacity)
		if reclaim {
			want += t.Reclaim.of(s.Capacity)
		}
		if s.Available < want {
			out = append(out, t)
		}
	}
	return out
}
