package authn

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authenticationv1beta1 "k8s.io/api/authentication/v1beta1"
)

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.csv")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("t1,alice,1\nt2,bob,2,\"a,b\"\n")
	users, err := ReadTokens(path)
	if err != nil || users["t1"].Name != "alice" || users["t2"].UID != "2" || !slices.Equal(users["t2"].Groups, []string{"a", "b"}) {
		t.Errorf("%+v, %v", users, err)
	}
	tokens := NewTokens(TokenConfig{Issuers: []string{"https://own"}, Outsiders: Outsiders{File: users}})
	r, ok, err := tokens.Authenticate(t.Context(), "t1", nil)
	if !ok || err != nil || r.User.Name != "alice" || !slices.Equal(r.Audiences, []string{"https://own"}) {
		t.Errorf("%+v %v %v", r, ok, err)
	}
	if _, ok, _ := tokens.Authenticate(t.Context(), "t1", []string{"somebody"}); ok {
		t.Error("a token of the file is meant for this server alone")
	}
	write("t1,alice\n")
	if _, err := ReadTokens(path); err == nil || !strings.Contains(err.Error(), "must have at least 3 columns (token, user name, user uid), found 2") {
		t.Error(err)
	}
}

// oracle answers TokenReviews: "good" is jane's, "down" brings it down.
type oracle struct{ asked int }

func (o *oracle) Post(_ context.Context, in, out any) error {
	o.asked++
	switch in := in.(type) {
	case *authenticationv1.TokenReview:
		if in.Spec.Token == "down" {
			return errors.New("unreachable")
		}
		out.(*authenticationv1.TokenReview).Status = authenticationv1.TokenReviewStatus{
			Authenticated: in.Spec.Token == "good", Error: map[bool]string{true: "", false: "unknown"}[in.Spec.Token == "good"],
			User: authenticationv1.UserInfo{Username: "jane", Groups: []string{"g"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}},
		}
	case *authenticationv1beta1.TokenReview:
		out.(*authenticationv1beta1.TokenReview).Status = authenticationv1beta1.TokenReviewStatus{
			Authenticated: in.Spec.Token == "good", User: authenticationv1beta1.UserInfo{Username: "jane"}, Audiences: []string{"there"},
		}
	}
	return nil
}

func TestTokenWebhook(t *testing.T) {
	o := &oracle{}
	hook, err := NewWebhook(o, "v1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	tokens := NewTokens(TokenConfig{Issuers: []string{"https://own"}, Outsiders: Outsiders{Webhook: hook}})
	for range 2 {
		r, ok, err := tokens.Authenticate(t.Context(), "good", nil)
		if !ok || err != nil || r.User.Name != "jane" || r.User.Extra["k"][0] != "v" || !slices.Equal(r.Audiences, []string{"https://own"}) {
			t.Errorf("%+v %v %v", r, ok, err)
		}
		if _, ok, err := tokens.Authenticate(t.Context(), "bad", nil); ok || err == nil || err.Error() != "unknown" {
			t.Errorf("%v %v", ok, err)
		}
	}
	if o.asked != 2 {
		t.Errorf("asked %d times", o.asked)
	}
	for range 2 {
		if _, ok, err := tokens.Authenticate(t.Context(), "down", nil); ok || err == nil || err.Error() != "unreachable" {
			t.Errorf("%v %v", ok, err)
		}
	}
	if o.asked != 4 {
		t.Error("that nobody answered is remembered")
	}
	beta, err := NewWebhook(o, "v1beta1", 0)
	if err != nil {
		t.Fatal(err)
	}
	tokens = NewTokens(TokenConfig{Issuers: []string{"https://own"}, Outsiders: Outsiders{Webhook: beta}})
	if r, ok, err := tokens.Authenticate(t.Context(), "good", []string{"there", "here"}); !ok || err != nil || !slices.Equal(r.Audiences, []string{"there"}) {
		t.Errorf("%+v %v %v", r, ok, err)
	}
	if _, ok, _ := tokens.Authenticate(t.Context(), "good", nil); ok {
		t.Error("a token for others is good here")
	}
	if _, err := NewWebhook(o, "v2", 0); err == nil {
		t.Error("version v2 is taken")
	}
}
