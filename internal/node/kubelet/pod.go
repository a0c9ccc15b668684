package kubelet

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Annotations of static pods and their mirrors.
const (
	annSource = "kubernetes.io/config.source"
	annHash   = "kubernetes.io/config.hash"
	annSeen   = "kubernetes.io/config.seen"
	annMirror = "kubernetes.io/config.mirror"
)

// isStatic reports whether a pod came from a file or URL rather than from the hub.
func isStatic(pod *corev1.Pod) bool {
	src, ok := pod.Annotations[annSource]
	return ok && src != "api"
}

// isMirror reports whether a pod of the hub only shows a static pod.
func isMirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[annMirror]
	return ok
}

func findStatus(list []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func findCondition(list []corev1.PodCondition, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

func containerByName(list []corev1.Container, name string) *corev1.Container {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// containerSpec finds a container of any sort in the spec.
func containerSpec(pod *corev1.Pod, name string) *corev1.Container {
	if c := containerByName(pod.Spec.Containers, name); c != nil {
		return c
	}
	if c := containerByName(pod.Spec.InitContainers, name); c != nil {
		return c
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		}
	}
	return nil
}

// fieldPath names a container as events point at it.
func fieldPath(pod *corev1.Pod, name string) string {
	switch {
	case containerByName(pod.Spec.Containers, name) != nil:
		return "spec.containers{" + name + "}"
	case containerByName(pod.Spec.InitContainers, name) != nil:
		return "spec.initContainers{" + name + "}"
	}
	return "spec.ephemeralContainers{" + name + "}"
}

// bareID is a container id without the runtime's name before it.
func bareID(id string) string {
	_, after, ok := strings.Cut(id, "://")
	if !ok {
		return id
	}
	return after
}

// podDesc is how messages name a pod: name_namespace(uid).
func podDesc(pod *corev1.Pod) string {
	return pod.Name + "_" + pod.Namespace + "(" + string(pod.UID) + ")"
}

// qosOf computes the quality of service class of a pod.
func qosOf(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	requests, limits := corev1.ResourceList{}, corev1.ResourceList{}
	guaranteed := true
	account := func(r corev1.ResourceRequirements) {
		found := 0
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q, ok := r.Requests[name]; ok && !q.IsZero() {
				addQuantity(requests, name, q)
			}
			if q, ok := r.Limits[name]; ok && !q.IsZero() {
				addQuantity(limits, name, q)
				found++
			}
		}
		if found < 2 {
			guaranteed = false
		}
	}
	if r := pod.Spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		account(*r)
	} else {
		for i := range pod.Spec.Containers {
			account(pod.Spec.Containers[i].Resources)
		}
		for i := range pod.Spec.InitContainers {
			account(pod.Spec.InitContainers[i].Resources)
		}
	}
	if len(requests) == 0 && len(limits) == 0 {
		return corev1.PodQOSBestEffort
	}
	if guaranteed && len(requests) == len(limits) {
		same := true
		for name, l := range limits {
			if r, ok := requests[name]; !ok || r.Cmp(l) != 0 {
				same = false
			}
		}
		if same {
			return corev1.PodQOSGuaranteed
		}
	}
	return corev1.PodQOSBurstable
}

func addQuantity(list corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
	sum := list[name]
	sum.Add(q)
	list[name] = sum
}

// isSidecar reports whether c is a restartable init container.
func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// podIPs are the addresses of a pod as its status has them, primary first.
func podIPs(pod *corev1.Pod) []string {
	var out []string
	for _, ip := range pod.Status.PodIPs {
		out = append(out, ip.IP)
	}
	return out
}
