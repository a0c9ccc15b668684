package admit

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/authz"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

const csrGroup, csrResource = "certificates.k8s.io", "certificatesigningrequests"

// csrRequester writes into a new request who makes it, whatever its body says: approvers and signers go by that.
type csrRequester struct{}

func (csrRequester) Name() string { return "CertificateRequester" }

func (csrRequester) Admit(_ context.Context, a *Attributes) error {
	csr, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || !a.is(csrGroup, csrResource, "") || a.Operation != Create {
		return nil
	}
	csr.Spec.Username, csr.Spec.UID, csr.Spec.Groups, csr.Spec.Extra = a.User.Name, a.User.UID, slices.Clone(a.User.Groups), nil
	for k, v := range a.User.Extra {
		if csr.Spec.Extra == nil {
			csr.Spec.Extra = map[string]certificatesv1.ExtraValue{}
		}
		csr.Spec.Extra[k] = slices.Clone(v)
	}
	source(csr, a.Remote)
	return nil
}

// source writes into a request for a kubelet's serving certificate where it comes from, over whatever is there: it decides
// which address the certificate may name.
func source(csr *certificatesv1.CertificateSigningRequest, remote string) {
	delete(csr.Spec.Extra, api.ExtraSourceAddress)
	if remote == "" || csr.Spec.SignerName != certificatesv1.KubeletServingSignerName {
		return
	}
	from := "unknown" // and not nothing, which would mean this process
	if at, err := netip.ParseAddrPort(remote); err == nil {
		from = at.Addr().Unmap().String()
	}
	if csr.Spec.Extra == nil {
		csr.Spec.Extra = map[string]certificatesv1.ExtraValue{}
	}
	csr.Spec.Extra[api.ExtraSourceAddress] = certificatesv1.ExtraValue{from}
}

// certificateApproval asks for the right to approve for a signer.
type certificateApproval struct{ authz authz.Authorizer }

func (*certificateApproval) Name() string { return "CertificateApproval" }

func (p *certificateApproval) Validate(ctx context.Context, a *Attributes) error {
	if !a.is(csrGroup, csrResource, "approval") || a.Operation != Update {
		return nil
	}
	old, ok := a.Old.(*certificatesv1.CertificateSigningRequest) // the old signer counts, not one slipped in with the approval
	if !ok {
		return forbidden(a, "expected type CertificateSigningRequest, got: %T", a.Old)
	}
	if !mayForSigner(ctx, p.authz, a.User, "approve", old.Spec.SignerName) {
		return forbidden(a, "user not permitted to approve requests with signerName %q", old.Spec.SignerName)
	}
	return nil
}

// certificateSigning asks for the right to sign for a signer.
type certificateSigning struct{ authz authz.Authorizer }

func (*certificateSigning) Name() string { return "CertificateSigning" }

func (p *certificateSigning) Validate(ctx context.Context, a *Attributes) error {
	if !a.is(csrGroup, csrResource, "status") || a.Operation != Update {
		return nil
	}
	old, ok := a.Old.(*certificatesv1.CertificateSigningRequest)
	csr, ok2 := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || !ok2 {
		return forbidden(a, "expected type CertificateSigningRequest, got: %T", a.Object)
	}
	if bytes.Equal(old.Status.Certificate, csr.Status.Certificate) && equality.Semantic.DeepEqual(old.Status.Conditions, csr.Status.Conditions) {
		return nil
	}
	if !mayForSigner(ctx, p.authz, a.User, "sign", old.Spec.SignerName) {
		return forbidden(a, "user not permitted to sign requests with signerName %q", old.Spec.SignerName)
	}
	return nil
}

// mayForSigner asks for the signer by name and for its whole domain.
func mayForSigner(ctx context.Context, z authz.Authorizer, user api.User, verb, signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		d, _, err := z.Authorize(ctx, authz.Attributes{User: user, Verb: verb, Group: csrGroup, Version: "*", Resource: "signers", Name: name})
		if err == nil && d == authz.Allow {
			return true
		}
	}
	return false
}

// certificateSubject refuses client certificates for system:masters, which no role could ever limit.
type certificateSubject struct{}

func (certificateSubject) Name() string { return "CertificateSubjectRestriction" }

func (certificateSubject) Validate(_ context.Context, a *Attributes) error {
	csr, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || !a.is(csrGroup, csrResource, "") || a.Operation != Create || csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	req, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return forbidden(a, "failed to parse CSR: %w", err)
	}
	if slices.Contains(req.Subject.Organization, api.GroupMasters) {
		return forbidden(a, "use of %s signer with system:masters group is not allowed", certificatesv1.KubeAPIServerClientSignerName)
	}
	return nil
}

func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}
