package resource

import (
	"strings"

	"sampan.dev/internal/api"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

type claim = resourcev1.ResourceClaim

// Claims is the kind ResourceClaim: which devices are asked for, which ones the scheduler gave, and who uses them.
func Claims() *api.Kind {
	return &api.Kind{
		Group: resourcev1.GroupName, Version: "v1", Kind: "ResourceClaim", Resource: "resourceclaims", Singular: "resourceclaim", Namespaced: true,
		New:     func() api.Object { return &claim{} },
		NewList: func() runtime.Object { return &resourcev1.ResourceClaimList{} },

		Default: api.On(defaultClaim),
		PrepareCreate: api.On(func(c *claim) {
			c.Status = resourcev1.ResourceClaimStatus{}
			dropClaimFields(&c.Spec, nil)
		}),
		PrepareUpdate: api.OnChange(func(c, old *claim) {
			c.Status = old.Status
			dropClaimFields(&c.Spec, &old.Spec)
		}),
		Validate:       api.Check(claimErrors),
		ValidateUpdate: api.CheckChange(claimChange),
		Unconditional:  true,
		ReturnsDeleted: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"}, ResetFields: []string{"metadata", "spec"},
			PrepareUpdate:  api.OnChange(prepareClaimStatus),
			ValidateUpdate: api.CheckChange(claimStatusChange),
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(), api.Column("State", "string", "A summary of the current state (allocated, pending, reserved, etc.)."), api.AgeColumn(),
		},
		Row: api.Cells(func(c *claim) []any { return []any{c.Name, state(c), c.CreationTimestamp} }),
	}
}

func defaultClaim(c *claim) {
	defaultRequests(c.Spec.Devices.Requests)
	if a := c.Status.Allocation; a != nil {
		for i := range a.Devices.Results {
			defaultTolerations(a.Devices.Results[i].Tolerations)
		}
	}
}

func defaultRequests(list []resourcev1.DeviceRequest) {
	for i := range list {
		if e := list[i].Exactly; e != nil {
			defaultCount(&e.AllocationMode, &e.Count)
			defaultTolerations(e.Tolerations)
		}
		for j := range list[i].FirstAvailable {
			s := &list[i].FirstAvailable[j]
			defaultCount(&s.AllocationMode, &s.Count)
			defaultTolerations(s.Tolerations)
		}
	}
}

func defaultCount(mode *resourcev1.DeviceAllocationMode, count *int64) {
	if *mode == "" {
		*mode = resourcev1.DeviceAllocationModeExactCount
	}
	if *mode == resourcev1.DeviceAllocationModeExactCount && *count == 0 {
		*count = 1
	}
}

func defaultTolerations(list []resourcev1.DeviceToleration) {
	for i := range list {
		if list[i].Operator == "" {
			list[i].Operator = resourcev1.DeviceTolerationOpEqual
		}
	}
}

// dropClaimFields drops derived attributes, which are alpha, unless the old spec has some; old is nil for a new claim.
func dropClaimFields(spec, old *resourcev1.ResourceClaimSpec) {
	if old != nil && usesDerived(old) {
		return
	}
	for i := range spec.Devices.Requests {
		r := &spec.Devices.Requests[i]
		if r.Exactly != nil {
			r.Exactly.DerivedAttributes = nil
		}
		for j := range r.FirstAvailable {
			r.FirstAvailable[j].DerivedAttributes = nil
		}
	}
}

func usesDerived(spec *resourcev1.ResourceClaimSpec) bool {
	for _, r := range spec.Devices.Requests {
		if r.Exactly != nil && len(r.Exactly.DerivedAttributes) > 0 {
			return true
		}
		for _, s := range r.FirstAvailable {
			if len(s.DerivedAttributes) > 0 {
				return true
			}
		}
	}
	return false
}

// device names one allocated device, or a share of one. Messages show it as JSON.
type device struct{ Driver, Pool, Device, ShareID string }

func deviceOf(driver, pool, name string, share *string) device {
	d := device{driver, pool, name, ""}
	if share != nil {
		d.ShareID = *share
	}
	return d
}

// state says in a few words how far a claim has come.
func state(c *claim) string {
	var states []string
	if c.DeletionTimestamp != nil {
		states = append(states, "deleted")
	}
	switch {
	case c.Status.Allocation == nil && c.DeletionTimestamp == nil:
		states = append(states, "pending")
	case c.Status.Allocation != nil:
		states = append(states, "allocated")
		if len(c.Status.ReservedFor) > 0 {
			states = append(states, "reserved")
		}
	}
	return strings.Join(states, ",")
}

// allocated are the devices that a claim was given.
func allocated(s *resourcev1.ResourceClaimStatus) map[device]bool {
	out := map[device]bool{}
	if s.Allocation != nil {
		for _, r := range s.Allocation.Devices.Results {
			out[deviceOf(r.Driver, r.Pool, r.Device, (*string)(r.ShareID))] = true
		}
	}
	return out
}

// prepareClaimStatus keeps everything but the status, and drops what drivers say of devices that the claim no longer has.
func prepareClaimStatus(c, old *claim) {
	c.Spec = old.Spec
	metav1.ResetObjectMetaForStatus(c, old)
	if a := c.Status.Allocation; a != nil && !skipsOperations(old) { // alpha
		for i := range a.Devices.Results {
			a.Devices.Results[i].SkipNodeOperations = nil
		}
	}
	had, has := allocated(&old.Status), allocated(&c.Status)
	var kept []resourcev1.AllocatedDeviceStatus
	for _, s := range c.Status.Devices {
		if d := deviceOf(s.Driver, s.Pool, s.Device, s.ShareID); !had[d] || has[d] {
			kept = append(kept, s)
		}
	}
	c.Status.Devices = kept
}

func skipsOperations(c *claim) bool {
	if c.Status.Allocation == nil {
		return false
	}
	for _, r := range c.Status.Allocation.Devices.Results {
		if len(r.SkipNodeOperations) > 0 {
			return true
		}
	}
	return false
}
