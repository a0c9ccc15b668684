package authn_test

import (
	"context"
	"crypto"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/hubtest"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// empty is a door behind which there is nothing.
type empty struct{ client.Interface }

func (empty) Get(_ context.Context, ref client.Ref, _ metav1.GetOptions) (runtime.Object, error) {
	return nil, apierrors.NewNotFound(ref.Resource.GroupResource(), ref.Name)
}

// Nothing that anybody makes up is a good token, or brings the hub down.
func FuzzToken(f *testing.F) {
	ca, err := pki.NewAuthority("x")
	if err != nil {
		f.Fatal(err)
	}
	keys, err := authn.NewKeys([]crypto.PublicKey{ca.Key.Public()})
	if err != nil {
		f.Fatal(err)
	}
	other, _ := pki.NewAuthority("y")
	iss, err := authn.NewIssuer(hubtest.Issuer, other.Key)
	if err != nil {
		f.Fatal(err)
	}
	tok, _, err := iss.Sign(authn.Claims{Account: &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "a", UID: "u"}}, Audiences: []string{hubtest.Issuer}, Life: time.Hour})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{tok, "", "..", "a.b.c", "abcdef.0123456789abcdef", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2t1YmVybmV0ZXMuZGVmYXVsdC5zdmMuY2x1c3Rlci5sb2NhbCJ9."} {
		f.Add(seed)
	}
	tokens := authn.NewTokens(authn.TokenConfig{Issuers: []string{hubtest.Issuer}, Keys: keys, Door: empty{}})
	f.Fuzz(func(t *testing.T, token string) {
		if r, ok, _ := tokens.Authenticate(t.Context(), token, nil); ok {
			t.Errorf("%q stands for %v", token, r)
		}
	})
}
