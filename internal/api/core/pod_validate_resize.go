package core

import (
	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateResize allows cpu and memory of containers, and of the pod as a whole, to be given other values, as long as the
// pod stays in its quality of service class.
func validateResize(pod, old *corev1.Pod) field.ErrorList {
	if _, ok := old.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods cannot be resized")}
	}
	if old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "windows pods cannot be resized")}
	}
	errs := valid.KubeFinalizers(pod)
	errs = append(errs, valid.Ratchet(valid.PodSpec(pod), func() field.ErrorList { return valid.PodSpec(old) })...)
	path := field.NewPath("spec")
	class := old.Status.QOSClass
	if class == "" {
		class = pods.EarnedQoS(old)
	}
	if class != pods.EarnedQoS(pod) {
		errs = append(errs, field.Invalid(path, pod.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	if !nodeResizes(old) {
		errs = append(errs, field.Forbidden(path, "Pod running on node without support for resize"))
	}
	spec := pod.Spec.DeepCopy()
	errs = append(errs, podLevelResize(pod, old, spec)...)
	if bad := containersKept(pod, old); len(bad) > 0 {
		return append(errs, bad...)
	}
	for i := range old.Spec.InitContainers {
		errs = append(errs, resourcesKept(pod.Spec.InitContainers[i].Resources, old.Spec.InitContainers[i].Resources, path.Child("initContainers").Index(i).Child("resources"))...)
	}
	for i := range old.Spec.Containers {
		errs = append(errs, resourcesKept(pod.Spec.Containers[i].Resources, old.Spec.Containers[i].Resources, path.Child("containers").Index(i).Child("resources"))...)
	}
	const only = "only cpu and memory resources are mutable"
	for i := range spec.Containers {
		c, was := &spec.Containers[i], &old.Spec.Containers[i]
		undoResize(&c.Resources, &was.Resources)
		if !equality.Semantic.DeepEqual(c, was) {
			errs = append(errs, field.Forbidden(path, only))
		}
	}
	for i := range spec.InitContainers {
		errs = append(errs, initContainerResize(&spec.InitContainers[i], &old.Spec.InitContainers[i], path.Child("initContainers").Index(i))...)
	}
	if !equality.Semantic.DeepEqual(spec.Volumes, old.Spec.Volumes) {
		errs = append(errs, field.Forbidden(path.Child("volumes"), "volumes are immutable on resize when InPlacePodVerticalScalingMemoryBackedVolumes feature gate is disabled"))
	}
	if len(errs) == 0 && !equality.Semantic.DeepEqual(spec, &old.Spec) {
		errs = append(errs, field.Forbidden(path, only))
	}
	return errs
}

// initContainerResize checks one init container of a resize and takes the change back.
func initContainerResize(c, was *corev1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	changed := !equality.Semantic.DeepEqual(c, was)
	undoResize(&c.Resources, &was.Resources)
	if !equality.Semantic.DeepEqual(c, was) {
		errs = append(errs, field.Forbidden(path, "only cpu and memory resources for init or sidecar containers are mutable"))
	}
	if !changed || pods.IsSidecar(c) {
		return errs
	}
	for _, p := range c.ResizePolicy {
		if p.RestartPolicy == corev1.RestartContainer {
			errs = append(errs, field.Forbidden(path, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"))
		}
	}
	return errs
}

// nodeResizes reports whether the pod's node can resize it: a kubelet that can says what resources a container has.
func nodeResizes(pod *corev1.Pod) bool {
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.State.Running != nil {
			return s.Resources != nil
		}
	}
	return true
}

func podLevelResize(pod, old *corev1.Pod, spec *corev1.PodSpec) field.ErrorList {
	path := field.NewPath("spec", "resources")
	now, was := pod.Spec.Resources, old.Spec.Resources
	if !givesResources(now) && !givesResources(was) {
		return nil
	}
	if now == nil {
		return field.ErrorList{field.Forbidden(path, "pod-level resources cannot be removed")}
	}
	var errs field.ErrorList
	before := was
	if before == nil {
		before = &corev1.ResourceRequirements{}
	}
	if removed(now.Requests, before.Requests) {
		errs = append(errs, field.Forbidden(path.Child("requests"), "pod-level resource requests cannot be removed"))
	}
	if removed(now.Limits, before.Limits) {
		errs = append(errs, field.Forbidden(path.Child("limits"), "pod-level resource limits cannot be removed"))
	}
	undoResize(spec.Resources, before)
	if was == nil && len(spec.Resources.Requests) == 0 && len(spec.Resources.Limits) == 0 && len(spec.Resources.Claims) == 0 {
		spec.Resources = nil
	}
	if !equality.Semantic.DeepEqual(spec.Resources, was) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"), "only cpu and memory resources are mutable at pod-level"))
	}
	return errs
}

func givesResources(r *corev1.ResourceRequirements) bool {
	return r != nil && len(r.Requests)+len(r.Limits) > 0
}

// undoResize gives cpu and memory in r the values they had.
func undoResize(r, was *corev1.ResourceRequirements) {
	r.Limits = undoList(r.Limits, was.Limits)
	r.Requests = undoList(r.Requests, was.Requests)
}

func undoList(list, was corev1.ResourceList) corev1.ResourceList {
	if list == nil && was == nil {
		return nil
	}
	if list == nil {
		list = corev1.ResourceList{}
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		delete(list, name)
		if q, ok := was[name]; ok {
			list[name] = q
		}
	}
	return list
}

func containersKept(pod, old *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	for _, list := range []struct {
		name     string
		now, was []corev1.Container
	}{
		{"containers", pod.Spec.Containers, old.Spec.Containers},
		{"initContainers", pod.Spec.InitContainers, old.Spec.InitContainers},
	} {
		path := field.NewPath("spec", list.name)
		if len(list.now) != len(list.was) {
			errs = append(errs, field.Forbidden(path, list.name+" may not be added or removed on resize"))
			continue
		}
		for i := range list.now {
			if list.now[i].Name != list.was[i].Name {
				errs = append(errs, field.Forbidden(path.Index(i).Child("name"), list.name+" may not be renamed or reordered on resize"))
			}
		}
	}
	return errs
}

func resourcesKept(now, was corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if removed(now.Requests, was.Requests) {
		errs = append(errs, field.Forbidden(path.Child("requests"), "resource requests cannot be removed"))
	}
	if removed(now.Limits, was.Limits) {
		errs = append(errs, field.Forbidden(path.Child("limits"), "resource limits cannot be removed"))
	}
	return errs
}

func removed(now, was corev1.ResourceList) bool {
	for name := range was {
		if _, ok := now[name]; !ok {
			return true
		}
	}
	return false
}
