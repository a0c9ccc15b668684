package apiserver

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/hub/authn"
)

func TestAnonymousAccess(t *testing.T) {
	const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
	for _, c := range []struct {
		file  string
		auth  bool
		off   bool
		paths []string
		want  string
	}{
		{"", true, false, nil, ""},
		{"", false, true, nil, ""},
		{head, true, false, nil, ""},
		{head, false, true, nil, ""},
		{head + "anonymous: {enabled: false}\n", true, true, nil, ""},
		{head + "anonymous: {enabled: true}\n", true, false, nil, ""},
		{head + "anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}\n", true, false, []string{"/livez", "/readyz"}, ""},
		{head + "anonymous: {enabled: false, conditions: [{path: /livez}]}\n", true, false, nil, "enabled should be set to true when conditions are defined"},
		{head + "anonymous: {enabled: true}\n", false, false, nil, "--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file"},
		{head + "jwt: [{issuer: {url: https://example.org}}]\n", true, false, nil, "jwt[0].issuer.audiences: Required value"},
		{head + "unknown: 1\n", true, false, nil, "unknown field"},
		{strings.Replace(head, "Authentication", "Authorization", 1), true, false, nil, "expected AuthenticationConfiguration, got *apiserver.AuthorizationConfiguration"},
	} {
		file := ""
		if c.file != "" {
			file = filepath.Join(t.TempDir(), "authentication.yaml")
			if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		conf := New()
		conf.JWT.File, conf.AnonymousAuth = file, c.auth
		var got authn.AnonymousAccess
		settings, err := conf.JWTIssuers()
		if err == nil {
			got, err = conf.Anonymous(settings)
		}
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.file, err)
			}
			continue
		}
		if err != nil || got.Off != c.off || !slices.Equal(got.Paths, c.paths) {
			t.Errorf("%s: %+v %v", c.file, got, err)
		}
	}
}
