package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"sampan.dev/internal/api/valid"
	"sampan.dev/internal/pattern"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

func validateNode(n *corev1.Node) field.ErrorList {
	meta := field.NewPath("metadata")
	errs := valid.KubeFinalizers(n)
	errs = append(errs, nodeAnnotations(n, meta.Child("annotations"))...)
	errs = append(errs, valid.Taints(n.Spec.Taints, meta.Child("taints"))...) // upstream's path
	errs = append(errs, nodeResources(n)...)
	if swap := n.Status.NodeInfo.Swap; swap != nil && swap.Capacity != nil {
		errs = append(errs, valid.Positive(*swap.Capacity, meta.Child("nodeSwapStatus", "capacity"))...)
	}
	errs = append(errs, declaredFeatures(n.Status.DeclaredFeatures)...)
	path := field.NewPath("spec", "podCIDRs")
	for i, cidr := range n.Spec.PodCIDRs {
		errs = append(errs, valid.CIDR(cidr, nil, path.Index(i))...)
	}
	if len(n.Spec.PodCIDRs) > 1 {
		dual, err := netutils.IsDualStackCIDRStrings(n.Spec.PodCIDRs)
		if err != nil {
			errs = append(errs, field.InternalError(path, fmt.Errorf("invalid PodCIDRs. failed to check with dual stack with error:%v", err)))
		}
		if !dual || len(n.Spec.PodCIDRs) > 2 {
			errs = append(errs, field.Invalid(path, n.Spec.PodCIDRs, "may specify no more than one CIDR for each IP family"))
		}
	}
	return errs
}

// nodeAnnotations checks the annotation in which taints were before they were a field.
func nodeAnnotations(n *corev1.Node, path *field.Path) field.ErrorList {
	const key = "scheduler.alpha.kubernetes.io/taints"
	value := n.Annotations[key]
	if value == "" {
		return nil
	}
	var taints []corev1.Taint
	if err := json.Unmarshal([]byte(value), &taints); err != nil {
		return field.ErrorList{field.Invalid(path, key, err.Error())}
	}
	return valid.Taints(taints, path.Child(key))
}

func nodeResources(n *corev1.Node) field.ErrorList {
	var errs field.ErrorList
	for _, list := range []struct {
		name string
		of   corev1.ResourceList
	}{{"capacity", n.Status.Capacity}, {"allocatable", n.Status.Allocatable}} {
		for _, name := range slices.Sorted(maps.Keys(list.of)) {
			errs = append(errs, valid.ResourceQuantity(name, list.of[name], field.NewPath("status", list.name, string(name)))...)
		}
	}
	return errs
}

var declaredFeature = pattern.New(`^[A-Z][a-zA-Z0-9]*(\/[a-zA-Z][a-zA-Z0-9]*)*$`)

func declaredFeatures(names []string) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("status", "declaredFeatures")
	for i, name := range names {
		switch {
		case len(name) > validation.DNS1123SubdomainMaxLength:
			errs = append(errs, field.Invalid(path.Index(i), name, fmt.Sprintf("invalid feature name %q: must be no more than %d characters", name, validation.DNS1123SubdomainMaxLength)))
		case !declaredFeature.MatchString(name):
			errs = append(errs, field.Invalid(path.Index(i), name, fmt.Sprintf("invalid feature name %q: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes", name)))
		}
		if i+1 == len(names) {
			break
		}
		switch next := names[i+1]; {
		case next == name:
			errs = append(errs, field.Duplicate(path.Index(i+1), next))
		case next < name:
			errs = append(errs, field.Invalid(path.Index(i+1), next, "list must be sorted alphabetically"))
		}
	}
	return errs
}

// validateNodeUpdate checks changes of the node and of its status.
func validateNodeUpdate(n, old *corev1.Node) field.ErrorList {
	errs := valid.KubeFinalizers(n)
	errs = append(errs, nodeAnnotations(n, field.NewPath("metadata", "annotations"))...)
	errs = append(errs, nodeResources(n)...)
	errs = append(errs, declaredFeatures(n.Status.DeclaredFeatures)...)
	seen := map[corev1.NodeAddress]bool{}
	for i, a := range n.Status.Addresses {
		if seen[a] {
			errs = append(errs, field.Duplicate(field.NewPath("status", "addresses").Index(i), struct {
				Type    corev1.NodeAddressType
				Address string
			}{a.Type, a.Address}))
		}
		seen[a] = true
	}
	spec := field.NewPath("spec")
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(old.Spec.PodCIDRs, n.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(spec.Child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid"))
	}
	if was := old.Spec.ProviderID; was != "" && was != n.Spec.ProviderID {
		detail := "field cannot be modified once set"
		if n.Spec.ProviderID == "" {
			detail = "field cannot be cleared once set"
		}
		errs = append(errs, field.Invalid(spec.Child("providerID"), nil, detail))
	}
	if n.Spec.DoNotUseExternalID != old.Spec.DoNotUseExternalID {
		errs = append(errs, field.Forbidden(spec.Child("externalID"), "may not be updated"))
	}
	return errs
}
