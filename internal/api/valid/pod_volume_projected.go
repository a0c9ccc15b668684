package valid

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// projection gathers the files that the sources of one projected volume write: no two may write the same.
type projection struct {
	*podCheck
	path  *field.Path
	files map[string]bool
}

func (p *projection) file(name string, value any) {
	if name == "" {
		return
	}
	if p.files[name] {
		p.invalid(p.path, value, "conflicting duplicate paths")
	}
	p.files[name] = true
}

func (c *podCheck) projected(v *corev1.ProjectedVolumeSource, path *field.Path) {
	c.add(fileMode(v.DefaultMode, path.Child("defaultMode"))...)
	p := &projection{podCheck: c, path: path, files: map[string]bool{}}
	for i := range v.Sources {
		s, at := &v.Sources[i], path.Child("sources").Index(i)
		sources := 0
		if s.Secret != nil {
			sources++
			p.keys(s.Secret.Name, s.Secret.Items, at.Child("secret"))
		}
		if s.ConfigMap != nil {
			sources++
			p.keys(s.ConfigMap.Name, s.ConfigMap.Items, at.Child("configMap"))
		}
		if s.DownwardAPI != nil {
			sources++
			for j := range s.DownwardAPI.Items {
				f := &s.DownwardAPI.Items[j]
				c.downwardFile(f, at.Child("downwardAPI"))
				p.file(f.Path, f.Path)
			}
		}
		if s.ServiceAccountToken != nil {
			sources++
			p.token(s.ServiceAccountToken, at.Child("serviceAccountToken"))
		}
		if s.ClusterTrustBundle != nil {
			sources++
			p.trustBundle(s.ClusterTrustBundle, at.Child("clusterTrustBundle"))
		}
		if s.PodCertificate != nil {
			sources++
			p.certificate(s.PodCertificate, at.Child("podCertificate"))
		}
		if sources > 1 {
			c.forbidden(at, "may not specify more than 1 volume type per source")
		}
	}
}

func (p *projection) keys(name string, items []corev1.KeyToPath, path *field.Path) {
	p.require(path, "name", name)
	for i := range items {
		p.keyToPath(&items[i], path.Child("items").Index(i))
		p.file(items[i].Path, name)
	}
}

func (p *projection) token(t *corev1.ServiceAccountTokenProjection, path *field.Path) {
	at := path.Child("expirationSeconds")
	switch s := t.ExpirationSeconds; {
	case s == nil:
		p.required(at, "")
	case *s < 10*60:
		p.invalid(at, *s, "may not specify a duration less than 10 minutes")
	case *s > 1<<32:
		p.invalid(at, *s, "may not specify a duration larger than 2^32 seconds")
	}
	p.require(p.path, "path", t.Path) // upstream's path: the volume's, not the token's
	p.add(volumeFile(t.Path, p.path.Child("path"))...)
}

func (p *projection) trustBundle(b *corev1.ClusterTrustBundleProjection, path *field.Path) {
	switch {
	case b.Name != nil && b.SignerName != nil:
		p.invalid(path, b, "only one of name and signerName may be used")
	case b.Name != nil:
		if *b.Name == "" {
			p.required(path.Child("name"), "must be a valid object name")
		}
		for _, msg := range trustBundleName(*b.Name) {
			p.invalid(path.Child("name"), *b.Name, fmt.Sprintf("not a valid clustertrustbundlename: %v", msg))
		}
		if b.LabelSelector != nil {
			p.invalid(path.Child("labelSelector"), b.LabelSelector, "labelSelector must be unset if name is specified")
		}
	case b.SignerName != nil:
		if *b.SignerName == "" {
			p.required(path.Child("signerName"), "must be a valid signer name")
		}
		p.add(SignerName(*b.SignerName, path.Child("signerName"))...)
		p.add(LabelSelector(b.LabelSelector, path.Child("labelSelector"))...)
	default:
		p.required(path, "either name or signerName must be specified")
	}
	p.require(path, "path", b.Path)
	p.add(volumeFile(b.Path, path.Child("path"))...)
	p.file(b.Path, b.Path)
}

func (p *projection) certificate(cert *corev1.PodCertificateProjection, path *field.Path) {
	p.add(SignerName(cert.SignerName, path.Child("signerName"))...)
	for key := range cert.UserAnnotations {
		p.add(validation.IsDomainPrefixedKey(path.Child("userAnnotations"), strings.ToLower(key))...)
	}
	kinds := []string{"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"}
	if !slices.Contains(kinds, cert.KeyType) {
		p.add(field.NotSupported(path.Child("keyType"), cert.KeyType, kinds))
	}
	if s := cert.MaxExpirationSeconds; s != nil {
		longest := int32(91 * 24 * 60 * 60)
		if host, _, _ := strings.Cut(cert.SignerName, "/"); host == "kubernetes.io" || strings.HasSuffix(host, ".kubernetes.io") {
			longest = 24 * 60 * 60
		}
		if *s < 3600 {
			p.invalid(path.Child("maxExpirationSeconds"), *s, "if provided, maxExpirationSeconds must be >= 3600")
		}
		if *s > longest {
			p.invalid(path.Child("maxExpirationSeconds"), *s, fmt.Sprintf("if provided, maxExpirationSeconds must be <= %d", longest))
		}
	}
	files := 0
	for _, f := range [][2]string{
		{"credentialBundlePath", cert.CredentialBundlePath}, {"keyPath", cert.KeyPath}, {"certificateChainPath", cert.CertificateChainPath},
	} {
		if f[1] == "" {
			continue
		}
		files++
		p.add(volumeFile(f[1], path.Child(f[0]))...)
		p.file(f[1], f[1])
	}
	if files == 0 {
		p.required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath")
	}
}
