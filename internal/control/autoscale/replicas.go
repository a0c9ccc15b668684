package autoscale

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
)

// sample is a metric of a pod.
type sample struct {
	value  int64 // in thousandths
	at     time.Time
	window time.Duration // over which it was taken
}

// samples are by the pods' names.
type samples map[string]sample

// usage is what samples come to against a target.
type usage struct {
	ratio   float64 // of what is used to what should be
	percent int32   // of the requests; of a target that is one
	average int64   // of a pod, in thousandths
}

// tolerances are how far a ratio may be from 1 without a change, downwards and upwards.
type tolerances struct{ down, up float64 }

func (t tolerances) let(ratio float64) bool { return 1-t.down <= ratio && ratio <= 1+t.up }

// reckoning is what a proposal is made of, besides the samples.
type reckoning struct {
	current int32 // replicas
	pods    []*corev1.Pod
	within  tolerances
	cpu     bool // pods that start are left out, for they use more than they will
	now     time.Time
	start   time.Duration // how long a pod may take to start, by its CPU
	ready   time.Duration // until a pod's first readiness counts

	of     func(samples) (usage, error)
	absent func(pod string) int64 // what a pod without a sample is taken to use when there may be too many
}

var (
	errNoPods    = errors.New("no pods returned by selector while calculating replica count")
	errNoSamples = errors.New("did not receive metrics for targeted pods (pods might be unready)")
)

// propose returns how many replicas would bring the usage to the target. Pods that are not known enough of are taken to use
// nothing when there may be too few, and enough when there may be too many; where that turns the answer round, nothing changes.
func (r *reckoning) propose(all samples) (int32, usage, error) {
	if len(r.pods) == 0 {
		return 0, usage{}, errNoPods
	}
	g := r.group(all)
	if len(g.known) == 0 {
		return 0, usage{}, errNoSamples
	}
	u, err := r.of(g.known)
	if err != nil {
		return 0, usage{}, err
	}
	more := u.ratio > 1
	unready := more && len(g.unready) > 0
	if !unready && len(g.missing) == 0 {
		if r.within.let(u.ratio) {
			return r.current, u, nil
		}
		return int32(math.Ceil(u.ratio * float64(g.ready))), u, nil
	}
	filled := maps.Clone(g.known)
	for _, name := range g.missing {
		if u.ratio < 1 {
			filled[name] = sample{value: r.absent(name)}
		} else if more {
			filled[name] = sample{}
		}
	}
	if unready {
		for _, name := range g.unready {
			filled[name] = sample{}
		}
	}
	again, err := r.of(filled)
	if err != nil {
		return 0, u, err
	}
	n := int32(math.Ceil(again.ratio * float64(len(filled))))
	turned := u.ratio < 1 && again.ratio > 1 || more && again.ratio < 1 || again.ratio < 1 && n > r.current || again.ratio > 1 && n < r.current
	if turned || r.within.let(again.ratio) {
		return r.current, u, nil
	}
	return n, u, nil
}

// groups are the pods by what is known of them. Those that are on their way out or have failed are in none.
type groups struct {
	ready            int
	unready, missing []string
	known            samples // without those of unready pods, and with those of pods that the selector does not find
}

func (r *reckoning) group(all samples) groups {
	g := groups{known: maps.Clone(all)}
	if g.known == nil {
		g.known = samples{}
	}
	for _, p := range r.pods {
		s, has := all[p.Name]
		switch {
		case p.DeletionTimestamp != nil, p.Status.Phase == corev1.PodFailed:
			delete(g.known, p.Name)
		case p.Status.Phase == corev1.PodPending, has && r.cpu && r.starting(p, s):
			g.unready = append(g.unready, p.Name)
			delete(g.known, p.Name)
		case !has:
			g.missing = append(g.missing, p.Name)
		default:
			g.ready++
		}
	}
	return g
}

// starting reports whether what a pod uses says nothing yet: it is not ready in its first minutes, or the sample is from before it
// was; or it has never been ready.
func (r *reckoning) starting(p *corev1.Pod, s sample) bool {
	c := loop.PodCondition(p, corev1.PodReady)
	if c == nil || p.Status.StartTime == nil {
		return true
	}
	if p.Status.StartTime.Add(r.start).After(r.now) {
		return c.Status == corev1.ConditionFalse || s.at.Before(c.LastTransitionTime.Add(s.window))
	}
	return c.Status == corev1.ConditionFalse && p.Status.StartTime.Add(r.ready).After(c.LastTransitionTime.Time)
}

// ofTarget measures against an amount that each pod should use.
func ofTarget(target int64) func(samples) (usage, error) {
	return func(s samples) (usage, error) {
		total := int64(0)
		for _, one := range s {
			total += one.value
		}
		average := total / int64(len(s))
		return usage{ratio: float64(average) / float64(target), average: average}, nil
	}
}

// ofRequests measures against a percentage of what the pods request. Samples of pods that are not among them are left out.
func ofRequests(requests map[string]int64, target int32) func(samples) (usage, error) {
	return func(s samples) (usage, error) {
		var used, asked, n int64
		for name, one := range s {
			if request, ok := requests[name]; ok {
				used, asked, n = used+one.value, asked+request, n+1
			}
		}
		if asked == 0 {
			return usage{}, errors.New("no metrics returned matched known pods")
		}
		percent := int32(used * 100 / asked)
		return usage{ratio: float64(percent) / float64(target), percent: percent, average: used / n}, nil
	}
}

// requestsOf returns what each pod requests of a resource, in thousandths: one container if it is named, the pod as a whole if
// that says so itself, else all its containers.
func requestsOf(all []*corev1.Pod, container string, resource corev1.ResourceName) (map[string]int64, error) {
	out := make(map[string]int64, len(all))
	for _, p := range all {
		n, err := requestOf(p, container, resource)
		if err != nil {
			return nil, err
		}
		out[p.Name] = n
	}
	return out, nil
}

func requestOf(p *corev1.Pod, container string, resource corev1.ResourceName) (int64, error) {
	whole := container == "" && p.Spec.Resources != nil && len(p.Spec.Resources.Requests) > 0
	if whole {
		if q, ok := p.Spec.Resources.Requests[resource]; ok {
			over := p.Spec.Overhead[resource]
			return q.MilliValue() + over.MilliValue(), nil
		}
	}
	total, found, has := int64(0), container == "", false
	for _, c := range working(p) {
		if container != "" && container != c.Name {
			continue
		}
		q, ok := c.Resources.Requests[resource]
		if !ok && !whole {
			return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", resource, c.Name, p.Name)
		}
		total, found, has = total+q.MilliValue(), true, has || ok
	}
	switch {
	case !found:
		return 0, fmt.Errorf("container %s not found in Pod %s", container, p.Name)
	case whole && !has:
		return 0, fmt.Errorf("missing pod-level request for %s in Pod %s", resource, p.Name)
	}
	return total, nil
}

// working are the containers that run as long as the pod does.
func working(p *corev1.Pod) []corev1.Container {
	out := slices.Clone(p.Spec.Containers)
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; pods.IsSidecar(c) {
			out = append(out, *c)
		}
	}
	return out
}

// byRatio returns how many replicas a value of the whole asks for. A target that has none is not measured by its pods.
func (r *reckoning) byRatio(ratio float64) (int32, error) {
	if r.current == 0 {
		return ceil(ratio), nil
	}
	if r.within.let(ratio) {
		return r.current, nil
	}
	if len(r.pods) == 0 {
		return 0, fmt.Errorf("unable to calculate ready pods: %w", errNoPods)
	}
	ready := 0
	for _, p := range r.pods {
		if p.Status.Phase == corev1.PodRunning && loop.PodReady(p) {
			ready++
		}
	}
	return ceil(ratio * float64(ready)), nil
}

// byShare returns how many replicas share a value of the whole, so that each has its target of it, and what each has now.
func byShare(replicas int32, value, target int64, within tolerances) (n int32, each int64) {
	n = replicas
	if !within.let(float64(value) / (float64(target) * float64(replicas))) {
		n = ceil(float64(value) / float64(target))
	}
	if value == math.MaxInt64 || replicas == 0 { // what there is no room for, and nobody to share it
		return n, value
	}
	return n, int64(math.Ceil(float64(value) / float64(replicas)))
}

// ceil rounds up to a number of replicas.
func ceil(f float64) int32 {
	if f > math.MaxInt32 {
		return math.MaxInt32
	}
	return int32(math.Ceil(f))
}

// sum adds values up, to no more than there is room for.
func sum(values []int64) (total int64) {
	for _, v := range values {
		if v > 0 && total > math.MaxInt64-v {
			return math.MaxInt64
		}
		total += v
	}
	return total
}
