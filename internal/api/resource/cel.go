package resource

import (
	"errors"
	"fmt"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	dracel "k8s.io/dynamic-resource-allocation/cel"
)

// selector checks a condition on devices. One that was stored was valid then, and is not compiled again.
func selector(s *resourcev1.DeviceSelector, stored bool, path *field.Path) field.ErrorList {
	if s.CEL == nil {
		return field.ErrorList{field.Required(path.Child("cel"), "")}
	}
	if stored {
		return nil
	}
	return expression(s.CEL.Expression, path.Child("cel", "expression"))
}

func expression(text string, path *field.Path) field.ErrorList {
	if len(text) > resourcev1.CELSelectorExpressionMaxLength {
		return field.ErrorList{field.TooLong(path, "", resourcev1.CELSelectorExpressionMaxLength)}
	}
	env := environment.NewExpressions
	result := dracel.GetCompiler(dracel.Features{EnableConsumableCapacity: true}).CompileCELExpression(text, dracel.Options{EnvType: &env})
	switch {
	case result.Error != nil:
		return field.ErrorList{celError(path, text, result.Error)}
	case result.MaxCost > resourcev1.CELSelectorExpressionMaxCost:
		return field.ErrorList{field.Forbidden(path, "too complex, exceeds cost limit")}
	}
	return nil
}

func celError(path *field.Path, text string, err error) *field.Error {
	var e *cel.Error
	if !errors.As(err, &e) {
		return field.InternalError(path, fmt.Errorf("unsupported error type: %w", err))
	}
	switch e.Type {
	case cel.ErrorTypeRequired:
		return field.Required(path, e.Detail)
	case cel.ErrorTypeInvalid:
		return field.Invalid(path, text, e.Detail)
	}
	return field.InternalError(path, e)
}
