package memorymap

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// request is how many bytes of each kind of memory are asked for.
type request map[corev1.ResourceName]uint64

func (r request) kinds() []corev1.ResourceName { return slices.Sorted(maps.Keys(r)) }

// served reports whether a pod's containers get memory of nodes of their own.
func served(pod *corev1.Pod) bool {
	return pods.QoS(pod) == corev1.PodQOSGuaranteed && !resourcehelper.IsPodLevelResourcesSet(pod)
}

// asked is what a container asks for.
func asked(c *corev1.Container) (request, error) {
	r := request{}
	for name, q := range c.Resources.Requests {
		if name != corev1.ResourceMemory && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) {
			continue
		}
		n, ok := q.AsInt64()
		if !ok {
			return nil, errors.New("[memorymanager] failed to represent quantity as int64")
		}
		r[name] = uint64(n)
	}
	return r, nil
}

// askedByPod is what a pod needs at any time: what its containers and sidecars have together, or an init container beside the
// sidecars that were started before it.
func askedByPod(pod *corev1.Pod) (request, error) {
	sidecars, most, sum := request{}, request{}, request{}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		r, err := asked(c)
		if err != nil {
			return nil, err
		}
		for kind, n := range r {
			if pods.IsSidecar(c) {
				sidecars[kind] += n
			} else {
				most[kind] = max(most[kind], sidecars[kind]+n)
			}
		}
	}
	for i := range pod.Spec.Containers {
		r, err := asked(&pod.Spec.Containers[i])
		if err != nil {
			return nil, err
		}
		for kind, n := range r {
			sum[kind] += n
		}
	}
	for kind := range sum { // what only init containers ask for does not count
		sum[kind] = max(sum[kind]+sidecars[kind], most[kind])
	}
	return sum, nil
}

// endsBefore reports whether c is an init container that has ended when the next container of the pod starts.
func endsBefore(pod *corev1.Pod, c *corev1.Container) bool {
	return !pods.IsSidecar(c) && pods.FindContainer(pod.Spec.InitContainers, c.Name) != nil
}
