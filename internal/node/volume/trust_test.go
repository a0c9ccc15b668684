package volume

import (
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bundle has the named certificates, which are not parsed: "a b" are two.
func bundle(name, signer, label, certificates string) *certificatesv1.ClusterTrustBundle {
	b := &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"l": label}}}
	b.Spec.SignerName = signer
	for c := range strings.FieldsSeq(certificates) {
		b.Spec.TrustBundle += "something between\n" + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(c)}))
	}
	return b
}

func TestTrustAnchors(t *testing.T) {
	all := []*certificatesv1.ClusterTrustBundle{bundle("x", "", "", "a b a"), bundle("s:1", "s", "one", "b c"), bundle("s:2", "s", "two", "c d"), bundle("o:1", "o", "one", "e")}
	labelled := func(v string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"l": v}}
	}
	for _, c := range []struct {
		name string
		s    corev1.ClusterTrustBundleProjection
		want string // the certificates in order of their names, or the error
	}{
		{"by name, each once", corev1.ClusterTrustBundleProjection{Name: new("x")}, "a b"},
		{"a name that is not there", corev1.ClusterTrustBundleProjection{Name: new("y")}, `while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io "y" not found`},
		{"optional", corev1.ClusterTrustBundleProjection{Name: new("y"), Optional: new(true)}, ""},
		{"by signer and label", corev1.ClusterTrustBundleProjection{SignerName: new("s"), LabelSelector: labelled("two")}, "c d"},
		{"an empty selector picks all", corev1.ClusterTrustBundleProjection{SignerName: new("s"), LabelSelector: &metav1.LabelSelector{}}, "b c d"},
		{"none picks nothing", corev1.ClusterTrustBundleProjection{SignerName: new("s")}, "combination of signerName and labelSelector matched zero ClusterTrustBundles"},
		{"nothing, optional", corev1.ClusterTrustBundleProjection{SignerName: new("s"), LabelSelector: labelled("three"), Optional: new(true)}, ""},
		{"neither", corev1.ClusterTrustBundleProjection{}, "ClusterTrustBundle projection requires either name or signerName to be set"},
	} {
		got, err := trustAnchors(all, &c.s)
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			var names []string
			for block, rest := pem.Decode(got); block != nil; block, rest = pem.Decode(rest) {
				names = append(names, string(block.Bytes))
			}
			slices.Sort(names)
			text = strings.Join(names, " ")
		}
		if text != c.want || strings.Contains(string(got), "between") {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
		if again, _ := trustAnchors(all, &c.s); string(again) != string(got) {
			t.Errorf("%s: another order at the second look", c.name)
		}
	}
}
