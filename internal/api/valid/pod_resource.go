package valid

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"
)

func (c *podCheck) containerResources(r *corev1.ResourceRequirements, path *field.Path) {
	c.requirements(r, ContainerResourceName, path)
}

// requirements checks limits and requests, each and against each other; rule says which names they may have.
func (c *podCheck) requirements(r *corev1.ResourceRequirements, rule func(corev1.ResourceName, *field.Path) field.ErrorList, path *field.Path) {
	limits, requests := path.Child("limits"), path.Child("requests")
	computes, hugePages := false, false
	amount := func(name corev1.ResourceName, q resource.Quantity, path *field.Path) {
		c.add(rule(name, path)...)
		c.add(ResourceQuantity(name, q, path)...)
		if isHugePages(name) {
			hugePages = true
			c.wholePages(name, q, path)
		}
		computes = computes || name == corev1.ResourceCPU || name == corev1.ResourceMemory
	}
	for _, name := range slices.Sorted(maps.Keys(r.Limits)) {
		amount(name, r.Limits[name], limits.Key(string(name)))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		q := r.Requests[name]
		amount(name, q, requests.Key(string(name)))
		limit, ok := r.Limits[name]
		switch {
		case !ok && !MayOvercommit(name):
			c.required(limits, "Limit must be set for non overcommitable resources")
		case !ok:
		case q.Cmp(limit) != 0 && !MayOvercommit(name):
			c.invalid(requests, q.String(), fmt.Sprintf("must be equal to %s limit of %s", name, limit.String()))
		case q.Cmp(limit) > 0:
			c.invalid(requests, q.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String()))
		}
	}
	if hugePages && !computes {
		c.forbidden(path, "HugePages require cpu or memory")
	}
	c.claimRefs(r.Claims, path.Child("claims"))
}

// ContainerLimits checks the limits of a container found at path.limits, by themselves.
func ContainerLimits(limits corev1.ResourceList, path *field.Path) field.ErrorList {
	c := &podCheck{PodSpec: &corev1.PodSpec{}}
	c.containerResources(&corev1.ResourceRequirements{Limits: limits}, path)
	return c.errs
}

func (c *podCheck) wholePages(name corev1.ResourceName, q resource.Quantity, path *field.Path) {
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
	if err != nil || size.Sign() <= 0 || size.MilliValue()%1000 != 0 || q.Value()%size.Value() != 0 {
		c.invalid(path, q.String(), fmt.Sprintf("%s is not positive integer multiple of %s", q.String(), name))
	}
}

// claimNames returns the names of the pod's resource claims in order.
func (c *podCheck) claimNames() []string {
	var names []string
	for _, claim := range c.ResourceClaims {
		if claim.Name != "" {
			names = append(names, claim.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// claimRefs checks a container's references to claims of the pod: to a whole claim, or to one request of it.
func (c *podCheck) claimRefs(refs []corev1.ResourceClaim, path *field.Path) {
	seen := map[corev1.ResourceClaim]bool{} // a whole claim has no request
	names := c.claimNames()
	for i, ref := range refs {
		path := path.Index(i)
		if ref.Name == "" {
			c.required(path, "")
			continue
		}
		if ref.Request != "" {
			c.add(DNSLabel(ref.Request, path.Child("request"))...)
		}
		partly := slices.ContainsFunc(refs[:i], func(r corev1.ResourceClaim) bool { return r.Name == ref.Name })
		switch {
		case seen[corev1.ResourceClaim{Name: ref.Name}] || ref.Request == "" && partly:
			c.duplicate(path, ref.Name)
		case seen[ref]:
			c.duplicate(path, ref.Name+"/"+ref.Request)
		}
		seen[ref] = true
		if !slices.Contains(names, ref.Name) {
			missing := field.NotFound(path, ref.Name)
			missing.Detail = "must be one of the names in pod.spec.resourceClaims: " + strings.Join(names, ", ")
			if len(names) == 0 {
				missing.Detail = "must be one of the names in pod.spec.resourceClaims which is empty"
			}
			c.add(missing)
		}
	}
}

// checkResourceClaims checks the pod's own claims.
func (c *podCheck) checkResourceClaims() {
	seen := map[string]bool{}
	for i, claim := range c.ResourceClaims {
		path := c.path.Child("resourceClaims").Index(i)
		if c.meta != nil {
			if _, ok := c.meta.Annotations[corev1.MirrorPodAnnotationKey]; ok {
				c.forbidden(field.NewPath(""), "static pods do not support resource claims")
				continue
			}
		}
		switch {
		case claim.Name == "":
			c.required(path.Child("name"), "")
		case seen[claim.Name]:
			c.duplicate(path.Child("name"), claim.Name)
		default:
			c.add(DNSLabel(claim.Name, path.Child("name"))...)
			seen[claim.Name] = true
		}
		shown := struct { // by its fields' names in Go, as upstream's messages have it
			Name                                         string
			ResourceClaimName, ResourceClaimTemplateName *string
		}{claim.Name, claim.ResourceClaimName, claim.ResourceClaimTemplateName}
		if claim.ResourceClaimName != nil && claim.ResourceClaimTemplateName != nil {
			c.invalid(path, shown, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
		}
		if claim.ResourceClaimName == nil && claim.ResourceClaimTemplateName == nil {
			c.invalid(path, shown, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
		}
		if name := claim.ResourceClaimName; name != nil {
			c.invalidAll(path.Child("resourceClaimName"), *name, apivalidation.NameIsDNSSubdomain(*name, false))
		}
		if name := claim.ResourceClaimTemplateName; name != nil {
			c.invalidAll(path.Child("resourceClaimTemplateName"), *name, apivalidation.NameIsDNSSubdomain(*name, false))
		}
	}
}

// checkPodResources checks the resources of the pod as a whole, and that its containers fit into them.
func (c *podCheck) checkPodResources() {
	r, path := c.Resources, c.path.Child("resources")
	if r == nil {
		return
	}
	if c.OS != nil && c.OS.Name == corev1.Windows {
		c.forbidden(path, "may not be set for a windows pod")
		return
	}
	if r.Claims != nil {
		c.forbidden(path.Child("claims"), "claims may not be set for Resources at pod-level")
	}
	c.requirements(r, podResourceName, path)
	pod := &corev1.Pod{Spec: *c.PodSpec}
	requests := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		sum := requests[name]
		if q, ok := r.Requests[name]; ok && sum.Cmp(q) > 0 {
			c.invalid(path.Child("requests").Key(string(name)), q.String(), "must be greater than or equal to aggregate container requests of "+sum.String())
		}
	}
	limits := resourcehelper.AggregateContainerLimits(pod, resourcehelper.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		sum := limits[name]
		if q, ok := r.Limits[name]; ok && isHugePages(name) && sum.Cmp(q) > 0 {
			c.invalid(path.Child("limits").Key(string(name)), q.String(), "must be greater than or equal to aggregate container limits of "+sum.String())
		}
	}
	for i := range c.Containers {
		of := c.Containers[i].Resources.Limits
		for _, name := range slices.Sorted(maps.Keys(of)) {
			limit := of[name]
			if q, ok := r.Limits[name]; ok && limit.Cmp(q) > 0 {
				c.invalid(path.Child("containers").Index(i).Key(string(name)).Child("limits"), limit.String(), "must be less than or equal to pod limits of "+q.String())
			}
		}
	}
}

func podResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if errs := ResourceName(name, path); len(errs) > 0 {
		return errs
	}
	if resourcehelper.IsSupportedPodLevelResource(name) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, name, sorted(resourcehelper.SupportedPodLevelResources().UnsortedList()))}
}
