package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateLimitRange holds the rules of upstream's ValidateLimitRange. Where upstream goes through maps in any order, the
// resources come by name.
func validateLimitRange(l *corev1.LimitRange) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.LimitType]bool{}
	for i := range l.Spec.Limits {
		item, path := &l.Spec.Limits[i], field.NewPath("spec", "limits").Index(i)
		errs = append(errs, limitType(item.Type, path.Child("type"))...)
		if seen[item.Type] {
			errs = append(errs, field.Duplicate(path.Child("type"), item.Type))
		}
		seen[item.Type] = true
		errs = append(errs, limitNames(item, path)...)
		for _, name := range limitedResources(item) {
			errs = append(errs, newLimit(item, name).check(path, name)...)
		}
	}
	return errs
}

func limitType(t corev1.LimitType, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsQualifiedName(string(t)) {
		errs = append(errs, field.Invalid(path, t, msg))
	}
	if len(errs) > 0 || strings.Contains(string(t), "/") {
		return errs
	}
	switch t {
	case corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim:
		return nil
	}
	return field.ErrorList{field.Invalid(path, t, "must be a standard limit type or fully qualified")}
}

// limitNames checks the names of the resources, and which lists a type may have.
func limitNames(item *corev1.LimitRangeItem, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	check := valid.ResourceName
	if item.Type == corev1.LimitTypePod || item.Type == corev1.LimitTypeContainer {
		check = valid.ContainerResourceName
	}
	names := func(list corev1.ResourceList, child string) {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			errs = append(errs, check(name, path.Child(child).Key(string(name)))...)
		}
	}
	names(item.Max, "max")
	names(item.Min, "min")
	if item.Type == corev1.LimitTypePod {
		const refused = "may not be specified when `type` is 'Pod'"
		if len(item.Default) > 0 {
			errs = append(errs, field.Forbidden(path.Child("default"), refused))
		}
		if len(item.DefaultRequest) > 0 {
			errs = append(errs, field.Forbidden(path.Child("defaultRequest"), refused))
		}
	} else {
		names(item.Default, "default")
		names(item.DefaultRequest, "defaultRequest")
	}
	if item.Type == corev1.LimitTypePersistentVolumeClaim {
		_, least := item.Min[corev1.ResourceStorage]
		_, most := item.Max[corev1.ResourceStorage]
		if !least && !most {
			errs = append(errs, field.Required(path.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	names(item.MaxLimitRequestRatio, "maxLimitRequestRatio")
	return errs
}

// limitedResources are the resources that an item names, in order. The defaults of an item for pods, which may have none, do not
// count.
func limitedResources(item *corev1.LimitRangeItem) []corev1.ResourceName {
	all := map[corev1.ResourceName]bool{}
	lists := []corev1.ResourceList{item.Max, item.Min, item.MaxLimitRequestRatio}
	if item.Type != corev1.LimitTypePod {
		lists = append(lists, item.Default, item.DefaultRequest)
	}
	for _, list := range lists {
		for name := range list {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// limit is what an item says of one resource; nil for what it does not say.
type limit struct{ min, max, def, request, ratio *resource.Quantity }

func newLimit(item *corev1.LimitRangeItem, name corev1.ResourceName) limit {
	of := func(list corev1.ResourceList) *resource.Quantity {
		if q, ok := list[name]; ok {
			return &q
		}
		return nil
	}
	l := limit{min: of(item.Min), max: of(item.Max), ratio: of(item.MaxLimitRequestRatio)}
	if item.Type != corev1.LimitTypePod {
		l.def, l.request = of(item.Default), of(item.DefaultRequest)
	}
	return l
}

// check compares the quantities with each other.
func (l limit) check(path *field.Path, name corev1.ResourceName) field.ErrorList {
	var errs field.ErrorList
	// The quantity that a message calls wrong is upstream's choice, which is not always the one of the field.
	ordered := func(low, high *resource.Quantity, child string, wrong *resource.Quantity, format string) {
		if low != nil && high != nil && low.Cmp(*high) > 0 {
			errs = append(errs, field.Invalid(path.Child(child).Key(string(name)), *wrong, fmt.Sprintf(format, low, high)))
		}
	}
	ordered(l.min, l.max, "min", l.min, "min value %s is greater than max value %s")
	ordered(l.min, l.request, "defaultRequest", l.request, "min value %s is greater than default request value %s")
	ordered(l.request, l.max, "defaultRequest", l.request, "default request value %s is greater than max value %s")
	ordered(l.request, l.def, "defaultRequest", l.request, "default request value %s is greater than default limit value %s")
	ordered(l.min, l.def, "default", l.min, "min value %s is greater than default value %s")
	ordered(l.def, l.max, "default", l.max, "default value %s is greater than max value %s")
	errs = append(errs, l.checkRatio(path.Child("maxLimitRequestRatio").Key(string(name)))...)
	if !valid.MayOvercommit(name) && l.def != nil && l.request != nil && l.def.Cmp(*l.request) != 0 {
		errs = append(errs, field.Invalid(path.Child("defaultRequest").Key(string(name)), *l.request,
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", l.def, l.request, name)))
	}
	return errs
}

// checkRatio: at least 1, and no more than the bounds leave room for.
func (l limit) checkRatio(path *field.Path) field.ErrorList {
	if l.ratio == nil {
		return nil
	}
	var errs field.ErrorList
	if l.ratio.Cmp(*resource.NewQuantity(1, resource.DecimalSI)) < 0 {
		errs = append(errs, field.Invalid(path, *l.ratio, fmt.Sprintf("ratio %s is less than 1", l.ratio)))
	}
	if l.min == nil || l.max == nil {
		return errs
	}
	ratio, low, high := float64(l.ratio.Value()), l.min.Value(), l.max.Value()
	if max(l.ratio.Value(), low, high) < resource.MaxMilliValue { // as exact as can be without an overflow
		ratio, low, high = float64(l.ratio.MilliValue())/1000, l.min.MilliValue(), l.max.MilliValue()
	}
	if most := float64(high) / float64(low); ratio > most {
		errs = append(errs, field.Invalid(path, *l.ratio, fmt.Sprintf("ratio %s is greater than max/min = %f", l.ratio, most)))
	}
	return errs
}
