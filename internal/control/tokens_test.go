package control_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"
	"sampan.dev/internal/pki"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func tokenSecret(name, account string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: account}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}
}

// A Secret gets a token of its account, which names it; both go together, and the account forgets a Secret that is gone.
func TestTokensOfSecrets(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, control.Config{TokenKey: key, RootCA: []byte("bundle")}, func(b *bench) {
		get := func(name string) *corev1.Secret {
			b.Helper()
			s, err := client.Get[*corev1.Secret](b.Context(), b.door, client.Secrets, "default", name)
			if err != nil {
				b.Fatal(err)
			}
			return s
		}
		create(b, client.ServiceAccounts, &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "builder"}, Secrets: []corev1.ObjectReference{{Name: "one"}, {Name: "other"}},
		})
		create(b, client.Secrets, tokenSecret("one", "builder"))
		create(b, client.Secrets, tokenSecret("nobodys", "nobody"))
		b.settle(10 * time.Second)
		sa, err := client.Get[*corev1.ServiceAccount](b.Context(), b.door, client.ServiceAccounts, "default", "builder")
		if err != nil {
			b.Fatal(err)
		}
		s := get("one")
		if string(s.Data["ca.crt"]) != "bundle" || string(s.Data["namespace"]) != "default" || strings.Count(string(s.Data["token"]), ".") != 2 ||
			s.Annotations[corev1.ServiceAccountUIDKey] != string(sa.UID) {
			b.Fatalf("%+v", s)
		}
		if !b.gone(client.Secrets, "default", "nobodys") {
			b.Error("a Secret for nobody is still there")
		}
		s = s.DeepCopy()
		s.Data["ca.crt"] = []byte("other")
		if _, err := client.Update(b.Context(), b.door, client.Secrets, s); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		if now := get("one"); string(now.Data["ca.crt"]) != "bundle" || string(now.Data["token"]) != string(s.Data["token"]) {
			b.Errorf("%+v", now)
		}
		b.settle(2 * time.Hour) // past the life of events
		before := b.revision()
		b.settle(time.Hour)
		if n := b.revision() - before; n > 0 {
			b.Errorf("%d writes while nothing happened: %v", n, b.writtenSince(before))
		}
		if err := client.Delete(b.Context(), b.door, client.Secrets, "default", "one", ""); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		if sa, err = client.Get[*corev1.ServiceAccount](b.Context(), b.door, client.ServiceAccounts, "default", "builder"); err != nil || len(sa.Secrets) != 1 || sa.Secrets[0].Name != "other" {
			b.Errorf("%+v %v", sa, err)
		}
		create(b, client.Secrets, tokenSecret("two", "builder"))
		b.settle(time.Second)
		if err := client.Delete(b.Context(), b.door, client.ServiceAccounts, "default", "builder", ""); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		if !b.gone(client.Secrets, "default", "two") {
			b.Error("the account is gone, and its token is not")
		}
	})
}

// The API server's authorities are published as one ClusterTrustBundle, which comes again; requests for pods' certificates go after a
// quarter of an hour.
func TestTrustBundle(t *testing.T) {
	inBubble(t, control.Config{RootCA: testBundle(t)}, func(b *bench) {
		names := func() (out []string) {
			l, err := client.ListAll[*certificatesv1.ClusterTrustBundle](b.Context(), b.door, client.ClusterTrustBundles, "", metav1.ListOptions{})
			if err != nil {
				b.Fatal(err)
			}
			for _, o := range l {
				out = append(out, o.Name)
			}
			return out
		}
		b.settle(time.Second)
		first := names()
		if len(first) != 1 || !strings.HasPrefix(first[0], "kubernetes.io:kube-apiserver-serving:") || len(first[0]) != len("kubernetes.io:kube-apiserver-serving:")+24 {
			b.Fatalf("%v", first)
		}
		if err := client.Delete(b.Context(), b.door, client.ClusterTrustBundles, "", first[0], ""); err != nil {
			b.Fatal(err)
		}
		create(b, client.ClusterTrustBundles, &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes.io:kube-apiserver-serving:old"},
			Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: "kubernetes.io/kube-apiserver-serving", TrustBundle: string(testBundle(t))}})
		b.settle(time.Second)
		if now := names(); fmt.Sprint(now) != fmt.Sprint(first) {
			b.Errorf("%v, want %v", now, first)
		}
	})
}

// testBundle is a certificate that stands for the API server's authorities.
func testBundle(t *testing.T) []byte {
	t.Helper()
	a, err := pki.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	return a.PEM()
}
