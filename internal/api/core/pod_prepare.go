package core

import (
	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// In this file old objects are frozen; what is taken over from them is shared, not copied, for the new object will be
// frozen as well once it is stored.

func preparePodCreate(pod *corev1.Pod) {
	pod.Generation = 1
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	DropDisabledPodFields(&pod.Spec, nil)
	if len(pod.Spec.SchedulingGates) > 0 {
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates", LastTransitionTime: metav1.Now(),
		}}
	}
	mergeLabelKeys(pod)
	appArmorFromAnnotations(pod)
	defaultPodResources(&pod.Spec)
	pod.Status.QOSClass = pods.EarnedQoS(pod)
}

func preparePodUpdate(pod, old *corev1.Pod) {
	pod.Status = old.Status
	if pod.Spec.Resources == nil {
		pod.Spec.Resources = old.Spec.Resources // an old client that does not know the field
	}
	DropDisabledPodFields(&pod.Spec, &old.Spec)
	bumpPodGeneration(pod, old)
}

func preparePodStatus(pod, old *corev1.Pod) {
	pod.Spec = old.Spec
	pod.Generation = old.Generation
	pod.DeletionTimestamp = old.DeletionTimestamp
	pod.OwnerReferences = old.OwnerReferences
	s, was := &pod.Status, &old.Status
	setDefault(&s.QOSClass, was.QOSClass)
	// A nil list is a client that does not know the field; an empty one clears it.
	if s.ResourceClaimStatuses == nil {
		s.ResourceClaimStatuses = was.ResourceClaimStatuses
	}
	if s.ExtendedResourceClaimStatus == nil {
		s.ExtendedResourceClaimStatus = was.ExtendedResourceClaimStatus
	}
	keepObservedGeneration(s, was)
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			for j := range list[i].VolumeMounts {
				list[i].VolumeMounts[j].VolumeStatus = nil // alpha
			}
		}
	}
	if was.VolumeHealth == nil { // alpha
		s.VolumeHealth = nil
	}
	if was.NodeAllocatableResourceClaimStatuses == nil { // alpha
		s.NodeAllocatableResourceClaimStatuses = nil
	}
}

// keepObservedGeneration lets no client clear observedGeneration. Types may repeat, so conditions are matched in order.
func keepObservedGeneration(s, was *corev1.PodStatus) {
	setDefault(&s.ObservedGeneration, was.ObservedGeneration)
	seen := map[corev1.PodConditionType][]int64{}
	for _, c := range was.Conditions {
		seen[c.Type] = append(seen[c.Type], c.ObservedGeneration)
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if gens := seen[c.Type]; len(gens) > 0 {
			setDefault(&c.ObservedGeneration, gens[0])
			seen[c.Type] = gens[1:]
		}
	}
}

func prepareEphemeral(pod, old *corev1.Pod) {
	added := corev1.PodSpec{EphemeralContainers: pod.Spec.EphemeralContainers}
	DropDisabledPodFields(&added, &old.Spec)
	pod.Spec = old.Spec
	pod.Status = old.Status
	metav1.ResetObjectMetaForStatus(&pod.ObjectMeta, &old.ObjectMeta)
	pod.Spec.EphemeralContainers = added.EphemeralContainers
	bumpPodGeneration(pod, old)
}

// prepareResize keeps only changes of resources and resize policies. If containers were added, removed, renamed or put in
// another order the object is left as it is, so that validation can name what is wrong.
func prepareResize(pod, old *corev1.Pod) {
	if len(pod.Spec.Containers) == len(old.Spec.Containers) && len(pod.Spec.InitContainers) == len(old.Spec.InitContainers) {
		containers := resizedContainers(pod.Spec.Containers, old.Spec.Containers)
		initContainers := resizedContainers(pod.Spec.InitContainers, old.Spec.InitContainers)
		resources := pod.Spec.Resources
		pod.Spec = old.Spec
		pod.Spec.Containers, pod.Spec.InitContainers, pod.Spec.Resources = containers, initContainers, resources
		pod.Status = old.Status
		metav1.ResetObjectMetaForStatus(&pod.ObjectMeta, &old.ObjectMeta)
	}
	if pod.Spec.Resources == nil && old.Spec.Resources != nil {
		pod.Spec.Resources = old.Spec.Resources.DeepCopy()
	}
	defaultPodResources(&pod.Spec)
	bumpPodGeneration(pod, old)
}

func resizedContainers(wanted, old []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, len(old))
	copy(out, old)
	for i := range wanted {
		if wanted[i].Name != old[i].Name {
			return wanted
		}
		out[i].Resources = wanted[i].Resources
		out[i].ResizePolicy = wanted[i].ResizePolicy
	}
	return out
}

// mergeLabelKeys turns matchLabelKeys and mismatchLabelKeys into the label selectors beside them, with the values that the
// pod's own labels have, so that whoever reads the selectors need not know the keys.
func mergeLabelKeys(pod *corev1.Pod) {
	add := func(sel *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator) {
		if sel == nil {
			return // nil selects nothing; keys cannot narrow it
		}
		for _, key := range keys {
			if v, ok := pod.Labels[key]; ok {
				sel.MatchExpressions = append(sel.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: op, Values: []string{v}})
			}
		}
	}
	term := func(t *corev1.PodAffinityTerm) {
		add(t.LabelSelector, t.MatchLabelKeys, metav1.LabelSelectorOpIn)
		add(t.LabelSelector, t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn)
	}
	terms := func(preferred []corev1.WeightedPodAffinityTerm, required []corev1.PodAffinityTerm) {
		for i := range preferred {
			term(&preferred[i].PodAffinityTerm)
		}
		for i := range required {
			term(&required[i])
		}
	}
	if a := pod.Spec.Affinity; a != nil {
		if p := a.PodAffinity; p != nil {
			terms(p.PreferredDuringSchedulingIgnoredDuringExecution, p.RequiredDuringSchedulingIgnoredDuringExecution)
		}
		if p := a.PodAntiAffinity; p != nil {
			terms(p.PreferredDuringSchedulingIgnoredDuringExecution, p.RequiredDuringSchedulingIgnoredDuringExecution)
		}
	}
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		add(c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn)
	}
}

// appArmorFromAnnotations copies the old per-container AppArmor annotations into the fields that replaced them.
func appArmorFromAnnotations(pod *corev1.Pod) {
	if pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows || len(pod.Annotations) == 0 {
		return
	}
	var ofPod *corev1.AppArmorProfile
	if pod.Spec.SecurityContext != nil {
		ofPod = pod.Spec.SecurityContext.AppArmorProfile
	}
	eachContainer(&pod.Spec, func(c *corev1.Container) {
		value, ok := pod.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]
		if !ok || c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			return
		}
		profile := appArmorProfile(value)
		if profile == nil || equality.Semantic.DeepEqual(profile, ofPod) {
			return
		}
		if c.SecurityContext == nil {
			c.SecurityContext = &corev1.SecurityContext{}
		}
		c.SecurityContext.AppArmorProfile = profile
	})
}

// appArmorProfile reads the value of an AppArmor annotation; nil if it is not valid.
func appArmorProfile(value string) *corev1.AppArmorProfile {
	switch {
	case value == corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	case value == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	}
	const prefix = corev1.DeprecatedAppArmorBetaProfileNamePrefix
	if len(value) <= len(prefix) || value[:len(prefix)] != prefix {
		return nil
	}
	name := value[len(prefix):]
	return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
}

func eachContainer(spec *corev1.PodSpec, visit func(*corev1.Container)) {
	for i := range spec.InitContainers {
		visit(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		visit(&spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		visit((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
}
