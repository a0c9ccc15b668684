package admit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authz"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// claimRights holds who writes claims of devices to what they may: access to devices that are in use takes a namespace that an
// administrator has marked, to bind a claim and to tell of its devices take rights of their own. To upstream all of it is a part of
// validation, and the errors are some of those.
type claimRights struct {
	look  lookup
	authz authz.Authorizer
}

func (*claimRights) Name() string { return "ResourceClaimRights" }

func (p *claimRights) Validate(ctx context.Context, a *Attributes) error {
	var errs field.ErrorList
	switch obj := a.Object.(type) {
	case *resourcev1.ResourceClaimTemplate:
		if a.Operation == Create {
			errs = p.adminRequests(ctx, a, obj.Spec.Spec.Devices.Requests)
		}
	case *resourcev1.ResourceClaim:
		if a.Operation == Create {
			errs = p.adminRequests(ctx, a, obj.Spec.Devices.Requests)
		} else if old, ok := a.Old.(*resourcev1.ResourceClaim); ok && a.Subresource == "status" {
			errs = p.status(ctx, a, &obj.Status, &old.Status)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(a.Kind.GVK().GroupKind(), a.displayName(), errs)
}

func (p *claimRights) adminRequests(ctx context.Context, a *Attributes, list []resourcev1.DeviceRequest) field.ErrorList {
	for i := range list {
		if e := list[i].Exactly; e != nil && e.AdminAccess != nil && *e.AdminAccess {
			return p.marked(ctx, a.Namespace, field.NewPath("spec", "devices", "requests").Index(i).Child("adminAccess"))
		}
	}
	return nil
}

// marked wants the namespace to be one for administrators.
func (p *claimRights) marked(ctx context.Context, namespace string, path *field.Path) field.ErrorList {
	ns, err := find[*corev1.Namespace](ctx, p.look, client.Namespaces, "", namespace)
	if err != nil {
		return field.ErrorList{field.InternalError(path, fmt.Errorf("could not retrieve namespace to verify admin access: %w", err))}
	}
	if ns.Labels[resourcev1.DRAAdminNamespaceLabelKey] != "true" {
		return field.ErrorList{field.Forbidden(path, fmt.Sprintf("admin access to devices requires the `%s: true` label on the containing namespace", resourcev1.DRAAdminNamespaceLabelKey))}
	}
	return nil
}

func (p *claimRights) status(ctx context.Context, a *Attributes, s, old *resourcev1.ResourceClaimStatus) field.ErrorList {
	var errs field.ErrorList
	if i := adminResult(s); i >= 0 && adminResult(old) < 0 {
		errs = append(errs, p.marked(ctx, a.Namespace, field.NewPath("status", "allocation", "devices", "results").Index(i).Child("adminAccess"))...)
	}
	if !equality.Semantic.DeepEqual(s.Allocation, old.Allocation) || !equality.Semantic.DeepEqual(s.ReservedFor, old.ReservedFor) {
		if err := p.may(ctx, a, a.Verb, resourcev1.SubresourceBinding, "", ""); err != nil {
			errs = append(errs, field.Forbidden(field.NewPath("status", "allocation"),
				fmt.Sprintf(`changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="%s" permission: %s`, a.Verb, err)))
		}
	}
	if s.Allocation != nil {
		errs = append(errs, p.devices(ctx, a, s, old)...)
	}
	return errs
}

// adminResult is the first device that is given for administrators; -1 for none.
func adminResult(s *resourcev1.ResourceClaimStatus) int {
	if s.Allocation == nil {
		return -1
	}
	return slices.IndexFunc(s.Allocation.Devices.Results, func(r resourcev1.DeviceRequestAllocationResult) bool { return r.AdminAccess != nil && *r.AdminAccess })
}

// devices wants the right to tell of devices, driver by driver: a driver on the node that the claim is for may be given less.
func (p *claimRights) devices(ctx context.Context, a *Attributes, s, old *resourcev1.ResourceClaimStatus) field.ErrorList {
	verbs := []string{resourcev1.VerbPrefixArbitraryNode + a.Verb}
	if node := allocatedNode(s.Allocation); node != "" && runsOn(a.User, node) {
		verbs = []string{resourcev1.VerbPrefixAssociatedNode + a.Verb, resourcev1.VerbPrefixArbitraryNode + a.Verb}
	}
	var errs field.ErrorList
	for _, driver := range toldOf(s.Devices, old.Devices) {
		var first error
		for _, v := range verbs {
			err := p.may(ctx, a, v, resourcev1.SubresourceDriver, a.Namespace, driver)
			if err == nil {
				first = nil
				break
			}
			if first == nil {
				first = err
			}
		}
		if first != nil {
			errs = append(errs, field.Forbidden(field.NewPath("status", "devices"),
				fmt.Sprintf(`changing status.devices requires resource="resourceclaims/driver", verb="%s" permission: %s`, verbs, first)))
		}
	}
	return errs
}

// may asks for a right to claims that no path stands for.
func (p *claimRights) may(ctx context.Context, a *Attributes, verb, sub, namespace, name string) error {
	at := authz.Attributes{
		User: a.User, Verb: verb, Group: a.Kind.Group, Version: a.Kind.Version, Resource: a.Kind.Resource, Subresource: sub, Namespace: namespace, Name: name,
	}
	d, reason, err := p.authz.Authorize(ctx, at)
	if d == authz.Allow {
		return nil
	}
	switch {
	case err != nil && reason != "":
		reason = fmt.Sprintf("%v: %s", err, reason)
	case err != nil:
		reason = err.Error()
	}
	return authz.Forbidden(at, reason)
}

// toldOf are the drivers of whose devices one list tells otherwise than the other, sorted.
func toldOf(is, was []resourcev1.AllocatedDeviceStatus) []string {
	type key struct{ driver, pool, device, share string }
	keyOf := func(d *resourcev1.AllocatedDeviceStatus) key {
		k := key{d.Driver, d.Pool, d.Device, ""}
		if d.ShareID != nil {
			k.share = *d.ShareID
		}
		return k
	}
	before := map[key]*resourcev1.AllocatedDeviceStatus{}
	for i := range was {
		before[keyOf(&was[i])] = &was[i]
	}
	drivers := map[string]bool{}
	for i := range is {
		k := keyOf(&is[i])
		if old, ok := before[k]; !ok || !equality.Semantic.DeepEqual(*old, is[i]) {
			drivers[is[i].Driver] = true
		}
		delete(before, k)
	}
	for k := range before {
		drivers[k.driver] = true
	}
	return slices.Sorted(maps.Keys(drivers))
}

// allocatedNode is the node that a claim is for; "" where its selector says it in any other way than by the name.
func allocatedNode(r *resourcev1.AllocationResult) string {
	if r == nil || r.NodeSelector == nil || len(r.NodeSelector.NodeSelectorTerms) != 1 {
		return ""
	}
	t := r.NodeSelector.NodeSelectorTerms[0]
	if len(t.MatchExpressions) != 0 || len(t.MatchFields) != 1 {
		return ""
	}
	f := t.MatchFields[0]
	if f.Key != "metadata.name" || f.Operator != corev1.NodeSelectorOpIn || len(f.Values) != 1 {
		return ""
	}
	return f.Values[0]
}

// runsOn tells whether user is the service account of a pod on the node.
func runsOn(user api.User, node string) bool {
	names := user.Extra["authentication.kubernetes.io/node-name"]
	return strings.HasPrefix(user.Name, "system:serviceaccount:") && len(names) == 1 && names[0] == node && len(apivalidation.NameIsDNSSubdomain(node, false)) == 0
}
