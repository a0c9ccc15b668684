package schema

import (
	"context"
	"fmt"
	"strings"

	structuralcel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/warning"
)

// Validate checks a new object. ObjectMeta's generic rules are the caller's to check; metaErrs are what was wrong with it, which
// are not returned again, but keep rules in CEL from being evaluated when they are of a kind that does.
func (s *Schema) Validate(ctx context.Context, obj map[string]any, metaErrs field.ErrorList) field.ErrorList {
	r, err := s.checks()
	if err != nil {
		return internalError(err)
	}
	if errs := r.typeMeta(obj); len(errs) > 0 {
		return errs
	}
	errs := validation.ValidateCustomResource(nil, obj, r.whole)
	errs = append(errs, scaleSpec(obj, r.scale)...)
	errs = append(errs, scaleStatus(obj, r.scale)...)
	errs = append(errs, objectmeta.Validate(ctx, nil, obj, r.of.root, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, r.of.root, obj)...)
	return append(errs, r.evaluate(ctx, obj, nil, metaErrs, errs)...)
}

// ValidateUpdate checks the change of an object from old to obj. What was wrong with a part before and was not changed is passed
// over (ratcheting); what a rule in CEL says of it becomes a warning (WithWarnings).
func (s *Schema) ValidateUpdate(ctx context.Context, obj, old map[string]any, metaErrs field.ErrorList) field.ErrorList {
	r, err := s.checks()
	if err != nil {
		return internalError(err)
	}
	if errs := r.typeMeta(obj); len(errs) > 0 {
		return errs
	}
	both := r.correlate(obj, old)
	errs := validation.ValidateCustomResourceUpdate(nil, obj, old, r.whole, validation.WithRatcheting(both))
	errs = append(errs, scaleSpec(obj, r.scale)...)
	errs = append(errs, scaleStatus(obj, r.scale)...)
	errs = append(errs, objectmeta.Validate(ctx, nil, obj, r.of.root, false)...)
	errs = append(errs, r.lists(obj, old)...)
	return append(errs, r.evaluate(ctx, obj, old, metaErrs, errs, structuralcel.WithRatcheting(both))...)
}

// ValidateStatus checks the change of an object's status.
func (s *Schema) ValidateStatus(ctx context.Context, obj, old map[string]any, metaErrs field.ErrorList) field.ErrorList {
	r, err := s.checks()
	if err != nil {
		return internalError(err)
	}
	if errs := r.typeMeta(obj); len(errs) > 0 {
		return errs
	}
	both := r.correlate(obj, old)
	var errs field.ErrorList
	if status, ok := obj["status"]; ok && r.status != nil {
		var options []validation.ValidationOption
		if r.of.root != nil {
			options = append(options, validation.WithRatcheting(both.Key("status")))
		}
		errs = validation.ValidateCustomResourceUpdate(field.NewPath("status"), status, old["status"], r.status, options...)
	}
	errs = append(errs, scaleStatus(obj, r.scale)...)
	errs = append(errs, r.lists(obj, old)...)
	return append(errs, r.evaluate(ctx, obj, old, metaErrs, errs, structuralcel.WithRatcheting(both))...)
}

// typeMeta checks that the object is of the schema's kind and version. Whatever else it says is not looked at otherwise.
func (r *rules) typeMeta(obj map[string]any) field.ErrorList {
	var errs field.ErrorList
	if kind, _ := obj["kind"].(string); kind != r.of.kind {
		errs = append(errs, field.Invalid(field.NewPath("kind"), kind, "must be "+r.of.kind))
	}
	if v, _ := obj["apiVersion"].(string); v != r.apiVersion {
		errs = append(errs, field.Invalid(field.NewPath("apiVersion"), v, "must be "+r.apiVersion))
	}
	return errs
}

// correlate finds for each part of obj the part of old that it was.
func (r *rules) correlate(obj, old map[string]any) *common.CorrelatedObject {
	return common.NewCorrelatedObject(obj, old, &model.Structural{Structural: r.of.root})
}

// lists checks that what are sets and maps has nothing twice, unless the old object had.
func (r *rules) lists(obj, old map[string]any) field.ErrorList {
	errs := listtype.ValidateListSetsAndMaps(nil, r.of.root, obj)
	if len(errs) > 0 && len(listtype.ValidateListSetsAndMaps(nil, r.of.root, old)) > 0 {
		return nil
	}
	return errs
}

// evaluate runs the rules in CEL, unless the object has errors that would make them fail as well.
func (r *rules) evaluate(ctx context.Context, obj, old map[string]any, metaErrs, errs field.ErrorList, options ...structuralcel.Option) field.ErrorList {
	if r.cel == nil {
		return nil
	}
	if blocks(metaErrs) || blocks(errs) {
		return field.ErrorList{field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation")}
	}
	var was any // a nil map in an interface is not nil
	if old != nil {
		was = old
	}
	out, _ := r.cel.Validate(ctx, nil, r.of.root, obj, was, celconfig.RuntimeCELCostBudget, options...)
	return out
}

// blocks reports whether an error is of a kind with which rules are not evaluated.
func blocks(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}

// WithWarnings returns a context in which warn is told the warnings that rules have.
func WithWarnings(ctx context.Context, warn func(text string)) context.Context {
	return warning.WithWarningRecorder(ctx, recorder(warn))
}

type recorder func(text string)

// AddWarning implements warning.Recorder. The agent of a warning is always the server itself.
func (r recorder) AddWarning(_, text string) { r(text) }

func internalError(err error) field.ErrorList {
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("%w", err))}
}

// pathOf splits the simple JSON path of a scale subresource (".spec.replicas").
func pathOf(jsonPath string) []string {
	return strings.Split(strings.TrimPrefix(jsonPath, "."), ".")
}
