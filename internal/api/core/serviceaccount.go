package core

import (
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/authentication"
	"sampan.dev/internal/api/valid"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ServiceAccounts is the kind ServiceAccount.
func ServiceAccounts() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "ServiceAccount", Resource: "serviceaccounts", Singular: "serviceaccount",
		ShortNames: []string{"sa"}, Namespaced: true,
		New:     func() api.Object { return &corev1.ServiceAccount{} },
		NewList: func() runtime.Object { return &corev1.ServiceAccountList{} },

		PrepareCreate:  api.On(keepSecretNames),
		PrepareUpdate:  api.OnChange(func(sa, _ *corev1.ServiceAccount) { keepSecretNames(sa) }),
		Validate:       api.Check(func(sa *corev1.ServiceAccount) field.ErrorList { return valid.KubeFinalizers(sa) }),
		ValidateUpdate: api.CheckChange(func(sa, _ *corev1.ServiceAccount) field.ErrorList { return valid.KubeFinalizers(sa) }),
		ValidateName:   apivalidation.ValidateServiceAccountName,
		Warnings:       serviceAccountWarnings,
		Unconditional:  true,
		ReturnsDeleted: true,
		Subresources: []api.Subresource{{
			Name: "token", Verbs: []string{"create"},
			GVK: schemaGVK{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"},
			New: func() runtime.Object { return &authenticationv1.TokenRequest{} },
			Default: func(body runtime.Object) {
				if r, ok := body.(*authenticationv1.TokenRequest); ok {
					authentication.DefaultTokenRequest(r)
				}
			},
		}},
		Columns: []metav1.TableColumnDefinition{api.NameColumn(), api.AgeColumn()},
		Row: api.Cells(func(sa *corev1.ServiceAccount) []any {
			return []any{sa.Name, sa.CreationTimestamp}
		}),
	}
}

// keepSecretNames keeps nothing but the names of the secrets: they are always of the account's own namespace.
func keepSecretNames(sa *corev1.ServiceAccount) {
	for i := range sa.Secrets {
		sa.Secrets[i] = corev1.ObjectReference{Name: sa.Secrets[i].Name}
	}
}

func serviceAccountWarnings(obj, old api.Object) []string {
	const annotation = "kubernetes.io/enforce-mountable-secrets"
	if old != nil {
		if _, ok := old.GetAnnotations()[annotation]; ok {
			return nil
		}
	}
	if _, ok := obj.GetAnnotations()[annotation]; !ok {
		return nil
	}
	return []string{fmt.Sprintf("metadata.annotations[%s]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets", annotation)}
}
