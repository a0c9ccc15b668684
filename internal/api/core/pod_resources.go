package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/component-helpers/resource"
)

// defaultPodResources completes partly given resources of the pod as a whole from those of its containers. It runs when
// the pod is prepared, not when it is defaulted, so that containers which admission put in are counted.
func defaultPodResources(spec *corev1.PodSpec) {
	r := spec.Resources
	if r == nil || len(r.Requests) == 0 && len(r.Limits) == 0 {
		return
	}
	r = r.DeepCopy()
	spec.Resources = r
	containers := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: spec.InitContainers, Containers: spec.Containers}}
	limits := resource.AggregateContainerLimits(containers, resource.PodResourcesOptions{})
	requests := resource.AggregateContainerRequests(containers, resource.PodResourcesOptions{})

	for name, q := range limits {
		if _, requested := r.Requests[name]; isHugePages(name) && !requested {
			fillResource(&r.Limits, name, q)
		}
	}
	for name, q := range requests {
		if resource.IsSupportedPodLevelResource(name) && !isHugePages(name) {
			fillResource(&r.Requests, name, q)
		}
	}
	for name, q := range r.Limits {
		if resource.IsSupportedPodLevelResource(name) {
			fillResource(&r.Requests, name, q)
		}
	}
	for name, request := range r.Requests {
		if !resource.IsSupportedPodLevelResource(name) || !everyContainerLimits(spec, name) {
			continue
		}
		q, ok := limits[name]
		if !ok {
			continue
		}
		if request.Cmp(q) > 0 {
			q = request
		}
		fillResource(&r.Limits, name, q)
	}
}

func fillResource(list *corev1.ResourceList, name corev1.ResourceName, q apiresource.Quantity) {
	if _, ok := (*list)[name]; ok {
		return
	}
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	(*list)[name] = q.DeepCopy()
}

func everyContainerLimits(spec *corev1.PodSpec, name corev1.ResourceName) bool {
	all := true
	eachContainer(spec, func(c *corev1.Container) {
		if _, ok := c.Resources.Limits[name]; !ok {
			all = false
		}
	})
	return all
}

func isHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}
