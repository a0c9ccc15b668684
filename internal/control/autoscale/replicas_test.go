package autoscale

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var noon = time.Unix(1_700_000_000, 0)

// podOf makes a pod that started an hour ago and requests a number of thousandths of a core.
func podOf(name string, request int64, change ...func(*corev1.Pod)) *corev1.Pod {
	long := metav1.NewTime(noon.Add(-time.Hour))
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(request, resource.DecimalSI)}}}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &long, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: long}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func pending(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }
func failing(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }
func unready(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }
func young(p *corev1.Pod) {
	at := metav1.NewTime(noon.Add(-time.Minute))
	p.Status.StartTime, p.Status.Conditions[0].LastTransitionTime = &at, metav1.NewTime(noon.Add(-10*time.Second))
}

func TestPropose(t *testing.T) {
	pods := func(n int, change ...func(*corev1.Pod)) (out []*corev1.Pod) {
		for i := range n {
			out = append(out, podOf(fmt.Sprint("p", i), 1000, change...))
		}
		return out
	}
	used := func(values ...int64) samples {
		out := samples{}
		for i, v := range values {
			out[fmt.Sprint("p", i)] = sample{value: v, at: noon, window: 30 * time.Second}
		}
		return out
	}
	for name, c := range map[string]struct {
		pods    []*corev1.Pod
		samples samples
		percent int32
		want    string // replicas, percent of the requests; or an error
	}{
		"more":                         {pods(3), used(300, 500, 700), 30, "5 50"},
		"fewer":                        {pods(5), used(100, 100, 100, 100, 100), 50, "1 10"},
		"within the tolerance":         {pods(3), used(330, 320, 325), 30, "3 32"},
		"just beyond":                  {pods(3), used(340, 340, 340), 30, "4 34"},
		"no pods":                      {nil, used(1), 30, "error: no pods returned by selector while calculating replica count"},
		"no samples":                   {pods(2), nil, 30, "error: did not receive metrics for targeted pods (pods might be unready)"},
		"pending pods use nothing":     {append(pods(2), podOf("q", 1000, pending)), used(900, 900), 30, "6 90"},
		"which turns it round":         {append(pods(2), podOf("q", 1000, pending), podOf("r", 1000, pending), podOf("s", 1000, pending)), used(400, 400), 30, "5 40"},
		"failed pods do not count":     {append(pods(2), podOf("q", 1000, failing)), used(900, 900), 30, "6 90"},
		"missing on the way up":        {append(pods(2), podOf("q", 1000)), used(900, 900), 30, "6 90"},
		"missing on the way down":      {append(pods(2), podOf("q", 1000)), used(100, 100), 60, "2 10"},
		"missing uses its target":      {append(pods(2), podOf("q", 1000)), used(100, 100), 200, "2 10"},
		"young and unready":            {append(pods(1), podOf("p1", 1000, young, unready)), used(900, 900), 50, "2 90"},
		"sample from before readiness": {append(pods(1), podOf("p1", 1000, young)), used(900, 900), 50, "2 90"},
		"never ready":                  {append(pods(1), podOf("p1", 1000, unready)), used(900, 900), 50, "2 90"},
		"no request":                   {[]*corev1.Pod{podOf("p0", 1000, func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = nil })}, used(1), 50, "error: missing request for cpu in container c of Pod p0"},
	} {
		requests, err := requestsOf(c.pods, "", corev1.ResourceCPU)
		r := &reckoning{current: int32(len(c.pods)), pods: c.pods, within: tolerances{0.1, 0.1}, cpu: true, now: noon, start: 5 * time.Minute, ready: 30 * time.Second,
			of: func(s samples) (usage, error) {
				if err != nil {
					return usage{}, err
				}
				return ofRequests(requests, c.percent)(s)
			},
			absent: func(pod string) int64 { return requests[pod] * int64(max(100, c.percent)) / 100 }}
		n, u, err := r.propose(c.samples)
		got := fmt.Sprint(n, " ", u.percent)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRequests(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	cpu := func(n int64) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(n, resource.DecimalSI)}}
	}
	p := podOf("p", 100, func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "init", Resources: cpu(5000)}, {Name: "side", Resources: cpu(50), RestartPolicy: &always}}
	})
	whole := p.DeepCopy()
	r := cpu(700)
	whole.Spec.Resources = &r
	for name, c := range map[string]struct {
		pod       *corev1.Pod
		container string
		resource  corev1.ResourceName
		want      int64
		err       string
	}{
		"all": {p, "", "cpu", 150, ""}, "one": {p, "side", "cpu", 50, ""}, "none": {p, "x", "cpu", 0, "container x not found in Pod p"},
		"init": {p, "init", "cpu", 0, "container init not found in Pod p"}, "missing": {p, "", "memory", 0, "missing request for memory in container c of Pod p"},
		"whole": {whole, "", "cpu", 700, ""}, "one of a whole": {whole, "c", "cpu", 100, ""}, "not of the whole": {whole, "", "memory", 0, "missing pod-level request for memory in Pod p"},
	} {
		got, err := requestOf(c.pod, c.container, c.resource)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d %v", name, got, err)
		}
	}
}

func TestWholeValues(t *testing.T) {
	within := tolerances{0.1, 0.1}
	three := []*corev1.Pod{podOf("a", 1), podOf("b", 1), podOf("c", 1, unready)}
	for name, c := range map[string]struct {
		current int32
		pods    []*corev1.Pod
		ratio   float64
		want    int32
	}{"from zero": {0, nil, 2.2, 3}, "to zero": {0, nil, 0, 0}, "within": {3, three, 1.05, 3}, "by the ready": {3, three, 2, 4}, "huge": {3, three, 1e18, math.MaxInt32}} {
		r := &reckoning{current: c.current, pods: c.pods, within: within}
		if n, err := r.byRatio(c.ratio); n != c.want || err != nil {
			t.Errorf("%s: %d %v", name, n, err)
		}
	}
	for name, c := range map[string]struct {
		replicas      int32
		value, target int64
		want          int32
		each          int64
	}{"more": {2, 1000, 100, 10, 500}, "within": {10, 1000, 100, 10, 100}, "zero": {2, 0, 100, 0, 0}, "from zero": {0, 1000, 100, 10, 1000}, "huge": {2, math.MaxInt64, 1, math.MaxInt32, math.MaxInt64}} {
		if n, each := byShare(c.replicas, c.value, c.target, within); n != c.want || each != c.each {
			t.Errorf("%s: %d, each %d", name, n, each)
		}
	}
	if n := sum([]int64{math.MaxInt64 - 1, 5}); n != math.MaxInt64 {
		t.Error(n)
	}
}
