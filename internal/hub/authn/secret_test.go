package authn_test

import (
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Secret's token stands for its account while the Secret holds it and is not marked; the first use of a day is noted.
func TestTokenOfSecret(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	sa, err := client.Create(ctx, w.Root, client.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "robot"}})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := pki.TokenSigner(w.TokenKey)
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "kubernetes.io/serviceaccount/"
	sign := func(change map[string]string) string {
		claims := map[string]any{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:robot", prefix + "namespace": "default",
			prefix + "service-account.name": "robot", prefix + "service-account.uid": string(sa.UID), prefix + "secret.name": "key"}
		for k, v := range change {
			if claims[k] = v; v == "" {
				delete(claims, k)
			}
		}
		token, err := pki.SignToken(signer, claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := sign(nil)
	secret, err := client.Create(ctx, w.Root, client.Secrets, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "key", Annotations: map[string]string{corev1.ServiceAccountNameKey: "robot", corev1.ServiceAccountUIDKey: string(sa.UID)}},
		Type:       corev1.SecretTypeServiceAccountToken, Data: map[string][]byte{"token": []byte(token)},
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, token, words string) {
		t.Helper()
		if r, ok, err := w.Tokens.Authenticate(ctx, token, nil); ok || err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v %v %v", what, r, ok, err)
		}
	}
	r, ok, err := w.Tokens.Authenticate(ctx, token, nil)
	if !ok || err != nil || r.User.Name != "system:serviceaccount:default:robot" || r.User.UID != string(sa.UID) || len(r.Audiences) == 0 {
		t.Fatalf("%v %v %v", r, ok, err)
	}
	read := func() *corev1.Secret {
		s, err := client.Get[*corev1.Secret](ctx, w.Root, client.Secrets, "default", "key")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	used := read()
	if used.Labels["kubernetes.io/legacy-token-last-used"] != time.Now().UTC().Format(time.DateOnly) {
		t.Errorf("%v", used.Labels)
	}
	if _, ok, err := w.Tokens.Authenticate(ctx, token, nil); !ok || read().ResourceVersion != used.ResourceVersion {
		t.Errorf("the second use of the day: %v %v", ok, err)
	}
	if _, ok, err := w.Tokens.Authenticate(ctx, token, []string{"elsewhere"}); ok || err == nil {
		t.Errorf("for somebody else: %v %v", ok, err)
	}
	refused("another token", sign(map[string]string{"x": "y"}), "Token does not match server's copy")
	refused("no Secret", sign(map[string]string{prefix + "secret.name": "none"}), "Token has been invalidated")
	refused("no claim", sign(map[string]string{prefix + "namespace": ""}), "namespace claim is missing")
	refused("another subject", sign(map[string]string{"sub": "system:serviceaccount:default:other"}), "sub claim is invalid")
	mark := func(value any) {
		t.Helper()
		if _, err := client.MergePatch(ctx, w.Root, client.Ref{Resource: client.Secrets, Namespace: "default", Name: "key"},
			map[string]any{"metadata": map[string]any{"labels": map[string]any{"kubernetes.io/legacy-token-invalid-since": value}}}); err != nil {
			t.Fatal(err)
		}
	}
	mark("2020-01-01")
	refused("marked", token, "has been marked invalid")
	mark(nil)
	if _, ok, err := w.Tokens.Authenticate(ctx, token, nil); !ok {
		t.Error(err)
	}
	if err := client.Delete(ctx, w.Root, client.Secrets, "default", "key", secret.UID); err != nil {
		t.Fatal(err)
	}
	refused("deleted", token, "Token has been invalidated")
}
