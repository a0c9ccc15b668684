package resource

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api/valid"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func claimErrors(c *claim) field.ErrorList {
	errs := append(valid.KubeFinalizers(c), deviceClaim(&c.Spec.Devices, field.NewPath("spec", "devices"))...)
	return valid.Declared(errs, valid.Changed(resourcev1.Validate_ResourceClaimSpec, &c.Spec, nil, nil, field.NewPath("spec")))
}

// claimChange: a spec never changes, so that nothing else need be said of it.
func claimChange(c, old *claim) field.ErrorList {
	errs := append(valid.KubeFinalizers(c), valid.KubeFinalizers(c)...)
	if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
		errs = append(errs, valid.DeclaredImmutable(field.NewPath("spec")))
	}
	return errs
}

// requestNames are the requests of a claim with the alternatives of each.
type requestNames map[string][]string

func namesOf(c *resourcev1.DeviceClaim) requestNames {
	out := requestNames{}
	for _, r := range c.Requests {
		var subs []string
		for _, s := range r.FirstAvailable {
			subs = append(subs, s.Name)
		}
		out[r.Name] = subs
	}
	return out
}

// ref checks the name of a request, or of one of its alternatives: "request" or "request/alternative".
func (names requestNames) ref(name *string, path *field.Path) field.ErrorList {
	const detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
	parts := strings.Split(*name, "/")
	if len(parts) > 2 {
		return valid.Invalid(path, *name, detail)
	}
	var errs field.ErrorList
	for _, part := range parts {
		errs = append(errs, valid.DNSLabel(part, path)...)
	}
	subs, ok := names[parts[0]]
	if !ok || len(parts) == 2 && !slices.Contains(subs, parts[1]) {
		errs = append(errs, field.Invalid(path, *name, detail))
	}
	return errs
}

func (names requestNames) refs(list []string, path *field.Path) field.ErrorList {
	return set(list, resourcev1.DeviceRequestsMaxSize, names.ref, itself, path, covers{size: true, unique: true})
}

func deviceClaim(c *resourcev1.DeviceClaim, path *field.Path) field.ErrorList {
	names := namesOf(c)
	errs := set(c.Requests, resourcev1.DeviceRequestsMaxSize, request, func(r *resourcev1.DeviceRequest) string { return r.Name }, path.Child("requests"), covers{size: true, unique: true})
	errs = append(errs, items(c.Constraints, resourcev1.DeviceConstraintsMaxSize, func(d *resourcev1.DeviceConstraint, at *field.Path) field.ErrorList {
		return constraint(d, names, at)
	}, path.Child("constraints"), covers{size: true})...)
	return append(errs, items(c.Config, resourcev1.DeviceConfigMaxSize, func(d *resourcev1.DeviceClaimConfiguration, at *field.Path) field.ErrorList {
		return append(names.refs(d.Requests, at.Child("requests")), configuration(&d.DeviceConfiguration, false, at)...)
	}, path.Child("config"), covers{size: true})...)
}

func request(r *resourcev1.DeviceRequest, path *field.Path) field.ErrorList {
	errs := valid.DNSLabel(r.Name, path.Child("name"))
	switch first := len(r.FirstAvailable) > 0; {
	case first && r.Exactly != nil:
		return append(errs, field.Invalid(path, nil, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"))
	case first:
		return append(errs, set(r.FirstAvailable, resourcev1.FirstAvailableDeviceRequestMaxSize, subRequest,
			func(s *resourcev1.DeviceSubRequest) string { return s.Name }, path.Child("firstAvailable"), covers{size: true, unique: true})...)
	case r.Exactly != nil:
		e, at := r.Exactly, path.Child("exactly")
		errs = append(errs, className(e.DeviceClassName, at.Child("deviceClassName"))...)
		return append(errs, wanted(e.Selectors, e.AllocationMode, e.Count, e.Tolerations, at)...)
	}
	return append(errs, field.Required(path, "exactly one of `exactly` or `firstAvailable` is required"))
}

func subRequest(s *resourcev1.DeviceSubRequest, path *field.Path) field.ErrorList {
	errs := valid.DNSLabel(s.Name, path.Child("name"))
	errs = append(errs, className(s.DeviceClassName, path.Child("deviceClassName")).MarkCoveredByDeclarative()...)
	return append(errs, wanted(s.Selectors, s.AllocationMode, s.Count, s.Tolerations, path)...)
}

func className(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return valid.Required(path, "")
	}
	return valid.DNSSubdomain(name, path)
}

// wanted checks what requests and alternatives have in common.
func wanted(selectors []resourcev1.DeviceSelector, mode resourcev1.DeviceAllocationMode, count int64, tolerations []resourcev1.DeviceToleration, path *field.Path) field.ErrorList {
	errs := items(selectors, resourcev1.DeviceSelectorsMaxSize, func(s *resourcev1.DeviceSelector, at *field.Path) field.ErrorList {
		return selector(s, false, at)
	}, path.Child("selectors"), covers{size: true})
	switch mode {
	case resourcev1.DeviceAllocationModeAll:
		if count != 0 {
			errs = append(errs, field.Invalid(path.Child("count"), count, "must not be specified when allocationMode is 'All'"))
		}
	case resourcev1.DeviceAllocationModeExactCount:
		if count <= 0 {
			errs = append(errs, field.Invalid(path.Child("count"), count, "must be greater than zero"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("allocationMode"), mode,
			[]resourcev1.DeviceAllocationMode{resourcev1.DeviceAllocationModeAll, resourcev1.DeviceAllocationModeExactCount}).MarkCoveredByDeclarative())
	}
	return append(errs, items(tolerations, -1, toleration, path.Child("tolerations"), covers{})...)
}

func constraint(c *resourcev1.DeviceConstraint, names requestNames, path *field.Path) field.ErrorList {
	errs := names.refs(c.Requests, path.Child("requests"))
	switch {
	case c.MatchAttribute != nil:
		return append(errs, fullName(*c.MatchAttribute, path.Child("matchAttribute")).MarkCoveredByDeclarative()...)
	case c.DistinctAttribute != nil:
		return append(errs, fullName(*c.DistinctAttribute, path.Child("distinctAttribute")).MarkCoveredByDeclarative()...)
	}
	return append(errs, field.Required(path, `exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set`))
}

// configuration checks parameters for a driver; what was stored may be longer than what is new.
func configuration(c *resourcev1.DeviceConfiguration, stored bool, path *field.Path) field.ErrorList {
	if c.Opaque == nil {
		return valid.Required(path.Child("opaque"), "")
	}
	at := path.Child("opaque")
	return append(valid.CoveredDriverName(c.Opaque.Driver, at.Child("driver")), raw(c.Opaque.Parameters, stored, resourcev1.OpaqueParametersMaxLength, at.Child("parameters"))...)
}

func raw(r runtime.RawExtension, stored bool, longest int, path *field.Path) field.ErrorList {
	if len(r.Raw) == 0 {
		return valid.Required(path, "")
	}
	if !stored && len(r.Raw) > longest {
		return field.ErrorList{field.TooLong(path, "", longest)}
	}
	var v any
	if err := json.Unmarshal(r.Raw, &v); err != nil {
		return valid.Invalid(path, "<value omitted>", fmt.Sprintf("error parsing data as JSON: %v", err.Error()))
	}
	if v == nil {
		return valid.Required(path, "")
	}
	if _, ok := v.(map[string]any); !ok {
		return valid.Invalid(path, "<value omitted>", "must be a valid JSON object")
	}
	return nil
}

func taintEffects() []resourcev1.DeviceTaintEffect {
	return []resourcev1.DeviceTaintEffect{resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule, resourcev1.DeviceTaintEffectNone}
}

func toleration(t *resourcev1.DeviceToleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key != "" {
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, path.Child("key")).MarkCoveredByDeclarative()...)
	}
	switch t.Operator {
	case resourcev1.DeviceTolerationOpExists:
		if t.Value != "" {
			errs = append(errs, field.Invalid(path.Child("value"), t.Value, "must be empty for operator `Exists`"))
		}
	case resourcev1.DeviceTolerationOpEqual:
		errs = append(errs, valid.LabelValue(t.Value, path.Child("value"))...)
	case "":
		errs = append(errs, field.Required(path.Child("operator"), "").MarkCoveredByDeclarative())
	default:
		errs = append(errs, field.NotSupported(path.Child("operator"), t.Operator,
			[]resourcev1.DeviceTolerationOperator{resourcev1.DeviceTolerationOpEqual, resourcev1.DeviceTolerationOpExists}).MarkCoveredByDeclarative())
	}
	if t.Effect != "" && !slices.Contains(taintEffects(), t.Effect) {
		errs = append(errs, field.NotSupported(path.Child("effect"), t.Effect, taintEffects()).MarkCoveredByDeclarative())
	}
	return errs
}
