package resource

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api/valid"

	"github.com/google/uuid"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// claimStatusChange checks what schedulers and drivers write. Who may write which part is seen to by the hub's admission.
func claimStatusChange(c, old *claim) field.ErrorList {
	errs := append(valid.KubeFinalizers(c), claimStatus(c, &old.Status, field.NewPath("status"))...)
	return valid.Declared(errs, valid.Changed(resourcev1.Validate_ResourceClaimStatus, &c.Status, &old.Status, nil, field.NewPath("status")))
}

func claimStatus(c *claim, old *resourcev1.ResourceClaimStatus, path *field.Path) field.ErrorList {
	s, names := &c.Status, namesOf(&c.Spec.Devices)
	errs := set(s.ReservedFor, resourcev1.ResourceClaimReservedForMaxSize, consumer,
		func(r *resourcev1.ResourceClaimConsumerReference) types.UID { return r.UID }, path.Child("reservedFor"), covers{size: true, unique: true})
	has := allocated(s)
	errs = append(errs, set(s.Devices, -1, func(d *resourcev1.AllocatedDeviceStatus, at *field.Path) field.ErrorList {
		return deviceStatus(d, has, at)
	},
		func(d *resourcev1.AllocatedDeviceStatus) device {
			return deviceOf(d.Driver, d.Pool, d.Device, d.ShareID)
		}, path.Child("devices"), covers{unique: true})...)
	if len(s.ReservedFor) > 0 {
		if s.Allocation == nil {
			errs = append(errs, field.Forbidden(path.Child("reservedFor"), "may not be specified when `allocated` is not set"))
		} else if c.DeletionTimestamp != nil && slices.ContainsFunc(s.ReservedFor, func(r resourcev1.ResourceClaimConsumerReference) bool { return !slices.Contains(old.ReservedFor, r) }) {
			errs = append(errs, field.Forbidden(path.Child("reservedFor"), "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"))
		}
	}
	switch at := path.Child("allocation"); {
	case s.Allocation == nil:
	case old.Allocation == nil:
		errs = append(errs, allocation(s.Allocation, names, at)...)
	case !equality.Semantic.DeepEqual(s.Allocation, old.Allocation):
		errs = append(errs, field.Invalid(at, valid.Internal(s.Allocation), "field is immutable").WithOrigin("update").MarkCoveredByDeclarative())
	}
	return errs
}

func consumer(r *resourcev1.ResourceClaimConsumerReference, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range [][2]string{{"resource", r.Resource}, {"name", r.Name}, {"uid", string(r.UID)}} {
		if f[1] == "" {
			errs = append(errs, field.Required(path.Child(f[0]), ""))
		}
	}
	return errs
}

// allocation checks which devices a claim is given, and how they are set up.
func allocation(a *resourcev1.AllocationResult, names requestNames, path *field.Path) field.ErrorList {
	devices := path.Child("devices")
	errs := items(a.Devices.Results, resourcev1.AllocationResultsMaxSize, func(r *resourcev1.DeviceRequestAllocationResult, at *field.Path) field.ErrorList {
		return result(r, names, at)
	}, devices.Child("results"), covers{size: true})
	errs = append(errs, items(a.Devices.Config, 2*resourcev1.DeviceConfigMaxSize, func(c *resourcev1.DeviceAllocationConfiguration, at *field.Path) field.ErrorList {
		errs := configSource(c.Source, at.Child("source"))
		errs = append(errs, names.refs(c.Requests, at.Child("requests"))...)
		return append(errs, configuration(&c.DeviceConfiguration, false, at)...)
	}, devices.Child("config"), covers{size: true})...)
	if a.NodeSelector != nil {
		errs = append(errs, valid.NodeSelector(a.NodeSelector, path.Child("nodeSelector"))...)
	}
	return errs
}

func result(r *resourcev1.DeviceRequestAllocationResult, names requestNames, path *field.Path) field.ErrorList {
	name := r.Request
	errs := names.ref(&name, path.Child("request"))
	errs = append(errs, valid.CoveredDriverName(r.Driver, path.Child("driver"))...)
	errs = append(errs, poolName(r.Pool, path.Child("pool")).MarkCoveredByDeclarative()...)
	errs = append(errs, valid.DNSLabel(r.Device, path.Child("device"))...)
	errs = append(errs, bindingConditions(r.BindingConditions, r.BindingFailureConditions, path)...)
	errs = append(errs, items(r.Tolerations, -1, toleration, path.Child("tolerations"), covers{})...)
	if r.ShareID != nil {
		errs = append(errs, shareID(string(*r.ShareID), path.Child("shareID")).MarkCoveredByDeclarative()...)
	}
	return errs
}

func configSource(s resourcev1.AllocationConfigSource, path *field.Path) field.ErrorList {
	switch s {
	case resourcev1.AllocationConfigSourceClaim, resourcev1.AllocationConfigSourceClass:
		return nil
	case "":
		return field.ErrorList{field.Required(path, "").MarkCoveredByDeclarative()}
	}
	return field.ErrorList{field.NotSupported(path, s, []resourcev1.AllocationConfigSource{resourcev1.AllocationConfigSourceClaim, resourcev1.AllocationConfigSourceClass}).MarkCoveredByDeclarative()}
}

func shareID(id string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if err := uuid.Validate(id); err != nil {
		errs = append(errs, field.Invalid(path, id, fmt.Sprintf("error validating uid: %v", err)))
	} else if len(id) != 36 || id != strings.ToLower(id) {
		errs = append(errs, field.Invalid(path, id, "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"))
	}
	return errs.WithOrigin("format=k8s-uuid")
}

// deviceStatus checks what a driver tells of a device that the claim has.
func deviceStatus(d *resourcev1.AllocatedDeviceStatus, has map[device]bool, path *field.Path) field.ErrorList {
	errs := valid.DriverName(d.Driver, path.Child("driver"))
	errs = append(errs, poolName(d.Pool, path.Child("pool"))...)
	errs = append(errs, valid.DNSLabel(d.Device, path.Child("device"))...)
	if d.ShareID != nil {
		errs = append(errs, shareID(*d.ShareID, path.Child("shareID")).MarkCoveredByDeclarative()...)
	}
	if id := deviceOf(d.Driver, d.Pool, d.Device, d.ShareID); !has[id] {
		errs = append(errs, field.Invalid(path, id, "must be an allocated device in the claim"))
	}
	if n := len(d.Conditions); n > resourcev1.AllocatedDeviceStatusMaxConditions {
		errs = append(errs, field.TooMany(path.Child("conditions"), n, resourcev1.AllocatedDeviceStatusMaxConditions))
	}
	errs = append(errs, metavalidation.ValidateConditions(d.Conditions, path.Child("conditions"))...)
	if d.Data != nil && len(d.Data.Raw) > 0 {
		errs = append(errs, raw(*d.Data, false, resourcev1.AllocatedDeviceStatusDataMaxLength, path.Child("data"))...)
	}
	return append(errs, networkData(d.NetworkData, path.Child("networkData"))...)
}

func networkData(n *resourcev1.NetworkDeviceData, path *field.Path) field.ErrorList {
	if n == nil {
		return nil
	}
	var errs field.ErrorList
	long := func(name, value string, most int) {
		if len(value) > most {
			errs = append(errs, field.TooLong(path.Child(name), "", most).WithOrigin("maxBytes").MarkCoveredByDeclarative())
		}
	}
	long("interfaceName", n.InterfaceName, resourcev1.NetworkDeviceDataInterfaceNameMaxLength)
	long("hardwareAddress", n.HardwareAddress, resourcev1.NetworkDeviceDataHardwareAddressMaxLength)
	return append(errs, set(n.IPs, resourcev1.NetworkDeviceDataMaxIPs, func(ip *string, at *field.Path) field.ErrorList {
		return validation.IsValidInterfaceAddress(at, *ip)
	}, itself, path.Child("ips"), covers{size: true, unique: true})...)
}

// bindingConditions checks the conditions that a device waits for before its pod is bound, and those that say that it waits in vain.
func bindingConditions(good, bad []string, path *field.Path) field.ErrorList {
	label := func(s *string, at *field.Path) field.ErrorList { return metavalidation.ValidateLabelName(*s, at) }
	goodPath, badPath := path.Child("bindingConditions"), path.Child("bindingFailureConditions")
	errs := items(good, resourcev1.BindingConditionsMaxSize, label, goodPath, covers{size: true})
	errs = append(errs, items(bad, resourcev1.BindingFailureConditionsMaxSize, label, badPath, covers{size: true})...)
	for i, c := range good {
		if slices.Contains(good[:i], c) {
			errs = append(errs, field.Duplicate(goodPath.Index(i), c))
		}
	}
	for i, c := range bad {
		if slices.Contains(bad[:i], c) {
			errs = append(errs, field.Duplicate(badPath.Index(i), c))
		}
		if slices.Contains(good, c) {
			errs = append(errs, field.Invalid(badPath.Index(i), c, "bindingFailureConditions must not overlap with bindingConditions"))
		}
	}
	if len(good) == 0 && len(bad) > 0 {
		errs = append(errs, field.Invalid(goodPath, good, "bindingConditions are required to use bindingFailureConditions"))
	}
	if len(bad) == 0 && len(good) > 0 {
		errs = append(errs, field.Invalid(badPath, bad, "bindingFailureConditions are required to use bindingConditions"))
	}
	return errs
}
