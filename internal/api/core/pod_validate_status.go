package core

import (
	"fmt"
	"math"
	"slices"

	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

func validatePodStatusUpdate(pod, old *corev1.Pod) field.ErrorList {
	s, was, path := &pod.Status, &old.Status, field.NewPath("status")
	errs := valid.KubeFinalizers(pod)
	errs = append(errs, valid.PodAnnotationsUpdate(pod.Annotations, old.Annotations)...)
	errs = append(errs, valid.PodAnnotations(pod.Annotations, &pod.Spec, field.NewPath("metadata", "annotations"))...)
	errs = append(errs, podConditions(s.Conditions, path.Child("conditions"))...)
	errs = append(errs, nomination(pod, old)...)
	if s.ObservedGeneration < 0 {
		errs = append(errs, field.Invalid(path.Child("observedGeneration"), s.ObservedGeneration, "must be a non-negative integer"))
	}
	errs = append(errs, valid.Immutable(s.QOSClass, was.QOSClass, path.Child("qosClass"))...)
	errs = append(errs, restarted(s.ContainerStatuses, was.ContainerStatuses, old.Spec.Containers, &old.Spec, path.Child("containerStatuses"))...)
	errs = append(errs, restarted(s.InitContainerStatuses, was.InitContainerStatuses, old.Spec.InitContainers, &old.Spec, path.Child("initContainerStatuses"))...)
	errs = append(errs, stayedEnded(s.EphemeralContainerStatuses, was.EphemeralContainerStatuses, path.Child("ephemeralContainerStatuses"))...)
	errs = append(errs, claimStatuses(s.ResourceClaimStatuses, pod.Spec.ResourceClaims, path.Child("resourceClaimStatuses"))...)
	errs = append(errs, podIPs(pod, old)...)
	errs = append(errs, hostIPs(pod, old)...)
	errs = append(errs, containerUsers(s.ContainerStatuses, pod.Spec.OS, path.Child("containerStatuses"))...)
	errs = append(errs, containerUsers(s.InitContainerStatuses, pod.Spec.OS, path.Child("initContainerStatuses"))...)
	return append(errs, containerUsers(s.EphemeralContainerStatuses, pod.Spec.OS, path.Child("ephemeralContainerStatuses"))...)
}

func podConditions(list []corev1.PodCondition, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, c := range list {
		if c.ObservedGeneration < 0 {
			errs = append(errs, field.Invalid(path.Index(i).Child("observedGeneration"), c.ObservedGeneration, "must be a non-negative integer"))
		}
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized:
		default:
			errs = append(errs, valid.QualifiedName(string(c.Type), path.Index(i).Child("Type"))...)
		}
	}
	return errs
}

func nomination(pod, old *corev1.Pod) field.ErrorList {
	name, path := pod.Status.NominatedNodeName, field.NewPath("status", "nominatedNodeName")
	if name == "" || name == old.Status.NominatedNodeName {
		return nil
	}
	errs := valid.NodeName(name, path)
	if old.Spec.NodeName != "" {
		errs = append(errs, field.Forbidden(path, "may not be set on pods that are already bound to a node"))
	}
	return errs
}

// restarted refuses a container that ended and runs again although its policy says it should not.
func restarted(now, was []corev1.ContainerStatus, containers []corev1.Container, spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	if mayRestartAll(spec) {
		return nil
	}
	var errs field.ErrorList
	for i := range was {
		ended := was[i].State.Terminated
		if ended == nil || !runsAgain(now, was[i].Name) {
			continue
		}
		at := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == was[i].Name })
		if at < 0 || !shouldRestart(&containers[at], spec, ended.ExitCode) {
			errs = append(errs, field.Forbidden(path.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
		}
	}
	return errs
}

func stayedEnded(now, was []corev1.ContainerStatus, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range was {
		if was[i].State.Terminated != nil && runsAgain(now, was[i].Name) {
			errs = append(errs, field.Forbidden(path.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
		}
	}
	return errs
}

func runsAgain(now []corev1.ContainerStatus, name string) bool {
	return slices.ContainsFunc(now, func(s corev1.ContainerStatus) bool { return s.Name == name && s.State.Terminated == nil })
}

func mayRestartAll(spec *corev1.PodSpec) bool {
	all := false
	eachContainer(spec, func(c *corev1.Container) {
		for _, r := range c.RestartPolicyRules {
			all = all || r.Action == corev1.ContainerRestartRuleActionRestartAllContainers
		}
	})
	return all
}

// shouldRestart tells whether a container that ended with code is to be started again: by its rules, else its own policy,
// else the pod's.
func shouldRestart(c *corev1.Container, spec *corev1.PodSpec, code int32) bool {
	policy := string(spec.RestartPolicy)
	if c.RestartPolicy != nil {
		for _, r := range c.RestartPolicyRules {
			if r.ExitCodes == nil {
				continue
			}
			in := slices.Contains(r.ExitCodes.Values, code)
			if in && r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn || !in && r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpNotIn {
				return true
			}
		}
		policy = string(*c.RestartPolicy)
	}
	switch policy {
	case string(corev1.RestartPolicyNever):
		return false
	case string(corev1.RestartPolicyOnFailure):
		return code != 0
	}
	return true
}

// claimStatuses checks that each names a claim of the pod, none twice, and a ResourceClaim whose name has the right form.
func claimStatuses(list []corev1.PodResourceClaimStatus, claims []corev1.PodResourceClaim, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range list {
		at := path.Index(i)
		if !slices.ContainsFunc(claims, func(c corev1.PodResourceClaim) bool { return c.Name == s.Name }) {
			errs = append(errs, field.Invalid(at.Child("name"), s.Name, "must match the name of an entry in `spec.resourceClaims`"))
		}
		if slices.ContainsFunc(list[:i], func(o corev1.PodResourceClaimStatus) bool { return o.Name == s.Name }) {
			errs = append(errs, field.Duplicate(at.Child("name"), s.Name))
		}
		if s.ResourceClaimName != nil {
			errs = append(errs, valid.ResourceClaimName(*s.ResourceClaimName, at.Child("resourceClaimName"))...)
		}
	}
	return errs
}

func podIPs(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("status", "podIPs")
	now, was := make([]string, len(pod.Status.PodIPs)), make([]string, len(old.Status.PodIPs))
	for i, ip := range pod.Status.PodIPs {
		now[i] = ip.IP
	}
	for i, ip := range old.Status.PodIPs {
		was[i] = ip.IP
	}
	errs := addressPair(now, was, path)
	switch {
	case (pod.Status.PodIP != "") != (len(now) > 0):
		errs = append(errs, field.Invalid(path, shownIPs(now), "podIP and podIPs must either both be set or both be unset"))
	case len(now) > 0 && pod.Status.PodIP != now[0]:
		errs = append(errs, field.Invalid(path.Index(0).Child("ip"), now[0], "must be equal to `podIP`"))
	}
	return errs
}

func hostIPs(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("status", "hostIPs")
	now, was := make([]string, len(pod.Status.HostIPs)), make([]string, len(old.Status.HostIPs))
	for i, ip := range pod.Status.HostIPs {
		now[i] = ip.IP
	}
	for i, ip := range old.Status.HostIPs {
		was[i] = ip.IP
	}
	var errs field.ErrorList
	if len(now) > 0 && pod.Status.HostIP != now[0] {
		errs = append(errs, field.Invalid(path.Index(0).Child("ip"), now[0], "must be equal to `hostIP`"))
	}
	return append(errs, addressPair(now, was, path)...)
}

// shownIPs are addresses as messages show them: upstream's have no JSON names there.
func shownIPs(ips []string) any {
	var out []struct{ IP string }
	for _, ip := range ips {
		out = append(out, struct{ IP string }{ip})
	}
	return out
}

// addressPair checks a list of at most one address of each family.
func addressPair(now, was []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, ip := range now {
		errs = append(errs, valid.IP(ip, was, path.Index(i))...)
	}
	if len(now) < 2 {
		return errs
	}
	dual, err := netutils.IsDualStackIPStrings(now)
	if err != nil {
		errs = append(errs, field.InternalError(path, fmt.Errorf("failed to check for dual stack with error:%v", err)))
	}
	if !dual || len(now) > 2 {
		errs = append(errs, field.Invalid(path, shownIPs(now), "may specify no more than one IP for each IP family"))
	}
	return errs
}

func containerUsers(list []corev1.ContainerStatus, os *corev1.PodOS, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		if list[i].User == nil || list[i].User.Linux == nil {
			continue
		}
		u, path := list[i].User.Linux, path.Index(i).Child("user", "linux")
		if os != nil && os.Name == corev1.Windows {
			errs = append(errs, field.Forbidden(path, "cannot be set for a windows pod"))
			continue
		}
		if u.UID < 0 || u.UID > math.MaxUint32 {
			errs = append(errs, field.Invalid(path.Child("uid"), u.UID, fmt.Sprintf("must be between 0 and %d, inclusive", int64(math.MaxUint32))))
		}
		for _, msg := range validation.IsValidGroupID(u.GID) {
			errs = append(errs, field.Invalid(path.Child("gid"), u.GID, msg))
		}
		for j, gid := range u.SupplementalGroups {
			for _, msg := range validation.IsValidGroupID(gid) {
				errs = append(errs, field.Invalid(path.Child("supplementalGroups").Index(j), gid, msg))
			}
		}
	}
	return errs
}
