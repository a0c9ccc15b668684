package valid

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/api/validate"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const longestDriverName = 63

// DriverName checks the name of a driver of volumes or devices: a DNS name of any letter case, 63 bytes at most.
func DriverName(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return Required(path, "")
	}
	var errs field.ErrorList
	if len(name) > longestDriverName {
		errs = append(errs, field.TooLong(path, "", longestDriverName))
	}
	return append(errs, messages(path, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))...)
}

// CoveredDriverName is DriverName where upstream has generated rules for the same.
func CoveredDriverName(name string, path *field.Path) field.ErrorList {
	errs := DriverName(name, path)
	for _, e := range errs {
		switch e.Type {
		case field.ErrorTypeTooLong:
			e.WithOrigin("maxLength")
		case field.ErrorTypeInvalid:
			e.WithOrigin("format=k8s-long-name-caseless")
		}
	}
	return errs.MarkCoveredByDeclarative()
}

// DeclaredDriverName is what the generated rules say of a driver's name, whose words differ.
func DeclaredDriverName(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return Required(path, "")
	}
	errs := validate.LongNameCaseless(context.Background(), operation.Operation{}, path, &name, nil)
	return append(errs, validate.MaxLength(context.Background(), operation.Operation{}, path, &name, nil, longestDriverName)...)
}
