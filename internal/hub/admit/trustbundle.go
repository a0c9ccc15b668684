package admit

import (
	"context"
	"fmt"

	"sampan.dev/internal/hub/authz"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// trustBundleAttest asks for the right to attest for the signer that a bundle names.
type trustBundleAttest struct{ authz authz.Authorizer }

func (*trustBundleAttest) Name() string { return "ClusterTrustBundleAttest" }

func (p *trustBundleAttest) Validate(ctx context.Context, a *Attributes) error {
	b, ok := a.Object.(*certificatesv1.ClusterTrustBundle)
	if !ok || !a.is(csrGroup, "clustertrustbundles", "") || b.Spec.SignerName == "" {
		return nil
	}
	if old, ok := a.Old.(*certificatesv1.ClusterTrustBundle); ok && onlyGarbageFields(b.DeepCopy(), old.DeepCopy()) {
		return nil
	}
	if !mayForSigner(ctx, p.authz, a.User, "attest", b.Spec.SignerName) {
		return forbidden(a, "user not permitted to attest for signerName %q", b.Spec.SignerName)
	}
	return nil
}

// onlyGarbageFields tells whether a write changes nothing but what garbage collection and migration change. Both are given away.
func onlyGarbageFields(is, was *certificatesv1.ClusterTrustBundle) bool {
	for _, b := range []*certificatesv1.ClusterTrustBundle{is, was} {
		b.TypeMeta = metav1.TypeMeta{}
		b.OwnerReferences, b.Finalizers, b.ManagedFields, b.ResourceVersion = nil, nil, nil, ""
	}
	return equality.Semantic.DeepEqual(is, was)
}

// podCertificateSigning asks for the right to sign, of who answers a PodCertificateRequest. To upstream it is a part of validation,
// and its error is one of those.
type podCertificateSigning struct{ authz authz.Authorizer }

func (*podCertificateSigning) Name() string { return "PodCertificateSigning" }

func (p *podCertificateSigning) Validate(ctx context.Context, a *Attributes) error {
	r, ok := a.Object.(*certificatesv1.PodCertificateRequest)
	old, was := a.Old.(*certificatesv1.PodCertificateRequest)
	if !ok || !was || a.Subresource != "status" || equality.Semantic.DeepEqual(r.Status, old.Status) {
		return nil
	}
	if mayForSigner(ctx, p.authz, a.User, "sign", old.Spec.SignerName) {
		return nil
	}
	return apierrors.NewInvalid(a.Kind.GVK().GroupKind(), r.Name, field.ErrorList{
		field.Forbidden(field.NewPath("spec", "signerName"), fmt.Sprintf("User %q is not permitted to \"sign\" for signer %q", a.User.Name, old.Spec.SignerName)),
	})
}
