package valid

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	seccompPod       = corev1.SeccompPodAnnotationKey
	seccompContainer = corev1.SeccompContainerAnnotationKeyPrefix
	appArmor         = corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix

	seccompLocalhost  = corev1.SeccompLocalhostProfileNamePrefix
	appArmorLocalhost = corev1.DeprecatedAppArmorBetaProfileNamePrefix
)

// PodAnnotations checks the annotations of a pod or template that mean something to Kubernetes.
func PodAnnotations(annotations map[string]string, spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if v, ok := annotations[corev1.MirrorPodAnnotationKey]; ok && spec.NodeName == "" {
		errs = append(errs, field.Invalid(path.Key(corev1.MirrorPodAnnotationKey), v, "must set spec.nodeName if mirror pod annotation is set"))
	}
	const tolerations = corev1.TolerationsAnnotationKey
	if v := annotations[tolerations]; v != "" {
		var list []corev1.Toleration
		if err := json.Unmarshal([]byte(v), &list); err != nil {
			errs = append(errs, field.Invalid(path, tolerations, err.Error()))
		}
		errs = append(errs, Tolerations(list, path.Child(tolerations))...)
	}
	if v, ok := annotations[corev1.PodDeletionCost]; ok && !isInt32(v) {
		errs = append(errs, field.Invalid(path.Key(corev1.PodDeletionCost), v, "must be a 32bit integer"))
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[key]
		if key == seccompPod || strings.HasPrefix(key, seccompContainer) {
			errs = append(errs, seccompAnnotation(value, path.Child(key))...)
		}
		if name, ok := strings.CutPrefix(key, appArmor); ok {
			if !hasContainer(spec, name) {
				errs = append(errs, field.Invalid(path.Key(key), name, "container not found"))
			}
			if !isAppArmorAnnotation(value) {
				errs = append(errs, field.Invalid(path.Key(key), value, fmt.Sprintf("invalid AppArmor profile name: %q", value)))
			}
		}
	}
	return errs
}

// isInt32 reports whether s is a number in its usual form: no sign "+", no leading zeros.
func isInt32(s string) bool {
	n, err := strconv.ParseInt(s, 10, 32)
	return err == nil && strconv.FormatInt(n, 10) == s
}

func hasContainer(spec *corev1.PodSpec, name string) bool {
	found := false
	eachContainer(spec, nil, func(c *corev1.Container, _ *field.Path) { found = found || c.Name == name })
	return found
}

func seccompAnnotation(value string, path *field.Path) field.ErrorList {
	switch value {
	case corev1.SeccompProfileRuntimeDefault, corev1.DeprecatedSeccompProfileDockerDefault, corev1.SeccompProfileNameUnconfined:
		return nil
	}
	if file, ok := strings.CutPrefix(value, seccompLocalhost); ok {
		return descendingPath(file, path)
	}
	return Invalid(path, value, "must be a valid seccomp profile")
}

func isAppArmorAnnotation(value string) bool {
	return value == "" || value == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault ||
		value == corev1.DeprecatedAppArmorBetaProfileNameUnconfined || strings.HasPrefix(value, appArmorLocalhost)
}

// ProfilesMatch checks that the old annotations for seccomp and AppArmor say the same as the fields which replaced them,
// where both are given. It holds for new pods and for templates.
func ProfilesMatch(meta *metav1.ObjectMeta, spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if sc := spec.SecurityContext; sc != nil {
		errs = append(errs, seccompMatch(meta, seccompPod, sc.SeccompProfile, path.Child("securityContext", "seccompProfile"))...)
	}
	eachContainer(spec, path, func(c *corev1.Container, path *field.Path) {
		if c.SecurityContext != nil {
			errs = append(errs, seccompMatch(meta, seccompContainer+c.Name, c.SecurityContext.SeccompProfile, path.Child("securityContext", "seccompProfile"))...)
		}
	})
	if spec.OS != nil && spec.OS.Name == corev1.Windows {
		return errs
	}
	eachContainer(spec, path, func(c *corev1.Container, path *field.Path) {
		var profile *corev1.AppArmorProfile
		if sc := spec.SecurityContext; sc != nil {
			profile = sc.AppArmorProfile
		}
		if sc := c.SecurityContext; sc != nil && sc.AppArmorProfile != nil {
			profile = sc.AppArmorProfile
		}
		value, ok := meta.Annotations[appArmor+c.Name]
		if !ok || profile == nil {
			return
		}
		matches, sameType := false, false
		switch profile.Type {
		case corev1.AppArmorProfileTypeUnconfined:
			matches = value == corev1.DeprecatedAppArmorBetaProfileNameUnconfined
		case corev1.AppArmorProfileTypeRuntimeDefault:
			matches = value == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault
		case corev1.AppArmorProfileTypeLocalhost:
			var name string
			name, sameType = strings.CutPrefix(value, appArmorLocalhost)
			matches = sameType && profile.LocalhostProfile != nil && name == *profile.LocalhostProfile
		default:
			return // complained of elsewhere
		}
		errs = append(errs, mismatch(matches, sameType, "apparmor", path.Child("securityContext", "appArmorProfile"))...)
	})
	return errs
}

func seccompMatch(meta *metav1.ObjectMeta, key string, profile *corev1.SeccompProfile, path *field.Path) field.ErrorList {
	value, ok := meta.Annotations[key]
	if !ok || profile == nil {
		return nil
	}
	matches, sameType := false, false
	switch profile.Type {
	case corev1.SeccompProfileTypeUnconfined:
		matches = value == corev1.SeccompProfileNameUnconfined
	case corev1.SeccompProfileTypeRuntimeDefault:
		matches = value == corev1.SeccompProfileRuntimeDefault || value == corev1.DeprecatedSeccompProfileDockerDefault
	case corev1.SeccompProfileTypeLocalhost:
		var name string
		name, sameType = strings.CutPrefix(value, seccompLocalhost)
		matches = sameType && profile.LocalhostProfile != nil && name == *profile.LocalhostProfile
	default:
		return nil // complained of elsewhere
	}
	return mismatch(matches, sameType, "seccomp", path)
}

func mismatch(matches, sameType bool, what string, path *field.Path) field.ErrorList {
	switch {
	case matches:
		return nil
	case sameType:
		return Forbidden(path.Child("localhostProfile"), what+" profile in annotation and field must match")
	}
	return Forbidden(path.Child("type"), what+" type in annotation and field must match")
}

// PodAnnotationsUpdate checks that an update neither adds, changes nor removes the annotations that are set for good.
func PodAnnotationsUpdate(annotations, old map[string]string) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("metadata", "annotations")
	fixed := func(key, verb string) {
		if strings.HasPrefix(key, appArmor) {
			errs = append(errs, field.Forbidden(path.Key(key), "may not "+verb+" AppArmor annotations"))
		}
		if key == corev1.MirrorPodAnnotationKey {
			errs = append(errs, field.Forbidden(path.Key(key), "may not "+verb+" mirror pod annotation"))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if v, ok := annotations[key]; !ok || v != old[key] {
			fixed(key, "remove or update")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if _, ok := old[key]; !ok {
			fixed(key, "add")
		}
	}
	return errs
}
