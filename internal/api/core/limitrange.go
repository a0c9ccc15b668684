package core

import (
	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// LimitRanges is the kind LimitRange: bounds and defaults for what the pods and claims of a namespace ask for. The hub's
// admission applies them.
func LimitRanges() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "LimitRange", Resource: "limitranges", Singular: "limitrange", ShortNames: []string{"limits"}, Namespaced: true,
		New:     func() api.Object { return &corev1.LimitRange{} },
		NewList: func() runtime.Object { return &corev1.LimitRangeList{} },

		Default: api.On(defaultLimitRange),
		PrepareCreate: api.On(func(l *corev1.LimitRange) {
			if l.Name == "" { // of all kinds only this one does without a name
				l.Name = string(uuid.NewUUID())
			}
		}),
		Validate:       api.Check(validateLimitRange),
		ValidateUpdate: api.CheckChange(func(l, _ *corev1.LimitRange) field.ErrorList { return validateLimitRange(l) }),
		CreateOnUpdate: true,
		Unconditional:  true,
	}
}

func defaultLimitRange(l *corev1.LimitRange) {
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		if item.Type == corev1.LimitTypeContainer {
			fillMissing(&item.Default, item.Max)
			fillMissing(&item.DefaultRequest, item.Default)
			fillMissing(&item.DefaultRequest, item.Min)
		}
		for _, list := range []corev1.ResourceList{item.Max, item.Min, item.Default, item.DefaultRequest, item.MaxLimitRequestRatio} {
			roundResources(list)
		}
	}
}

// fillMissing adds to list the resources of from that it does not have.
func fillMissing(list *corev1.ResourceList, from corev1.ResourceList) {
	for name, q := range from {
		if _, ok := (*list)[name]; ok {
			continue
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = q.DeepCopy()
	}
}
