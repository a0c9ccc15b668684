package core

import (
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ResourceQuotas is the kind ResourceQuota: how much the objects of a namespace may ask for together, and how many there may be.
func ResourceQuotas() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "ResourceQuota", Resource: "resourcequotas", Singular: "resourcequota", ShortNames: []string{"quota"}, Namespaced: true,
		New:     func() api.Object { return &corev1.ResourceQuota{} },
		NewList: func() runtime.Object { return &corev1.ResourceQuotaList{} },

		Default: api.On(func(q *corev1.ResourceQuota) {
			for _, list := range []corev1.ResourceList{q.Spec.Hard, q.Status.Hard, q.Status.Used} {
				roundResources(list)
			}
		}),
		PrepareCreate:  api.On(func(q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} }),
		PrepareUpdate:  api.OnChange(func(q, old *corev1.ResourceQuota) { q.Status = old.Status }),
		Validate:       api.Check(quotaErrors),
		ValidateUpdate: api.CheckChange(quotaChange),
		Warnings: func(obj, old api.Object) []string {
			if old != nil {
				return nil
			}
			return quotaWarnings(obj.(*corev1.ResourceQuota))
		},
		Unconditional:  true,
		ReturnsDeleted: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate:  api.OnChange(func(q, old *corev1.ResourceQuota) { q.Spec = old.Spec }),
			ValidateUpdate: api.CheckChange(quotaStatusChange),
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Request", "string", "Request represents a minimum amount of cpu/memory that a container may consume."),
			api.Column("Limit", "string", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
			api.AgeColumn(),
		},
		Row: api.Cells(quotaRow),
	}
}

// quotaWarnings tells of requests that may sum up to more than the limits.
func quotaWarnings(q *corev1.ResourceQuota) []string {
	var out []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceStorage, corev1.ResourceEphemeralStorage} {
		requests := "requests." + name
		request, ok := q.Spec.Hard[requests]
		if !ok && (name == corev1.ResourceCPU || name == corev1.ResourceMemory) {
			requests = name
			request, ok = q.Spec.Hard[name]
		}
		limit, limited := q.Spec.Hard["limits."+name]
		if ok && limited && request.Cmp(limit) > 0 {
			out = append(out, "ResourceQuota "+string(requests)+" ("+request.String()+") should be less than limits."+string(name)+" ("+limit.String()+")")
		}
	}
	return out
}

func quotaRow(q *corev1.ResourceQuota) []any {
	var requests, limits []string
	for _, name := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		used, hard := q.Status.Used[name], q.Status.Hard[name]
		text := string(name) + ": " + used.String() + "/" + hard.String()
		if strings.HasPrefix(string(name), "limits.") {
			limits = append(limits, text)
		} else {
			requests = append(requests, text)
		}
	}
	return []any{q.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), q.CreationTimestamp}
}
