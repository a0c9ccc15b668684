package certificates

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type podRequest = certificatesv1.PodCertificateRequest

// PodRequests is the kind PodCertificateRequest: a kubelet asks a signer for a certificate on behalf of one pod. That the
// kubelet runs the pod, and that only the signer answers, is seen to by the hub's admission.
func PodRequests() *api.Kind {
	return &api.Kind{
		Group: certificatesv1.GroupName, Version: "v1", Kind: "PodCertificateRequest", Resource: "podcertificaterequests", Singular: "podcertificaterequest",
		Namespaced: true,
		New:        func() api.Object { return &podRequest{} },
		NewList:    func() runtime.Object { return &certificatesv1.PodCertificateRequestList{} },

		Default: api.On(func(r *podRequest) {
			if r.Spec.MaxExpirationSeconds == nil {
				day := int32(24 * 60 * 60)
				r.Spec.MaxExpirationSeconds = &day
			}
		}),
		PrepareCreate: api.On(func(r *podRequest) { r.Status = certificatesv1.PodCertificateRequestStatus{} }),
		PrepareUpdate: api.OnChange(func(r, old *podRequest) { r.Status = old.Status }),
		Validate:      api.Check(podRequestErrors),
		ValidateUpdate: api.CheckChange(func(r, old *podRequest) field.ErrorList {
			errs := valid.KubeFinalizers(r)
			for _, err := range valid.Immutable(r.Spec, old.Spec, field.NewPath("spec")) {
				err.BadValue = internalSpec(&r.Spec)
				errs = append(errs, err)
			}
			return errs
		}),
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"}, ResetFields: []string{"metadata", "spec"},
			PrepareUpdate: api.OnChange(func(r, old *podRequest) {
				r.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(r, old)
			}),
			ValidateUpdate: api.CheckChange(podRequestStatus),
		}},
		Columns: podRequestColumns(),
		Row:     api.Cells(podRequestRow),
		Fields: func(obj api.Object) fields.Set {
			s := &obj.(*podRequest).Spec
			return fields.Set{"spec.signerName": s.SignerName, "spec.podName": s.PodName, "spec.nodeName": string(s.NodeName)}
		},
		FieldLabels: []string{"spec.signerName", "spec.podName", "spec.nodeName"},
	}
}

// internalSpec is a spec as upstream's messages show it: with the fields that only older versions have.
func internalSpec(s *certificatesv1.PodCertificateRequestSpec) any {
	return struct {
		SignerName, PodName, PodUID, ServiceAccountName, ServiceAccountUID, NodeName, NodeUID string

		MaxExpirationSeconds                                *int32
		PKIXPublicKey, ProofOfPossession, StubPKCS10Request []byte
		UnverifiedUserAnnotations                           map[string]string
	}{
		SignerName: s.SignerName, PodName: s.PodName, PodUID: string(s.PodUID), ServiceAccountName: s.ServiceAccountName,
		ServiceAccountUID: string(s.ServiceAccountUID), NodeName: string(s.NodeName), NodeUID: string(s.NodeUID),
		MaxExpirationSeconds: s.MaxExpirationSeconds, StubPKCS10Request: s.StubPKCS10Request, UnverifiedUserAnnotations: s.UnverifiedUserAnnotations,
	}
}

func podRequestColumns() []metav1.TableColumnDefinition {
	doc := certificatesv1.PodCertificateRequestSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("PodName", "string", doc["podName"]),
		api.Column("ServiceAccountName", "string", doc["serviceAccountName"]),
		api.Column("NodeName", "string", doc["nodeName"]),
		api.Column("SignerName", "string", doc["signerName"]),
		api.Column("State", "string", "Is the request Pending, Issued, Denied, or Failed?"),
		api.Column("UnverifiedUserAnnotations", "string", doc["unverifiedUserAnnotations"]),
	}
}

func podRequestRow(r *podRequest) []any {
	state := "Pending"
	for _, c := range r.Status.Conditions {
		switch c.Type {
		case certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied, certificatesv1.PodCertificateRequestConditionTypeFailed:
			state = c.Type
		}
	}
	s := &r.Spec
	return []any{r.Name, s.PodName, s.ServiceAccountName, string(s.NodeName), s.SignerName, state, labels.FormatLabels(s.UnverifiedUserAnnotations)}
}
