package resource

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api/valid"
	"sampan.dev/internal/pattern"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// sliceErrors checks a slice; old is nil for a new one.
func sliceErrors(s, old *slice) field.ErrorList {
	var was *resourcev1.ResourceSliceSpec
	if old != nil {
		was = &old.Spec
	}
	errs := append(valid.KubeFinalizers(s), sliceSpec(&s.Spec, was, field.NewPath("spec"))...)
	off := map[string]bool{"DRAPartitionableDevicesType": false}
	return valid.Declared(errs, valid.Changed(resourcev1.Validate_ResourceSliceSpec, &s.Spec, was, off, field.NewPath("spec")))
}

func sliceSpec(s, old *resourcev1.ResourceSliceSpec, path *field.Path) field.ErrorList {
	errs := valid.DriverName(s.Driver, path.Child("driver"))
	errs = append(errs, pool(&s.Pool, path.Child("pool"))...)
	if old != nil {
		errs = append(errs, valid.Immutable(s.Pool.Name, old.Pool.Name, path.Child("pool", "name"))...)
		errs = append(errs, valid.Immutable(s.Driver, old.Driver, path.Child("driver"))...)
		errs = append(errs, valid.Immutable(s.NodeName, old.NodeName, path.Child("nodeName"))...)
	}
	errs = append(errs, whereSlice(s, path)...)
	if s.SharedCounters != nil && s.Devices != nil {
		errs = append(errs, field.Invalid(path, "", "only one of `sharedCounters` or `devices` is allowed"))
	}
	errs = append(errs, set(s.Devices, mostDevices(s), func(d *resourcev1.Device, at *field.Path) field.ErrorList {
		return deviceErrors(d, deviceNamed(old, d.Name), s.PerDeviceNodeSelection, at)
	}, func(d *resourcev1.Device) string { return d.Name }, path.Child("devices"), covers{})...)
	return append(errs, set(s.SharedCounters, resourcev1.ResourceSliceMaxCounterSets, counterSet, func(c *resourcev1.CounterSet) string { return c.Name },
		path.Child("sharedCounters"), covers{size: true, unique: true})...)
}

func pool(p *resourcev1.ResourcePool, path *field.Path) field.ErrorList {
	errs := poolName(p.Name, path.Child("name"))
	if p.ResourceSliceCount <= 0 {
		errs = append(errs, field.Invalid(path.Child("resourceSliceCount"), p.ResourceSliceCount, "must be greater than zero"))
	}
	if p.Generation < 0 {
		errs = append(errs, field.Invalid(path.Child("generation"), p.Generation, "must be greater than or equal to zero"))
	}
	return errs
}

// whereSlice checks that a slice says in one way which nodes can reach its devices.
func whereSlice(s *resourcev1.ResourceSliceSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	var ways []string
	way := func(name string, ok bool, value any, detail string) {
		if ok {
			ways = append(ways, "`"+name+"`")
		} else {
			errs = append(errs, field.Invalid(path.Child(name), value, detail))
		}
	}
	if n := s.NodeName; n != nil {
		way("nodeName", *n != "", *n, "must be either unset or set to a non-empty string")
		if *n != "" {
			errs = append(errs, valid.NodeName(*n, path.Child("nodeName"))...)
		}
	}
	if n := s.NodeSelector; n != nil {
		way("nodeSelector", true, nil, "")
		errs = append(errs, valid.NodeSelector(n, path.Child("nodeSelector"))...)
		if len(n.NodeSelectorTerms) != 1 {
			errs = append(errs, field.Invalid(path.Child("nodeSelector", "nodeSelectorTerms"), valid.Internal(n.NodeSelectorTerms), "must have exactly one node selector term"))
		}
	}
	if a := s.AllNodes; a != nil {
		way("allNodes", *a, *a, "must be either unset or set to true")
	}
	if p := s.PerDeviceNodeSelection; p != nil {
		way("perDeviceNodeSelection", *p, *p, "must be either unset or set to true")
	}
	const one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
	switch len(ways) {
	case 0:
		errs = append(errs, field.Required(path, one))
	case 1:
	default:
		errs = append(errs, field.Invalid(path, fmt.Sprintf("{%s}", strings.Join(ways, ", ")), one+", but multiple fields are set"))
	}
	return errs
}

// mostDevices is how many devices may be in a slice: fewer where they say more of themselves.
func mostDevices(s *resourcev1.ResourceSliceSpec) int {
	for i := range s.Devices {
		if len(s.Devices[i].Taints) > 0 || len(s.Devices[i].ConsumesCounters) > 0 {
			return resourcev1.ResourceSliceMaxDevicesWithAdvancedFeatures
		}
	}
	return resourcev1.ResourceSliceMaxDevices
}

func deviceNamed(s *resourcev1.ResourceSliceSpec, name string) *resourcev1.Device {
	if s == nil {
		return nil
	}
	for i := range s.Devices {
		if s.Devices[i].Name == name {
			return &s.Devices[i]
		}
	}
	return nil
}

func counterSet(c *resourcev1.CounterSet, path *field.Path) field.ErrorList {
	errs := label(c.Name, path.Child("name")).MarkCoveredByDeclarative()
	return append(errs, counters(c.Counters, resourcev1.ResourceSliceMaxCountersPerCounterSet, path.Child("counters"))...)
}

func consumption(c *resourcev1.DeviceCounterConsumption, path *field.Path) field.ErrorList {
	errs := label(c.CounterSet, path.Child("counterSet")).MarkCoveredByDeclarative()
	return append(errs, counters(c.Counters, resourcev1.ResourceSliceMaxCountersPerDeviceCounterConsumption, path.Child("counters"))...)
}

// label checks a DNS label that must be there.
func label(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return valid.Required(path, "")
	}
	return valid.DNSLabel(name, path)
}

func counters(m map[string]resourcev1.Counter, most int, path *field.Path) field.ErrorList {
	if len(m) == 0 {
		return field.ErrorList{field.Required(path, "").MarkCoveredByDeclarative()}
	}
	any := func(resourcev1.Counter, *field.Path) field.ErrorList { return nil }
	return entries(m, most, validation.DNS1123LabelMaxLength, valid.DNSLabel, any, path, covers{keys: true})
}

// deviceErrors checks a device; old is the one of its name before, nil for a new one.
func deviceErrors(d, old *resourcev1.Device, each *bool, path *field.Path) field.ErrorList {
	errs := valid.DNSLabel(d.Name, path.Child("name"))
	if n := len(d.Attributes) + len(d.Capacity); n > resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice {
		errs = append(errs, field.Invalid(path, n, fmt.Sprintf("the total number of attributes and capacities must not exceed %d", resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice)))
	}
	if n := len(d.Attributes); n > resourcev1.ResourceSliceMaxAttributeValuesPerDevice {
		errs = append(errs, field.Invalid(path, n, fmt.Sprintf("the total number of attribute values must not exceed %d", resourcev1.ResourceSliceMaxAttributeValuesPerDevice)))
	}
	errs = append(errs, entries(d.Attributes, -1, longestKey, qualifiedName, attribute, path.Child("attributes"), covers{})...)
	if old == nil || !equality.Semantic.DeepEqual(old.Capacity, d.Capacity) {
		check := singleCapacity
		if d.AllowMultipleAllocations != nil && *d.AllowMultipleAllocations {
			check = sharedCapacity
		}
		errs = append(errs, entries(d.Capacity, -1, longestKey, qualifiedName, check, path.Child("capacity"), covers{})...)
	}
	if old == nil || !equality.Semantic.DeepEqual(old.Taints, d.Taints) {
		errs = append(errs, items(d.Taints, resourcev1.DeviceTaintsMaxLength, func(t *resourcev1.DeviceTaint, at *field.Path) field.ErrorList {
			return taint(t, nil, at)
		}, path.Child("taints"), covers{})...)
	}
	errs = append(errs, set(d.ConsumesCounters, resourcev1.ResourceSliceMaxDeviceCounterConsumptionsPerDevice, consumption,
		func(c *resourcev1.DeviceCounterConsumption) string { return c.CounterSet }, path.Child("consumesCounters"), covers{size: true, unique: true})...)
	errs = append(errs, whereDevice(d, each != nil && *each, path)...)
	return append(errs, bindingConditions(d.BindingConditions, d.BindingFailureConditions, path)...)
}

// whereDevice checks which nodes can reach a device: each device says it, or none does.
func whereDevice(d *resourcev1.Device, each bool, path *field.Path) field.ErrorList {
	if !each {
		if d.NodeName != nil || d.NodeSelector != nil || d.AllNodes != nil {
			return valid.Invalid(path, nil, "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec")
		}
		return nil
	}
	var errs field.ErrorList
	var ways []string
	if n := d.NodeName; n != nil && *n == "" {
		errs = append(errs, field.Invalid(path.Child("nodeName"), *n, "must not be empty"))
	} else if n != nil {
		ways = append(ways, "`nodeName`")
		errs = append(errs, valid.NodeName(*n, path.Child("nodeName"))...)
	}
	if n := d.NodeSelector; n != nil {
		ways = append(ways, "`nodeSelector`")
		errs = append(errs, valid.NodeSelector(n, path.Child("nodeSelector"))...)
	}
	if a := d.AllNodes; a != nil && *a {
		ways = append(ways, "`allNodes`")
	} else if a != nil {
		errs = append(errs, field.Invalid(path.Child("allNodes"), *a, "must be either unset or set to true"))
	}
	const one = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
	switch len(ways) {
	case 0:
		errs = append(errs, field.Required(path, one))
	case 1:
	default:
		errs = append(errs, field.Invalid(path, fmt.Sprintf("{%s}", strings.Join(ways, ", ")), one))
	}
	return errs
}

// version is the form of semver.org 2.0.0.
var version = pattern.New(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)

func attribute(a resourcev1.DeviceAttribute, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	if a.BoolValue != nil {
		n++
	}
	if a.IntValue != nil {
		n++
	}
	if a.StringValue != nil {
		n++
		errs = append(errs, short(*a.StringValue, path.Child("string"))...)
	}
	if a.VersionValue != nil {
		n++
		if !version.MatchString(*a.VersionValue) {
			errs = append(errs, field.Invalid(path.Child("version"), *a.VersionValue, "must be a string compatible with semver.org spec 2.0.0"))
		}
		errs = append(errs, short(*a.VersionValue, path.Child("version"))...)
	}
	const one = "exactly one value must be specified"
	switch {
	case n == 0:
		errs = append(errs, field.Invalid(path, "", one).WithOrigin("union").MarkCoveredByDeclarative())
	case n > 1:
		errs = append(errs, field.Invalid(path, valid.Internal(a), one).WithOrigin("union").MarkCoveredByDeclarative())
	}
	return errs
}

func short(value string, path *field.Path) field.ErrorList {
	if len(value) > resourcev1.DeviceAttributeMaxValueLength {
		return field.ErrorList{field.TooLong(path, "", resourcev1.DeviceAttributeMaxValueLength)}
	}
	return nil
}
