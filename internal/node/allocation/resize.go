package allocation

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Exclusive says what a node gives out for a container's own use, which cannot be changed in place.
type Exclusive struct{ CPUs, Memory bool }

// Infeasible is why a node can never give a pod what it asks for now in place of what it was given, as upstream says it
// (pkg/kubelet/allocation/handlers.go); "" when it may.
func Infeasible(pod, given *corev1.Pod, x Exclusive) string {
	if pods.QoS(pod) != corev1.PodQOSGuaranteed {
		return ""
	}
	if x.CPUs && differs(pod, given, corev1.ResourceCPU) {
		return `Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"`
	}
	if x.Memory && differs(pod, given, corev1.ResourceMemory) {
		return `Resize is infeasible for Guaranteed Pods alongside Memory Manager policy "Static"`
	}
	return ""
}

func differs(pod, given *corev1.Pod, name corev1.ResourceName) bool {
	for i := range pod.Spec.InitContainers {
		a, b := pod.Spec.InitContainers[i].Resources.Requests[name], given.Spec.InitContainers[i].Resources.Requests[name]
		if a.Cmp(b) != 0 {
			return true
		}
	}
	for i := range pod.Spec.Containers {
		a, b := pod.Spec.Containers[i].Resources.Requests[name], given.Spec.Containers[i].Resources.Requests[name]
		if a.Cmp(b) != 0 {
			return true
		}
	}
	return false
}

// Pending is a pod that asks for other resources than it was given. Since is when the node first put it off, zero when it has not.
type Pending struct {
	Pod, Given *corev1.Pod
	Since      time.Time
}

// Order sorts pods by which is to be heard first: those that ask for no more than they have, then by priority, guaranteed ones
// before burstable ones, and at last those that have waited for longest.
func Order(list []Pending) {
	more := func(p Pending) int {
		opts := resourcehelper.PodResourcesOptions{}
		was, want := resourcehelper.PodRequests(p.Given, opts), resourcehelper.PodRequests(p.Pod, opts)
		if want.Memory().Cmp(*was.Memory()) > 0 || want.Cpu().Cmp(*was.Cpu()) > 0 {
			return 1
		}
		return 0
	}
	guaranteed := func(p Pending) int {
		if pods.QoS(p.Pod) == corev1.PodQOSGuaranteed {
			return 0
		}
		return 1
	}
	waited := func(a, b Pending) int {
		if a.Since.IsZero() != b.Since.IsZero() {
			if a.Since.IsZero() {
				return 1
			}
			return -1
		}
		return a.Since.Compare(b.Since)
	}
	slices.SortStableFunc(list, func(a, b Pending) int {
		return cmp.Or(cmp.Compare(more(a), more(b)), cmp.Compare(priority(b.Pod), priority(a.Pod)), cmp.Compare(guaranteed(a), guaranteed(b)), waited(a, b))
	})
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

// Message is the text of an event about a resize: what happened, and what the pod's containers ask for as JSON.
func Message(what string, pod *corev1.Pod, generation int64, problem string) string {
	type container struct {
		Name      string                      `json:"name"`
		Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	}
	of := func(list []corev1.Container) (out []container) {
		for i := range list {
			out = append(out, container{list[i].Name, list[i].Resources})
		}
		return out
	}
	b, err := json.Marshal(struct {
		Init       []container `json:"initContainers,omitempty"`
		Containers []container `json:"containers,omitempty"`
		Generation int64       `json:"generation"`
		Error      string      `json:"error,omitempty"`
	}{of(pod.Spec.InitContainers), of(pod.Spec.Containers), generation, problem})
	if err != nil {
		return what
	}
	return what + ": " + string(b)
}
