package valid

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/api/validate"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Declared puts the errors of rules that upstream generates from marks in its types behind those of rules that people wrote, as
// upstream's server answers them: a hand-written error that a generated one repeats is left out (MarkCoveredByDeclarative says
// that it may be), and what a generated rule says on trial is not said at all.
func Declared(written, declared field.ErrorList, same ...field.NormalizationRule) field.ErrorList {
	if len(declared) == 0 {
		return written
	}
	told := validate.FilterEnforcedDeclarativeErrors(context.Background(), declared, true)
	return append(validate.FilterCoveredHandwrittenErrors(context.Background(), written, told, true, same...), told...)
}

// Rule is one of the rules that upstream generates, for all that is below one field: old is nil for a new object.
type Rule[T any] func(ctx context.Context, op operation.Operation, path *field.Path, obj, old *T) field.ErrorList

// Changed applies a generated rule to a field, unless an update leaves the field as it was. options are the features that the rule
// asks for, by name.
func Changed[T any](rule Rule[T], obj, old *T, options map[string]bool, path *field.Path) field.ErrorList {
	op := operation.Operation{Type: operation.Create, Options: options}
	if old != nil {
		if equality.Semantic.DeepEqual(obj, old) {
			return nil
		}
		op.Type = operation.Update
	}
	return rule(context.Background(), op, path, obj, old)
}

// DeclaredImmutable is what a generated rule says of a field that an update has changed. An error of Immutable that it covers says the
// same and shows the value.
func DeclaredImmutable(path *field.Path) *field.Error {
	return field.Invalid(path, nil, "field is immutable").WithOrigin("immutable").MarkBeta()
}
