package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	certificatesv1 "k8s.io/api/certificates/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type bundle = certificatesv1.ClusterTrustBundle

// TrustBundles is the kind ClusterTrustBundle: certificates of authorities that pods may be given to trust. Who may speak for a
// signer is decided by the hub's admission (ClusterTrustBundleAttest).
func TrustBundles() *api.Kind {
	return &api.Kind{
		Group: certificatesv1.GroupName, Version: "v1", Kind: "ClusterTrustBundle", Resource: "clustertrustbundles", Singular: "clustertrustbundle",
		New:     func() api.Object { return &bundle{} },
		NewList: func() runtime.Object { return &certificatesv1.ClusterTrustBundleList{} },

		Validate: api.Check(func(b *bundle) field.ErrorList {
			return append(bundleErrors(b), anchors(b.Spec.TrustBundle)...)
		}),
		ValidateUpdate: api.CheckChange(bundleChange),
		ValidateName:   func(string, bool) []string { return nil }, // goes by the signer: bundleErrors
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(), api.Column("SignerName", "string", certificatesv1.ClusterTrustBundleSpec{}.SwaggerDoc()["signerName"]),
		},
		Row: api.Cells(func(b *bundle) []any {
			if b.Spec.SignerName == "" {
				return []any{b.Name, "<none>"}
			}
			return []any{b.Name, b.Spec.SignerName}
		}),
		Fields:      func(obj api.Object) fields.Set { return fields.Set{"spec.signerName": obj.(*bundle).Spec.SignerName} },
		FieldLabels: []string{"spec.signerName"},
	}
}

func bundleErrors(b *bundle) field.ErrorList {
	var errs field.ErrorList
	meta := field.NewPath("metadata")
	for _, n := range []struct {
		field, name string
		prefix      bool
	}{{"generateName", b.GenerateName, true}, {"name", b.Name, false}} {
		if n.name == "" {
			continue
		}
		for _, msg := range bundleName(b.Spec.SignerName, n.name, n.prefix) {
			errs = append(errs, field.Invalid(meta.Child(n.field), n.name, msg))
		}
	}
	errs = append(errs, valid.KubeFinalizers(b)...)
	if b.Spec.SignerName != "" {
		errs = append(errs, valid.SignerName(b.Spec.SignerName, field.NewPath("spec", "signerName"))...)
	}
	return errs
}

// bundleName says what is wrong with the name of a bundle: one with a signer is named for it ("example.com:signer:name").
func bundleName(signer, name string, prefix bool) []string {
	if signer == "" {
		if strings.Contains(name, ":") {
			return []string{`ClusterTrustBundle without signer name must not have ":" in its name`}
		}
		return apivalidation.NameIsDNSSubdomain(name, prefix)
	}
	wanted := strings.ReplaceAll(signer, "/", ":") + ":"
	rest, ok := strings.CutPrefix(name, wanted)
	if !ok {
		return []string{fmt.Sprintf("ClusterTrustBundle for signerName %s must be named with prefix %s", signer, wanted)}
	}
	return apivalidation.NameIsDNSSubdomain(rest, prefix)
}

// bundleChange does not read certificates that were there before: what is read strictly today may have been read laxly then.
func bundleChange(b, old *bundle) field.ErrorList {
	errs := bundleErrors(b)
	if b.Spec.TrustBundle != old.Spec.TrustBundle {
		errs = append(errs, anchors(b.Spec.TrustBundle)...)
	}
	errs = append(errs, valid.KubeFinalizers(b)...)
	return append(errs, valid.Immutable(b.Spec.SignerName, old.Spec.SignerName, field.NewPath("spec", "signerName"))...)
}

const longestBundle = 1 << 20

// anchors checks PEM: certificates of authorities and nothing else, none of them twice. What stands between them is nobody's
// concern.
func anchors(text string) field.ErrorList {
	path := field.NewPath("spec", "trustBundle")
	if len(text) > longestBundle {
		return field.ErrorList{field.TooLong(path, "", longestBundle)}
	}
	var errs field.ErrorList
	bad := func(format string, args ...any) {
		errs = append(errs, field.Invalid(path, "<value omitted>", fmt.Sprintf(format, args...)))
	}
	at := map[string][]int{}
	block, rest := pem.Decode([]byte(text))
	for i := 0; block != nil; i++ {
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case block.Type != "CERTIFICATE":
			bad("entry %d has bad block type: %v", i, block.Type)
		case len(block.Headers) != 0:
			bad("entry %d has PEM block headers", i)
		case err != nil:
			bad("entry %d does not parse as X.509", i)
		case !cert.IsCA:
			bad("entry %d does not have the CA bit set", i)
		case !cert.BasicConstraintsValid:
			bad("entry %d has invalid basic constraints", i)
		default:
			at[string(block.Bytes)] = append(at[string(block.Bytes)], i)
		}
		block, rest = pem.Decode(rest)
	}
	if len(errs) > 0 {
		return errs
	}
	if len(at) == 0 {
		bad("at least one trust anchor must be provided")
	}
	for _, indices := range slices.SortedFunc(maps.Values(at), slices.Compare[[]int]) {
		if len(indices) > 1 {
			bad("duplicate trust anchor (indices %v)", indices)
		}
	}
	return errs
}
