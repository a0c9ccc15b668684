package resource

import (
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type taintRule = resourcev1.DeviceTaintRule

// TaintRules is the kind DeviceTaintRule: a taint that somebody else than their driver puts on devices.
func TaintRules() *api.Kind {
	return &api.Kind{
		Group: resourcev1.GroupName, Version: "v1", Kind: "DeviceTaintRule", Resource: "devicetaintrules", Singular: "devicetaintrule",
		New:     func() api.Object { return &taintRule{} },
		NewList: func() runtime.Object { return &resourcev1.DeviceTaintRuleList{} },

		Default: api.On(func(r *taintRule) { defaultTaint(&r.Spec.Taint) }),
		PrepareCreate: api.On(func(r *taintRule) {
			r.Status = resourcev1.DeviceTaintRuleStatus{}
			r.Generation = 1
		}),
		PrepareUpdate:  api.OnChange(prepareTaintRule),
		Validate:       api.Check(func(r *taintRule) field.ErrorList { return taintRuleErrors(r, nil) }),
		ValidateUpdate: api.CheckChange(taintRuleErrors),
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"}, ResetFields: []string{"metadata", "spec"},
			PrepareUpdate: api.OnChange(func(r, old *taintRule) {
				r.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(r, old)
			}),
			ValidateUpdate: api.CheckChange(taintRuleStatus),
		}},
		Columns: taintColumns(),
		Row: api.Cells(func(r *taintRule) []any {
			t := &r.Spec.Taint
			var since any = ""
			if t.TimeAdded != nil {
				since = *t.TimeAdded
			}
			return []any{r.Name, t.Key, t.Value, string(t.Effect), since, r.CreationTimestamp}
		}),
	}
}

func defaultTaint(t *resourcev1.DeviceTaint) {
	if t.TimeAdded == nil {
		t.TimeAdded = now()
	}
}

func now() *metav1.Time { return &metav1.Time{Time: time.Now().Truncate(time.Second)} }

// prepareTaintRule stamps a new effect, unless the client did: for so long have pods to bear it.
func prepareTaintRule(r, old *taintRule) {
	r.Status = old.Status
	is, was := &r.Spec.Taint, &old.Spec.Taint
	if is.Effect != was.Effect && is.TimeAdded.Equal(was.TimeAdded) {
		is.TimeAdded = now()
	}
	if !equality.Semantic.DeepEqual(r.Spec, old.Spec) {
		r.Generation = old.Generation + 1
	}
}

// taintRuleErrors checks a rule; old is nil for a new one.
func taintRuleErrors(r, old *taintRule) field.ErrorList {
	errs, path := valid.KubeFinalizers(r), field.NewPath("spec")
	if s := r.Spec.DeviceSelector; s != nil {
		at := path.Child("deviceSelector")
		if s.Driver != nil {
			errs = append(errs, valid.DriverName(*s.Driver, at.Child("driver"))...)
		}
		if s.Pool != nil {
			errs = append(errs, poolName(*s.Pool, at.Child("pool"))...)
		}
		if s.Device != nil {
			errs = append(errs, valid.DNSLabel(*s.Device, at.Child("device"))...)
		}
	}
	var was *resourcev1.DeviceTaintRuleSpec
	var wasTaint *resourcev1.DeviceTaint
	if old != nil {
		was, wasTaint = &old.Spec, &old.Spec.Taint
	}
	errs = append(errs, taint(&r.Spec.Taint, wasTaint, path.Child("taint"))...)
	return valid.Declared(errs, valid.Changed(resourcev1.Validate_DeviceTaintRuleSpec, &r.Spec, was, nil, path))
}

// taint checks the taint of a device; an effect that was there before is let be.
func taint(t, was *resourcev1.DeviceTaint, path *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabelName(t.Key, path.Child("key"))
	if t.Value != "" {
		errs = append(errs, valid.LabelValue(t.Value, path.Child("value"))...)
	}
	switch {
	case was != nil && was.Effect == t.Effect || slices.Contains(taintEffects(), t.Effect):
	case t.Effect == "":
		errs = append(errs, field.Required(path.Child("effect"), "").MarkCoveredByDeclarative())
	default:
		errs = append(errs, field.NotSupported(path.Child("effect"), t.Effect, taintEffects()).MarkCoveredByDeclarative())
	}
	return errs
}

func taintRuleStatus(r, old *taintRule) field.ErrorList {
	path := field.NewPath("status", "conditions")
	errs := append(valid.KubeFinalizers(r), metavalidation.ValidateConditions(r.Status.Conditions, path)...)
	if n := len(r.Status.Conditions); n > resourcev1.DeviceTaintRuleStatusMaxConditions {
		errs = append(errs, field.TooMany(path, n, resourcev1.DeviceTaintRuleStatusMaxConditions))
	}
	return valid.Declared(errs, valid.Changed(resourcev1.Validate_DeviceTaintRuleStatus, &r.Status, &old.Status, nil, field.NewPath("status")))
}

func taintColumns() []metav1.TableColumnDefinition {
	doc := resourcev1.DeviceTaint{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Key", "string", doc["key"]),
		api.Column("Value", "string", doc["value"]),
		api.Column("Effect", "string", doc["effect"]),
		api.Column("TimeAdded", "string", doc["timeAdded"]),
		api.AgeColumn(),
	}
}
