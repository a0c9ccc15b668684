package valid

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const notPositive = "must be greater than zero"

// NonNegative checks value >= 0.
func NonNegative(value int64, path *field.Path) field.ErrorList {
	return apivalidation.ValidateNonnegativeField(value, path)
}

// Positive checks value > 0.
func Positive(value int64, path *field.Path) field.ErrorList {
	if value <= 0 {
		return field.ErrorList{field.Invalid(path, value, notPositive)}
	}
	return nil
}

// Immutable checks that an update leaves a value as it was.
func Immutable(value, old any, path *field.Path) field.ErrorList {
	return apivalidation.ValidateImmutableField(value, old, path)
}

// OneOf checks that value is one of the allowed ones. The error lists them in order of the alphabet.
func OneOf[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, sorted(allowed))}
}

// RequiredOneOf is OneOf, but says of an empty value that it is required.
func RequiredOneOf[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	if value == "" {
		return Required(path, "")
	}
	return OneOf(value, path, allowed...)
}

// Required is a list of one Required error.
func Required(path *field.Path, detail string) field.ErrorList {
	return field.ErrorList{field.Required(path, detail)}
}

// Forbidden is a list of one Forbidden error.
func Forbidden(path *field.Path, detail string) field.ErrorList {
	return field.ErrorList{field.Forbidden(path, detail)}
}

// Invalid is a list of one Invalid error.
func Invalid(path *field.Path, value any, detail string) field.ErrorList {
	return field.ErrorList{field.Invalid(path, value, detail)}
}

func sorted[T ~string](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// Port checks the number of a port.
func Port(port int32, path *field.Path) field.ErrorList {
	return messages(path, port, validation.IsValidPortNum(int(port)))
}

// PortOrName checks a port given by number or by the name of a container port.
func PortOrName(port intstr.IntOrString, path *field.Path) field.ErrorList {
	switch port.Type {
	case intstr.Int:
		return messages(path, port.IntValue(), validation.IsValidPortNum(port.IntValue()))
	case intstr.String:
		return messages(path, port.StrVal, validation.IsValidPortName(port.StrVal))
	}
	return field.ErrorList{field.InternalError(path, fmt.Errorf("unknown type: %v", port.Type))}
}

// Protocols are the transport protocols that ports may have.
func Protocols() []corev1.Protocol {
	return []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}
}

// RequiredInOrder is RequiredOneOf, but lists the allowed values in the order given, as some of upstream's rules do.
func RequiredInOrder[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	if value == "" {
		return Required(path, "")
	}
	return InOrder(value, path, allowed...)
}

// InOrder is OneOf, but lists the allowed values in the order given.
func InOrder[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

// lowerFirst turns the name of a Go field into its JSON name, where they differ by the first letter only.
func lowerFirst(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// ImmutableInternal is Immutable for a value that messages show as Internal does.
func ImmutableInternal(value, old any, path *field.Path) field.ErrorList {
	if equality.Semantic.DeepEqual(value, old) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, Internal(value), apivalidation.FieldImmutableErrorMsg)}
}

// Deref is what p points to, and the zero value for no pointer.
func Deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
