package resource

import (
	"fmt"
	"math"
	"strconv"

	"sampan.dev/internal/api/valid"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// mostValues is how many amounts a policy may list.
const mostValues = 10

// singleCapacity checks a capacity of a device that only one claim can have: nothing is to be shared out.
func singleCapacity(c resourcev1.DeviceCapacity, path *field.Path) field.ErrorList {
	if c.RequestPolicy != nil {
		return valid.Forbidden(path.Child("requestPolicy"), "allowMultipleAllocations must be true")
	}
	return nil
}

// sharedCapacity checks a capacity of a device that several claims share, and how much of it each may ask for.
func sharedCapacity(c resourcev1.DeviceCapacity, path *field.Path) field.ErrorList {
	p := c.RequestPolicy
	if p == nil {
		return nil
	}
	path = path.Child("requestPolicy")
	switch {
	case len(p.ValidValues) > 0 && p.ValidRange != nil:
		return valid.Forbidden(path, `exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time`)
	case len(p.ValidValues) > 0 && p.Default == nil:
		return valid.Required(path.Child("default"), "required when validValues is defined")
	case len(p.ValidValues) > 0:
		return validValues(*p.Default, c.Value, p.ValidValues, path.Child("validValues"))
	case p.ValidRange != nil && p.Default == nil:
		return valid.Required(path.Child("default"), "required when validRange is defined")
	case p.ValidRange != nil:
		return validRange(*p.Default, c.Value, p.ValidRange, path.Child("validRange"))
	}
	return nil
}

func validValues(def, most resource.Quantity, list []resource.Quantity, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := 1; i < len(list); i++ {
		if list[i-1].Cmp(list[i]) > 0 {
			errs = append(errs, field.Invalid(path.Index(i), list[i].String(), "values must be sorted in ascending order"))
		}
	}
	found := false
	errs = append(errs, set(list, mostValues, func(q *resource.Quantity, at *field.Path) field.ErrorList {
		found = found || q.Cmp(def) == 0
		if q.Cmp(most) > 0 {
			return valid.Invalid(at, q.String(), fmt.Sprintf("option is larger than capacity value: %s", most.String()))
		}
		return nil
	}, func(q *resource.Quantity) string { return strconv.FormatInt(q.Value(), 10) }, path, covers{})...)
	if !found {
		errs = append(errs, field.Invalid(path, def.String(), "default value is not valid according to the requestPolicy"))
	}
	return errs
}

// validRange checks a range with its steps, in whole units: steps of fractions are off by default.
func validRange(def, most resource.Quantity, r *resourcev1.CapacityRequestPolicyRange, path *field.Path) field.ErrorList {
	if r.Min == nil {
		return valid.Required(path.Child("min"), "required when validRange is defined")
	}
	errs := bounds(def, most, r, path)
	if r.Step == nil {
		return errs
	}
	named := []struct {
		name string
		q    *resource.Quantity
	}{{"default", &def}, {"min", r.Min}, {"max", r.Max}, {"step", r.Step}}
	if r.Step.Sign() <= 0 {
		return append(errs, field.Invalid(path.Child("step"), r.Step.String(), "must be greater than zero"))
	}
	added := r.Min.DeepCopy()
	added.Add(*r.Step)
	if added.Cmp(most) > 0 {
		errs = append(errs, field.Invalid(path.Child("step"), r.Step.String(), fmt.Sprintf("one step %s is larger than capacity value: %s", added.String(), most.String())))
	}
	before := len(errs)
	for _, n := range named {
		if n.q != nil {
			errs = append(errs, int64Range(*n.q, path.Child(n.name))...)
		}
	}
	if len(errs) > before {
		return errs
	}
	errs = append(errs, onStep(def, r, path.Child("step"))...)
	if r.Max != nil {
		errs = append(errs, onStep(*r.Max, r, path.Child("step"))...)
	}
	return errs
}

// bounds compares the ends of a range, its default and the capacity.
func bounds(def, most resource.Quantity, r *resourcev1.CapacityRequestPolicyRange, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	wrong := func(is bool, name string, q resource.Quantity, format string, bound resource.Quantity) {
		if is {
			errs = append(errs, field.Invalid(path.Child(name), q.String(), fmt.Sprintf(format, bound.String())))
		}
	}
	wrong(r.Min.Cmp(most) > 0, "min", *r.Min, "min is larger than capacity value: %s", most)
	wrong(def.Cmp(*r.Min) < 0, "default", def, "default is less than min: %s", *r.Min)
	if r.Max != nil {
		wrong(r.Min.Cmp(*r.Max) > 0, "max", *r.Min, "min is larger than max: %s", *r.Max)
		wrong(r.Max.Cmp(most) > 0, "max", *r.Max, "max is larger than capacity value: %s", most)
		wrong(def.Cmp(*r.Max) > 0, "default", def, "default is more than max: %s", *r.Max)
	}
	return errs
}

// onStep checks that a value is a whole number of steps above the least one. The numbers fit into their type.
func onStep(value resource.Quantity, r *resourcev1.CapacityRequestPolicyRange, path *field.Path) field.ErrorList {
	if (value.Value()-r.Min.Value())%r.Step.Value() != 0 {
		return valid.Invalid(path, value.String(), fmt.Sprintf("value is not a multiple of a given step (%s) from (%s)", r.Step.String(), r.Min.String()))
	}
	return nil
}

func int64Range(q resource.Quantity, path *field.Path) field.ErrorList {
	switch {
	case q.Sign() < 0:
		return valid.Invalid(path, q.String(), apivalidation.IsNegativeErrorMsg)
	case q.CmpInt64(math.MaxInt64) > 0:
		return valid.Invalid(path, q.String(), "must not be larger than 9223372036854775807")
	}
	return nil
}
