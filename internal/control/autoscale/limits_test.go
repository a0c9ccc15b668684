package autoscale

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestLimit lets recommendations through without a behaviour.
func TestLimit(t *testing.T) {
	for name, c := range map[string]struct {
		past             []advice
		current, desired int32
		want             string
	}{
		"as asked":              {nil, 5, 6, "6 ReadyForNewScale DesiredWithinRange"},
		"no more than twice":    {nil, 5, 50, "10 ReadyForNewScale ScaleUpLimit"},
		"four from one":         {nil, 1, 50, "4 ReadyForNewScale ScaleUpLimit"},
		"the most":              {nil, 90, 150, "100 ReadyForNewScale TooManyReplicas"},
		"the least":             {nil, 5, 0, "2 ReadyForNewScale TooFewReplicas"},
		"held by the past":      {[]advice{{7, noon.Add(-4 * time.Minute)}, {9, noon.Add(-6 * time.Minute)}}, 8, 3, "7 ScaleDownStabilized DesiredWithinRange"},
		"the past is no bound":  {[]advice{{3, noon.Add(-time.Minute)}}, 3, 6, "6 ReadyForNewScale DesiredWithinRange"},
		"of the window's start": {[]advice{{7, noon.Add(-5 * time.Minute)}}, 8, 3, "7 ScaleDownStabilized DesiredWithinRange"},
	} {
		h := &history{advice: c.past}
		v := h.limit(asked{min: 2, max: 100, current: c.current, desired: c.desired, now: noon}, 5*time.Minute)
		if got := fmt.Sprint(v.replicas, " ", v.able, " ", v.limited); got != c.want || v.isLimited != (v.limited != inRange) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func rules(choice autoscalingv2.ScalingPolicySelect, window int32, policies ...autoscalingv2.HPAScalingPolicy) *autoscalingv2.HPAScalingRules {
	return &autoscalingv2.HPAScalingRules{SelectPolicy: &choice, StabilizationWindowSeconds: &window, Policies: policies}
}

// TestLimitBy lets them through with one.
func TestLimitBy(t *testing.T) {
	pods := func(n int32) autoscalingv2.HPAScalingPolicy {
		return autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: n, PeriodSeconds: 60}
	}
	percent := func(n int32) autoscalingv2.HPAScalingPolicy {
		return autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: n, PeriodSeconds: 60}
	}
	most, least, off := autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect, autoscalingv2.DisabledPolicySelect
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	for name, c := range map[string]struct {
		up, down         *autoscalingv2.HPAScalingRules
		history          history
		current, desired int32
		want             string
	}{
		"greatest of two up":     {rules(most, 0, pods(4), percent(100)), rules(most, 0, percent(100)), history{}, 10, 90, "20 ReadyForNewScale ScaleUpLimit"},
		"smallest of two up":     {rules(least, 0, pods(4), percent(100)), rules(most, 0, percent(100)), history{}, 10, 90, "14 ReadyForNewScale ScaleUpLimit"},
		"no way up":              {rules(off, 0), rules(most, 0, percent(100)), history{}, 10, 90, "10 ReadyForNewScale ScaleUpLimit"},
		"a percent is rounded":   {rules(most, 0, percent(1)), rules(most, 0, percent(100)), history{}, 10, 90, "11 ReadyForNewScale ScaleUpLimit"},
		"already made this time": {rules(most, 0, pods(4)), rules(most, 0, percent(100)), history{ups: []change{{3, ago(30 * time.Second)}, {9, ago(2 * time.Minute)}}}, 10, 90, "11 ReadyForNewScale ScaleUpLimit"},
		"greatest of two down":   {rules(most, 0, pods(4)), rules(most, 0, pods(4), percent(10)), history{}, 20, 1, "16 ReadyForNewScale ScaleDownLimit"},
		"smallest of two down":   {rules(most, 0, pods(4)), rules(least, 0, pods(4), percent(10)), history{}, 20, 1, "18 ReadyForNewScale ScaleDownLimit"},
		"no way down":            {rules(most, 0, pods(4)), rules(off, 0), history{}, 20, 1, "20 ReadyForNewScale ScaleDownLimit"},
		"to the least":           {rules(most, 0, pods(4)), rules(most, 0, percent(100)), history{}, 20, 1, "2 ReadyForNewScale TooFewReplicas"},
		"held on the way down":   {rules(most, 0, pods(4)), rules(most, 300, percent(100)), history{advice: []advice{{9, ago(time.Minute)}}}, 20, 5, "9 ScaleDownStabilized DesiredWithinRange"},
		"held on the way up":     {rules(most, 300, percent(900)), rules(most, 0, percent(100)), history{advice: []advice{{12, ago(time.Minute)}}}, 10, 20, "12 ScaleUpStabilized DesiredWithinRange"},
		"held altogether":        {rules(most, 300, percent(900)), rules(most, 300, percent(100)), history{advice: []advice{{8, ago(time.Minute)}}}, 10, 20, "10 ScaleUpStabilized DesiredWithinRange"},
	} {
		h := c.history
		v := h.limitBy(asked{min: 2, max: 100, current: c.current, desired: c.desired, now: noon}, &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: c.up, ScaleDown: c.down}, 5*time.Minute)
		if got := fmt.Sprint(v.replicas, " ", v.able, " ", v.limited); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func hpaOf(least *int32, kinds ...autoscalingv2.MetricSourceType) *autoscalingv2.HorizontalPodAutoscaler {
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "h", Generation: 3}}
	h.Spec.MinReplicas, h.Spec.MaxReplicas = least, 10
	for _, k := range kinds {
		h.Spec.Metrics = append(h.Spec.Metrics, autoscalingv2.MetricSpec{Type: k})
	}
	return h
}

func (l *look) summary() string {
	var out []string
	for _, c := range l.hpa.Status.Conditions {
		out = append(out, fmt.Sprintf("%s %s %s", c.Type, c.Status, c.Reason))
	}
	for _, e := range l.events {
		out = append(out, "event "+e.reason)
	}
	return strings.Join(out, ", ")
}

// TestFirst says what the number of replicas alone decides.
func TestFirst(t *testing.T) {
	zeroed := func(h *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
		h.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: autoscalingv2.ScaledToZero, Status: "True"}}
		return h
	}
	external := autoscalingv2.ExternalMetricSourceType
	for name, c := range map[string]struct {
		hpa     *autoscalingv2.HorizontalPodAutoscaler
		current int32
		want    string
	}{
		"usual":             {hpaOf(nil), 3, "0 measure "},
		"above":             {hpaOf(nil), 30, "10 Current number of replicas above Spec.MaxReplicas"},
		"below":             {hpaOf(new(int32(5))), 3, "5 Current number of replicas below Spec.MinReplicas"},
		"set to zero":       {hpaOf(new(int32(0)), external), 0, "0  ScalingActive False ScalingDisabled"},
		"its own zero":      {zeroed(hpaOf(new(int32(0)), external)), 0, "0 measure "},
		"no way back":       {zeroed(hpaOf(new(int32(0)))), 0, "0  ScalingActive False ScalingDisabled"},
		"the least is more": {zeroed(hpaOf(new(int32(2)))), 0, "0 measure "},
	} {
		l := lookAt(c.hpa, &history{}, 5*time.Minute, noon)
		s := l.first(c.current)
		got := fmt.Sprint(s.desired, " ", s.reason)
		if s.measure {
			got += "measure "
		}
		if !s.measure && s.reason == "" {
			got += " " + strings.TrimPrefix(l.summary(), "ScaledToZero True , ")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestBest chooses among what the metrics ask for.
func TestBest(t *testing.T) {
	bad := &failed{"FailedGetPodsMetric", errors.New("no"), errors.New("failed to get pods metric value: no")}
	of := func(n int32) proposal { return proposal{replicas: n, metric: fmt.Sprint("m", n)} }
	for name, c := range map[string]struct {
		proposals []proposal
		failures  []*failed
		want      string
	}{
		"greatest":          {[]proposal{of(2), of(7), of(5)}, make([]*failed, 3), "7 ScalingActive True ValidMetricFound"},
		"one fails, more":   {[]proposal{{}, of(7)}, []*failed{bad, nil}, "7 ScalingActive True ValidMetricFound, event FailedGetPodsMetric; invalid metrics (1 invalid out of 2), first error is: failed to get pods metric value: no"},
		"one fails, fewer":  {[]proposal{{}, of(2)}, []*failed{bad, nil}, "error ScalingActive False FailedGetPodsMetric, event FailedGetPodsMetric"},
		"all fail":          {[]proposal{{}}, []*failed{bad}, "error ScalingActive False FailedGetPodsMetric, event FailedGetPodsMetric"},
		"nothing is wanted": {[]proposal{of(0)}, make([]*failed, 1), "0 ScalingActive True ValidMetricFound"},
	} {
		l := lookAt(hpaOf(nil), &history{}, 5*time.Minute, noon)
		p, warning, err := l.best(4, c.proposals, c.failures)
		got := fmt.Sprint(p.replicas, " ", l.summary())
		if err != nil {
			got = "error " + l.summary()
		}
		if warning != nil {
			got += "; " + warning.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestToZeroAndBack follows a target of an external metric to zero and back.
func TestToZeroAndBack(t *testing.T) {
	hpa := hpaOf(new(int32(0)), autoscalingv2.ExternalMetricSourceType)
	h := &history{}
	l := lookAt(hpa, h, time.Minute, noon)
	h.begin(1, noon.Add(-time.Hour))
	s := l.then(1, proposal{replicas: 0, metric: "external metric q"})
	if s.desired != 0 || s.reason != "All metrics below target" {
		t.Fatalf("%+v", s)
	}
	l.scaled(1, s)
	l.conclude(1, 0, nil, true)
	if !l.changed() || !l.isZeroed() || *l.hpa.Status.ObservedGeneration != 3 {
		t.Fatal(l.summary())
	}
	l = lookAt(l.hpa, h, time.Minute, noon.Add(15*time.Second))
	if !l.first(0).measure {
		t.Fatal("asleep for good")
	}
	s = l.then(0, proposal{replicas: 3, metric: "external metric q"})
	if s.desired != 3 || s.reason != "external metric q above target" {
		t.Fatalf("%+v", s)
	}
	l.scaled(0, s)
	if l.isZeroed() {
		t.Error(l.summary())
	}
}
