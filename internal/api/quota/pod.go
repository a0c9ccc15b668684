package quota

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apipods "sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	resourcehelper "k8s.io/component-helpers/resource"
)

// podNames are what pods count as, beside huge pages and extended resources.
var podNames = map[corev1.ResourceName]bool{
	"count/pods": true, corev1.ResourcePods: true,
	corev1.ResourceCPU: true, corev1.ResourceRequestsCPU: true, corev1.ResourceLimitsCPU: true,
	corev1.ResourceMemory: true, corev1.ResourceRequestsMemory: true, corev1.ResourceLimitsMemory: true,
	corev1.ResourceEphemeralStorage: true, corev1.ResourceRequestsEphemeralStorage: true, corev1.ResourceLimitsEphemeralStorage: true,
}

func ofPods(name corev1.ResourceName) bool {
	s := string(name)
	return podNames[name] || strings.HasPrefix(s, corev1.ResourceHugePagesPrefix) || strings.HasPrefix(s, corev1.ResourceRequestsHugePagesPrefix) ||
		extendedRequest(name)
}

// extendedRequest reports whether a name of a quota limits the requests of an extended resource.
func extendedRequest(name corev1.ResourceName) bool {
	s, ok := strings.CutPrefix(string(name), corev1.DefaultResourceRequestsPrefix)
	return ok && (foreign(corev1.ResourceName(string(name))) || strings.HasPrefix(s, resourcev1.ResourceDeviceClassPrefix))
}

// foreign reports whether a resource is not one of Kubernetes' own.
func foreign(name corev1.ResourceName) bool {
	return strings.Contains(string(name), "/") && !strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

// extended reports whether a container may ask for a resource under a name that somebody else gave it.
func extended(name corev1.ResourceName) bool {
	if strings.HasPrefix(string(name), resourcev1.ResourceDeviceClassPrefix) {
		return true
	}
	return foreign(name) && !strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) &&
		len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

func podChanges(c Change) bool {
	switch c.Subresource {
	case "":
		pod, ok := c.New.(*corev1.Pod)
		old, was := c.Old.(*corev1.Pod)
		return ok && (!was || ends(pod) != ends(old))
	case "resize":
		return c.Old != nil
	}
	return false
}

// ends reports whether a pod has a time set to end in.
func ends(pod *corev1.Pod) bool {
	return pod.Spec.ActiveDeadlineSeconds != nil && *pod.Spec.ActiveDeadlineSeconds >= 0
}

// mustAsk are the resources that every container has to ask for where a quota limits them. No others will be added: upstream holds
// that to be a mistake which cannot be undone.
var mustAsk = []corev1.ResourceName{
	corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
}

func podLacks(of []corev1.ResourceName, obj runtime.Object) string {
	pod, ok := obj.(*corev1.Pod)
	if !ok || resourcehelper.IsPodLevelResourcesSet(pod) {
		return ""
	}
	missing := map[corev1.ResourceName][]string{}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			has := computed(list[i].Resources.Requests, list[i].Resources.Limits)
			for _, name := range mustAsk {
				if _, ok := has[name]; !ok && slices.Contains(of, name) {
					missing[name] = append(missing[name], list[i].Name)
				}
			}
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		containers := slices.Sorted(slices.Values(missing[name]))
		out = append(out, fmt.Sprintf("%s for: %s", name, strings.Join(slices.Compact(containers), ",")))
	}
	if len(out) == 0 {
		return ""
	}
	return "must specify " + strings.Join(out, "; ")
}

// computed is what requests and limits count as.
func computed(requests, limits corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{corev1.ResourcePods: amount(1)}
	for name, q := range requests {
		switch {
		case name == corev1.ResourceCPU, name == corev1.ResourceMemory, name == corev1.ResourceEphemeralStorage,
			strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix):
			out[name] = q
			out[corev1.DefaultResourceRequestsPrefix+name] = q
		case extended(name):
			out[corev1.DefaultResourceRequestsPrefix+name] = q
		}
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if q, ok := limits[name]; ok {
			out["limits."+name] = q
		}
	}
	return out
}

// podUsage counts a pod among those that are stored, and until it has ended among those that use something.
func podUsage(obj runtime.Object) corev1.ResourceList {
	out := corev1.ResourceList{"count/pods": amount(1)}
	pod, ok := obj.(*corev1.Pod)
	if !ok || over(pod, time.Now()) {
		return out
	}
	o := resourcehelper.PodResourcesOptions{UseStatusResources: true}
	return Add(out, computed(resourcehelper.PodRequests(pod, o), resourcehelper.PodLimits(pod, o)))
}

// over reports whether a pod has ended, or should have by now: one that is stuck on a node which is lost must not keep the next from
// coming.
func over(pod *corev1.Pod, now time.Time) bool {
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return true
	}
	at, grace := pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds
	return at != nil && grace != nil && now.After(at.Add(time.Duration(*grace)*time.Second))
}

func podInScope(obj runtime.Object, s corev1.ScopedResourceSelectorRequirement) (bool, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return false, nil
	}
	switch s.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return ends(pod), nil
	case corev1.ResourceQuotaScopeNotTerminating:
		return !ends(pod), nil
	case corev1.ResourceQuotaScopeBestEffort:
		return apipods.QoS(pod) == corev1.PodQOSBestEffort, nil
	case corev1.ResourceQuotaScopeNotBestEffort:
		return apipods.QoS(pod) != corev1.PodQOSBestEffort, nil
	case corev1.ResourceQuotaScopePriorityClass:
		return selects(s, pod.Spec.PriorityClassName)
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return reachesOut(pod.Spec.Affinity), nil
	}
	return false, nil
}

// reachesOut reports whether an affinity looks at pods of other namespaces.
func reachesOut(a *corev1.Affinity) bool {
	if a == nil {
		return false
	}
	out := func(t corev1.PodAffinityTerm) bool { return len(t.Namespaces) > 0 || t.NamespaceSelector != nil }
	weighted := func(t corev1.WeightedPodAffinityTerm) bool { return out(t.PodAffinityTerm) }
	return a.PodAffinity != nil && (slices.ContainsFunc(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, out) ||
		slices.ContainsFunc(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution, weighted)) ||
		a.PodAntiAffinity != nil && (slices.ContainsFunc(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, out) ||
			slices.ContainsFunc(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution, weighted))
}
