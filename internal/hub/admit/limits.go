package admit

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// asked is what one thing asks for that a LimitRange of the type bounds.
type asked struct {
	of               corev1.LimitType
	requests, limits corev1.ResourceList
}

// podExceeds says where pod asks for less or more than l allows.
func podExceeds(pod *corev1.Pod, l *corev1.LimitRange) []error {
	var errs []error
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		switch item.Type {
		case corev1.LimitTypeContainer:
			for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
				for j := range list {
					errs = append(errs, asked{item.Type, list[j].Resources.Requests, list[j].Resources.Limits}.exceeds(item)...)
				}
			}
		case corev1.LimitTypePod:
			requests, limits := wholePod(pod)
			errs = append(errs, asked{item.Type, requests, limits}.exceeds(item)...)
		}
	}
	return errs
}

// claimExceeds says where a claim asks for less or more than l allows. Only its requests count.
func claimExceeds(claim *corev1.PersistentVolumeClaim, l *corev1.LimitRange) []error {
	var errs []error
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		if item.Type != corev1.LimitTypePersistentVolumeClaim {
			continue
		}
		a := asked{of: item.Type, requests: claim.Spec.Resources.Requests}
		errs = append(errs, each(item.Min, a.below)...)
		errs = append(errs, each(item.Max, a.requestAbove)...)
	}
	return errs
}

// wholePod is what a pod asks for in all, without its overhead. CPU and memory that are set for the pod as a whole count in place
// of its containers' sums.
func wholePod(pod *corev1.Pod) (requests, limits corev1.ResourceList) {
	o := resourcehelper.PodResourcesOptions{ExcludeOverhead: true, SkipPodLevelResources: true}
	requests, limits = resourcehelper.PodRequests(pod, o), resourcehelper.PodLimits(pod, o)
	if r := pod.Spec.Resources; r != nil {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q, ok := r.Requests[name]; ok {
				requests[name] = q
			}
			if q, ok := r.Limits[name]; ok {
				limits[name] = q
			}
		}
	}
	return requests, limits
}

func (a asked) exceeds(item *corev1.LimitRangeItem) []error {
	return slices.Concat(each(item.Min, a.below), each(item.Max, a.above), each(item.MaxLimitRequestRatio, a.ratioAbove))
}

// each calls check with the bounds of a list, by name.
func each(bounds corev1.ResourceList, check func(name corev1.ResourceName, bound resource.Quantity) error) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(bounds)) {
		if err := check(name, bounds[name]); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// values returns the three as numbers of one scale: thousandths, or whole units where one of them would not fit otherwise.
func values(request, limit, bound resource.Quantity) (r, l, b int64) {
	r, l, b = request.Value(), limit.Value(), bound.Value()
	if max(r, l, b) <= resource.MaxMilliValue {
		return request.MilliValue(), limit.MilliValue(), bound.MilliValue()
	}
	return r, l, b
}

func (a asked) below(name corev1.ResourceName, bound resource.Quantity) error {
	request, requested := a.requests[name]
	limit, limited := a.limits[name]
	r, l, least := values(request, limit, bound)
	text := fmt.Sprintf("minimum %s usage per %s is %s", name, a.of, &bound)
	switch {
	case !requested:
		return fmt.Errorf("%s.  No request is specified", text)
	case r < least:
		return fmt.Errorf("%s, but request is %s", text, &request)
	case limited && l < least:
		return fmt.Errorf("%s, but limit is %s", text, &limit)
	}
	return nil
}

func (a asked) above(name corev1.ResourceName, bound resource.Quantity) error {
	request, requested := a.requests[name]
	limit, limited := a.limits[name]
	r, l, most := values(request, limit, bound)
	text := fmt.Sprintf("maximum %s usage per %s is %s", name, a.of, &bound)
	switch {
	case !limited:
		return fmt.Errorf("%s.  No limit is specified", text)
	case l > most:
		return fmt.Errorf("%s, but limit is %s", text, &limit)
	case requested && r > most:
		return fmt.Errorf("%s, but request is %s", text, &request)
	}
	return nil
}

func (a asked) requestAbove(name corev1.ResourceName, bound resource.Quantity) error {
	request, requested := a.requests[name]
	r, _, most := values(request, resource.Quantity{}, bound)
	text := fmt.Sprintf("maximum %s usage per %s is %s", name, a.of, &bound)
	switch {
	case !requested:
		return fmt.Errorf("%s.  No request is specified", text)
	case r > most:
		return fmt.Errorf("%s, but request is %s", text, &request)
	}
	return nil
}

func (a asked) ratioAbove(name corev1.ResourceName, bound resource.Quantity) error {
	r, l, _ := values(a.requests[name], a.limits[name], bound)
	text := fmt.Sprintf("%s max limit to request ratio per %s is %s", name, a.of, &bound)
	switch {
	case r == 0:
		return fmt.Errorf("%s, but no request is specified or request is 0", text)
	case l == 0:
		return fmt.Errorf("%s, but no limit is specified or limit is 0", text)
	}
	ratio := float64(l) / float64(r)
	is, most := ratio, float64(bound.Value())
	if bound.Value() <= resource.MaxMilliValue {
		is, most = ratio*1000, float64(bound.MilliValue())
	}
	if is > most {
		return fmt.Errorf("%s, but provided ratio is %f", text, ratio)
	}
	return nil
}
