package certificates

import (
	"time"

	"sampan.dev/internal/api"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type csr = certificatesv1.CertificateSigningRequest

// Requests is the kind CertificateSigningRequest.
//
// spec.username, uid, groups and extra are the caller's, whatever the client sent. A kind does not see the caller, so a mutating
// admission plugin of the hub sets them on create; nothing here clears them.
func Requests() *api.Kind {
	return &api.Kind{
		Group: certificatesv1.GroupName, Version: "v1", Kind: "CertificateSigningRequest",
		Resource: "certificatesigningrequests", Singular: "certificatesigningrequest", ShortNames: []string{"csr"},
		New:     func() api.Object { return &csr{} },
		NewList: func() runtime.Object { return &certificatesv1.CertificateSigningRequestList{} },

		PrepareCreate: api.On(func(c *csr) { c.Status = certificatesv1.CertificateSigningRequestStatus{} }),
		PrepareUpdate: api.OnChange(func(c, old *csr) { c.Spec, c.Status = old.Spec, old.Status }),
		Validate:      api.Check(func(c *csr) field.ErrorList { return append(check(c, nil), checkDecision(c, nil)...) }),
		ValidateUpdate: api.CheckChange(func(c, old *csr) field.ErrorList {
			return checkChange(c, old, false, false)
		}),
		ValidateName:  func(string, bool) []string { return nil },
		Unconditional: true,
		ResetFields:   []string{"spec", "status"},
		Subresources:  []api.Subresource{approval(), status()},
		Columns:       columns(),
		Row:           api.Cells(row),
		Fields: func(obj api.Object) fields.Set {
			return fields.Set{"spec.signerName": obj.(*csr).Spec.SignerName}
		},
		FieldLabels: []string{"spec.signerName"},
	}
}

func approval() api.Subresource {
	return api.Subresource{
		Name: "approval", Verbs: []string{"get", "patch", "update"},
		PrepareUpdate: api.OnChange(func(c, old *csr) {
			stampConditions(c, old)
			conditions := c.Status.Conditions
			c.Spec, c.Status = old.Spec, old.Status
			c.Status.Conditions = conditions
		}),
		ValidateUpdate: api.CheckChange(func(c, old *csr) field.ErrorList { return checkChange(c, old, true, false) }),
		ResetFields:    []string{"spec", "status.certificate"},
	}
}

func status() api.Subresource {
	return api.Subresource{
		Name: "status", Verbs: []string{"get", "patch", "update"},
		PrepareUpdate: api.OnChange(func(c, old *csr) {
			c.Spec = old.Spec
			// Only the approval subresource decides; a status that has as many decisions keeps the old ones.
			keepConditions(c, old, certificatesv1.CertificateApproved)
			keepConditions(c, old, certificatesv1.CertificateDenied)
			stampConditions(c, old)
		}),
		ValidateUpdate: api.CheckChange(func(c, old *csr) field.ErrorList { return checkChange(c, old, false, true) }),
		ResetFields:    []string{"spec", "status.conditions"},
	}
}

func keepConditions(c, old *csr, t certificatesv1.RequestConditionType) {
	was, is := indices(old, t), indices(c, t)
	if len(was) != len(is) {
		return // validation refuses it
	}
	for i := range was {
		c.Status.Conditions[is[i]] = old.Status.Conditions[was[i]]
	}
}

func indices(c *csr, t certificatesv1.RequestConditionType) []int {
	var out []int
	for i := range c.Status.Conditions {
		if c.Status.Conditions[i].Type == t {
			out = append(out, i)
		}
	}
	return out
}

// stampConditions sets the times that are missing; a condition that had its status before keeps the time of its change.
func stampConditions(c, old *csr) {
	now := metav1.Now()
	for i := range c.Status.Conditions {
		x := &c.Status.Conditions[i]
		if x.LastUpdateTime.IsZero() {
			x.LastUpdateTime = now
		}
		if !x.LastTransitionTime.IsZero() {
			continue
		}
		x.LastTransitionTime = now
		for _, o := range old.Status.Conditions {
			if o.Type == x.Type && o.Status == x.Status && !o.LastTransitionTime.IsZero() {
				x.LastTransitionTime = o.LastTransitionTime
				break
			}
		}
	}
}

// columns have the descriptions of v1beta1, as upstream's still do.
func columns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.AgeColumn(),
		api.Column("SignerName", "string", "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will be defaulted:\n"+
			" 1. If it's a kubelet client certificate, it is assigned\n    \"kubernetes.io/kube-apiserver-client-kubelet\".\n"+
			" 2. If it's a kubelet serving certificate, it is assigned\n    \"kubernetes.io/kubelet-serving\".\n"+
			" 3. Otherwise, it is assigned \"kubernetes.io/legacy-unknown\".\n"+
			"Distribution of trust for signers happens out of band. You can select on this field using `spec.signerName`."),
		api.Column("Requestor", "string", "Base64-encoded PKCS#10 CSR data"),
		api.Column("RequestedDuration", "string", certificatesv1.CertificateSigningRequestSpec{}.SwaggerDoc()["expirationSeconds"]),
		api.Column("Condition", "string", "Conditions applied to the request, such as approval or denial."),
	}
}

func row(c *csr) []any {
	signer, asked := "<none>", "<none>"
	if c.Spec.SignerName != "" {
		signer = c.Spec.SignerName
	}
	if s := c.Spec.ExpirationSeconds; s != nil {
		asked = duration.HumanDuration(time.Duration(*s) * time.Second)
	}
	return []any{c.Name, c.CreationTimestamp, signer, c.Spec.Username, asked, state(c)}
}

func state(c *csr) string {
	has := func(t certificatesv1.RequestConditionType) bool { return len(indices(c, t)) > 0 }
	out := "Pending"
	switch {
	case has(certificatesv1.CertificateDenied):
		out = "Denied"
	case has(certificatesv1.CertificateApproved):
		out = "Approved"
	}
	if has(certificatesv1.CertificateFailed) {
		out += ",Failed"
	}
	if len(c.Status.Certificate) > 0 {
		out += ",Issued"
	}
	return out
}
