package authn_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/hub/authn"

	corev1 "k8s.io/api/core/v1"
)

// A token says what upstream's says in the same form, byte for byte but for its times, its number and its key: what reads it is
// not always a library.
func TestTokensAreWrittenAsUpstreamWritesThem(t *testing.T) {
	w := newWorld(t)
	sa := w.account("ann")
	sa = sa.DeepCopy()
	sa.UID = "uid-1"
	pod := &corev1.Pod{}
	pod.Name, pod.UID = "p", "uid-2"
	node := &corev1.Node{}
	node.Name, node.UID = "n", "uid-3"
	secret := &corev1.Secret{}
	secret.Name, secret.UID = "s", "uid-4"
	for _, c := range []struct {
		claims authn.Claims
		want   string
	}{
		{authn.Claims{Audiences: []string{"one"}},
			`{"aud":["one"],"exp":N,"iat":N,"iss":"ISSUER","jti":"U","kubernetes.io":{"namespace":"default","serviceaccount":{"name":"ann","uid":"uid-1"}},"nbf":N,"sub":"system:serviceaccount:default:ann"}`},
		{authn.Claims{Audiences: []string{"one", "two"}, Pod: pod, Node: node, WarnAfter: time.Hour},
			`{"aud":["one","two"],"exp":N,"iat":N,"iss":"ISSUER","jti":"U","kubernetes.io":{"namespace":"default","node":{"name":"n","uid":"uid-3"},"pod":{"name":"p","uid":"uid-2"},"serviceaccount":{"name":"ann","uid":"uid-1"},"warnafter":N},"nbf":N,"sub":"system:serviceaccount:default:ann"}`},
		{authn.Claims{Audiences: []string{"ISSUER"}, Secret: secret},
			`{"aud":["ISSUER"],"exp":N,"iat":N,"iss":"ISSUER","jti":"U","kubernetes.io":{"namespace":"default","secret":{"name":"s","uid":"uid-4"},"serviceaccount":{"name":"ann","uid":"uid-1"}},"nbf":N,"sub":"system:serviceaccount:default:ann"}`},
	} {
		c.claims.Account, c.claims.Life = sa, time.Hour
		for i, a := range c.claims.Audiences {
			if a == "ISSUER" {
				c.claims.Audiences[i] = w.Issuer.URL
			}
		}
		token, _, err := w.Issuer.Sign(c.claims)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(token, ".")
		if got := blank(t, parts[1], w.Issuer.URL); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		var head map[string]string
		raw, _ := base64.RawURLEncoding.DecodeString(parts[0])
		if err := json.Unmarshal(raw, &head); err != nil || len(head) != 2 || head["alg"] != "ES256" || len(head["kid"]) != 43 {
			t.Errorf("%s %v", raw, err)
		}
	}
}

var (
	number = regexp.MustCompile(`:1[0-9]{9}\b`)
	uuid   = regexp.MustCompile(`"jti":"[0-9a-f-]{36}"`)
)

func blank(t *testing.T, part, issuer string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	s := strings.ReplaceAll(string(raw), `"`+issuer+`"`, `"ISSUER"`)
	return uuid.ReplaceAllString(number.ReplaceAllString(s, ":N"), `"jti":"U"`)
}
