package pods

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Annotations of static pods and their mirrors.
const (
	AnnotationSource = "kubernetes.io/config.source"
	AnnotationHash   = "kubernetes.io/config.hash"
	AnnotationSeen   = "kubernetes.io/config.seen"
	AnnotationMirror = "kubernetes.io/config.mirror"
)

// IsStatic reports whether a pod came from a file or URL rather than from the hub.
func IsStatic(pod *corev1.Pod) bool {
	src, ok := pod.Annotations[AnnotationSource]
	return ok && src != "api"
}

// IsMirror reports whether a pod of the hub only shows a static pod.
func IsMirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[AnnotationMirror]
	return ok
}

func FindStatus(list []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func FindCondition(list []corev1.PodCondition, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

func FindContainer(list []corev1.Container, name string) *corev1.Container {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// Container finds a container of any sort in the spec.
func Container(pod *corev1.Pod, name string) *corev1.Container {
	if c := FindContainer(pod.Spec.Containers, name); c != nil {
		return c
	}
	if c := FindContainer(pod.Spec.InitContainers, name); c != nil {
		return c
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		}
	}
	return nil
}

// FieldPath names a container as events point at it.
func FieldPath(pod *corev1.Pod, name string) string {
	switch {
	case FindContainer(pod.Spec.Containers, name) != nil:
		return "spec.containers{" + name + "}"
	case FindContainer(pod.Spec.InitContainers, name) != nil:
		return "spec.initContainers{" + name + "}"
	}
	return "spec.ephemeralContainers{" + name + "}"
}

// BareID is a container id without the runtime's name before it.
func BareID(id string) string {
	_, after, ok := strings.Cut(id, "://")
	if !ok {
		return id
	}
	return after
}

// Describe is how messages name a pod: name_namespace(uid).
func Describe(pod *corev1.Pod) string {
	return pod.Name + "_" + pod.Namespace + "(" + string(pod.UID) + ")"
}

// AddQuantity adds q to the quantity of that name.
func AddQuantity(list corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
	sum := list[name]
	sum.Add(q)
	list[name] = sum
}

// IsSidecar reports whether c is a restartable init container.
func IsSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// IPs are the addresses of a pod as its status has them, primary first.
func IPs(pod *corev1.Pod) []string {
	var out []string
	for _, ip := range pod.Status.PodIPs {
		out = append(out, ip.IP)
	}
	return out
}
