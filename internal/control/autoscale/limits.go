package autoscale

import (
	"math"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// history is what has come of the looks at one autoscaler. One worker at a time has it.
type history struct {
	advice    []advice
	ups, down []change
}

// advice is a recommendation before it was held back.
type advice struct {
	replicas int32
	at       time.Time
}

// change is a change that was made, by a number of replicas that is not negative.
type change struct {
	by int32
	at time.Time
}

// asked is a number of replicas on its way through the limits.
type asked struct {
	min, max, current, desired int32
	now                        time.Time
}

// verdict is what the limits let through, with the reasons of the conditions.
type verdict struct {
	replicas        int32
	able, limited   string // reasons of AbleToScale and ScalingLimited
	ableMessage     string
	limitedMessage  string
	held, isLimited bool
}

const inRange, inRangeMessage = "DesiredWithinRange", "the desired count is within the acceptable range"

// begin notes the number of replicas that an autoscaler finds.
func (h *history) begin(current int32, now time.Time) {
	if h.advice == nil {
		h.advice = []advice{{current, now}}
	}
}

// changed notes a change that was made, as long as a policy of rules may ask for it.
func (h *history) changed(b *autoscalingv2.HorizontalPodAutoscalerBehavior, from, to int32, now time.Time) {
	if b == nil {
		return
	}
	list, rules, by := &h.down, b.ScaleDown, from-to
	if to > from {
		list, rules, by = &h.ups, b.ScaleUp, to-from
	}
	longest := time.Duration(0)
	for _, p := range rules.Policies {
		longest = max(longest, time.Duration(p.PeriodSeconds)*time.Second)
	}
	*list = append(slices.DeleteFunc(*list, func(c change) bool { return c.at.Before(now.Add(-longest)) }), change{by, now})
}

// advise notes a recommendation and forgets those from before cutoff.
func (h *history) advise(replicas int32, now, cutoff time.Time) {
	h.advice = append(slices.DeleteFunc(h.advice, func(a advice) bool { return a.at.Before(cutoff) }), advice{replicas, now})
}

// limit lets a recommendation through without a behaviour: the highest of the window, no more than twice what there is (or four).
func (h *history) limit(a asked, window time.Duration) verdict {
	held := a.desired
	for _, old := range h.advice {
		if !old.at.Before(a.now.Add(-window)) {
			held = max(held, old.replicas)
		}
	}
	h.advise(a.desired, a.now, a.now.Add(-window))
	v := verdict{able: "ReadyForNewScale", ableMessage: "recommended size matches current size"}
	if held != a.desired {
		v.held, v.able = true, "ScaleDownStabilized"
		v.ableMessage = "recent recommendations were higher than current one, applying the highest recent recommendation"
	}
	most, reason, message := a.max, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
	if rate := int32(max(2*float64(a.current), 4)); a.max > rate {
		most, reason, message = rate, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
	}
	v.replicas, v.limited, v.limitedMessage = held, inRange, inRangeMessage
	switch {
	case held < a.min:
		v.replicas, v.limited, v.limitedMessage = a.min, "TooFewReplicas", "the desired replica count is less than the minimum replica count"
	case held > most:
		v.replicas, v.limited, v.limitedMessage = most, reason, message
	}
	v.isLimited = v.replicas != held
	return v
}

// limitBy lets a recommendation through with a behaviour, of which scale up and scale down are complete. window is that of scaling
// down where it says none.
func (h *history) limitBy(a asked, b *autoscalingv2.HorizontalPodAutoscalerBehavior, window time.Duration) verdict {
	held := h.stabilize(a, secondsOf(b.ScaleUp.StabilizationWindowSeconds, 0), secondsOf(b.ScaleDown.StabilizationWindowSeconds, window))
	v := verdict{able: "ReadyForNewScale", ableMessage: "recommended size matches current size"}
	if held != a.desired {
		v.held, v.able = true, "ScaleDownStabilized"
		v.ableMessage = "recent recommendations were higher than current one, applying the highest recent recommendation"
		if a.desired >= a.current {
			v.able, v.ableMessage = "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation"
		}
	}
	v.replicas, v.limited, v.limitedMessage = held, inRange, inRangeMessage
	switch {
	case held > a.current:
		most, reason, message := a.max, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
		if rate := max(h.mostBy(a, b.ScaleUp), a.current); most > rate {
			most, reason, message = rate, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
		}
		if held > most {
			v.replicas, v.limited, v.limitedMessage = most, reason, message
		}
	case held < a.current:
		least, reason, message := a.min, "TooFewReplicas", "the desired replica count is less than the minimum replica count"
		if rate := min(h.leastBy(a, b.ScaleDown), a.current); least < rate {
			least, reason, message = rate, "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"
		}
		if held < least {
			v.replicas, v.limited, v.limitedMessage = least, reason, message
		}
	}
	v.isLimited = v.replicas != held
	return v
}

func secondsOf(n *int32, otherwise time.Duration) time.Duration {
	if n == nil {
		return otherwise
	}
	return time.Duration(*n) * time.Second
}

// stabilize holds a recommendation between the lowest of the window for scaling up and the highest of that for scaling down.
func (h *history) stabilize(a asked, up, down time.Duration) int32 {
	low, high := a.desired, a.desired
	for _, old := range h.advice {
		if old.at.After(a.now.Add(-up)) {
			low = min(low, old.replicas)
		}
		if old.at.After(a.now.Add(-down)) {
			high = max(high, old.replicas)
		}
	}
	h.advise(a.desired, a.now, a.now.Add(-max(up, down)))
	return min(max(a.current, low), high)
}

// mostBy is the greatest number of replicas that the policies allow.
func (h *history) mostBy(a asked, rules *autoscalingv2.HPAScalingRules) int32 {
	return h.by(a, rules, true, func(start, value int32, percent bool) int32 {
		if percent { // rounded up: a number that is never more would never grow
			return int32(math.Ceil(float64(start) * (1 + float64(value)/100)))
		}
		return start + value
	})
}

// leastBy is the smallest number of replicas that the policies allow.
func (h *history) leastBy(a asked, rules *autoscalingv2.HPAScalingRules) int32 {
	return h.by(a, rules, false, func(start, value int32, percent bool) int32 {
		if percent {
			return int32(float64(start) * (1 - float64(value)/100))
		}
		return start - value
	})
}

// by chooses among what the policies allow, each reckoned from the number of replicas at the start of its period.
func (h *history) by(a asked, rules *autoscalingv2.HPAScalingRules, up bool, allows func(start, value int32, percent bool) int32) int32 {
	choice := autoscalingv2.MaxChangePolicySelect
	if rules.SelectPolicy != nil {
		choice = *rules.SelectPolicy
	}
	if choice == autoscalingv2.DisabledPolicySelect {
		return a.current
	}
	var all []int32
	for _, p := range rules.Policies {
		since := a.now.Add(-time.Duration(p.PeriodSeconds) * time.Second)
		start := a.current - total(h.ups, since) + total(h.down, since)
		all = append(all, allows(start, p.Value, p.Type == autoscalingv2.PercentScalingPolicy))
	}
	if len(all) == 0 {
		return a.current
	}
	if up == (choice != autoscalingv2.MinChangePolicySelect) { // the greatest change up is the greatest number, down the smallest
		return slices.Max(all)
	}
	return slices.Min(all)
}

func total(list []change, since time.Time) (n int32) {
	for _, c := range list {
		if c.at.After(since) {
			n += c.by
		}
	}
	return n
}
