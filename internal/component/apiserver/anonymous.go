package apiserver

import (
	"fmt"
	"os"
	"slices"

	"sampan.dev/internal/hub/authn"

	"sigs.k8s.io/yaml"
)

// authenticationConfig is upstream's AuthenticationConfiguration, as far as it is built. Anything else in it is refused.
type authenticationConfig struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	JWT        []any  `json:"jwt"`
	Anonymous  *struct {
		Enabled    bool `json:"enabled"`
		Conditions []struct {
			Path string `json:"path"`
		} `json:"conditions"`
	} `json:"anonymous"`
}

// Anonymous reads --authentication-config ("" for none) and --anonymous-auth; upstream's rules and words where it has them.
func Anonymous(file string, auth bool) (authn.AnonymousAccess, error) {
	access := authn.AnonymousAccess{Off: !auth}
	if file == "" {
		return access, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return access, fmt.Errorf("--authentication-config: %w", err)
	}
	var c authenticationConfig
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return access, fmt.Errorf("--authentication-config %s: %w", file, err)
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("--authentication-config %s: %s", file, fmt.Sprintf(format, args...))
	}
	versions := []string{"apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"}
	switch {
	case c.Kind != "AuthenticationConfiguration" || !slices.Contains(versions, c.APIVersion):
		return access, bad("want an AuthenticationConfiguration of %s, not a %s of %s", versions[0], c.Kind, c.APIVersion)
	case len(c.JWT) > 0:
		return access, bad("jwt: authenticators of tokens of others are not built yet")
	case c.Anonymous == nil:
		return access, nil
	case !auth:
		return access, bad("anonymous: it cannot be configured here and by --anonymous-auth")
	case !c.Anonymous.Enabled && len(c.Anonymous.Conditions) > 0:
		return access, bad("anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined")
	}
	access.Off = !c.Anonymous.Enabled
	for _, cond := range c.Anonymous.Conditions {
		access.Paths = append(access.Paths, cond.Path)
	}
	return access, nil
}
