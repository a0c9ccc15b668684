package podsecurity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	machinery "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
	sigsjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Config is what --admission-control-config-file says of the plugin: a PodSecurityConfiguration of the group
// pod-security.admission.config.k8s.io, whose versions v1, v1beta1 and v1alpha1 are alike. The zero value is upstream's default:
// every namespace is privileged, nobody is exempt.
type Config struct {
	metav1.TypeMeta `json:",inline"`

	Defaults   Defaults   `json:"defaults"`
	Exemptions Exemptions `json:"exemptions"`
}

// Defaults are the policies of namespaces whose labels do not say; "" is privileged, and the latest version.
type Defaults struct {
	Enforce        string `json:"enforce,omitempty"`
	EnforceVersion string `json:"enforce-version,omitempty"`
	Audit          string `json:"audit,omitempty"`
	AuditVersion   string `json:"audit-version,omitempty"`
	Warn           string `json:"warn,omitempty"`
	WarnVersion    string `json:"warn-version,omitempty"`
}

// Exemptions are the requests that no policy is for.
type Exemptions struct {
	Usernames      []string `json:"usernames,omitempty"`
	Namespaces     []string `json:"namespaces,omitempty"`
	RuntimeClasses []string `json:"runtimeClasses,omitempty"`
}

const group = "pod-security.admission.config.k8s.io/"

var versions = []string{group + "v1", group + "v1beta1", group + "v1alpha1"}

// ReadConfig reads a configuration in YAML or JSON. No text is the default. Unknown fields and wrong values are errors.
func ReadConfig(text []byte) (Config, error) {
	var c Config
	if len(text) == 0 {
		return c, nil
	}
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return c, err
	}
	strict, err := sigsjson.UnmarshalStrict(data, &c)
	if err == nil && len(strict) > 0 {
		err = fmt.Errorf("strict decoding error: %w", errors.Join(strict...))
	}
	if err != nil {
		return c, err
	}
	if c.Kind != "PodSecurityConfiguration" || !slices.Contains(versions, c.APIVersion) {
		return c, fmt.Errorf("no kind %q is registered for version %q", c.Kind, c.APIVersion)
	}
	return c, c.validate()
}

// policy is what the defaults choose.
func (d *Defaults) policy() (api.Policy, field.ErrorList) {
	var errs field.ErrorList
	read := func(name, level, version string) api.LevelVersion {
		out := api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}
		at := field.NewPath("defaults")
		var err error
		if level != "" {
			if out.Level, err = api.ParseLevel(level); err != nil {
				errs = append(errs, field.Invalid(at.Child(name), level, err.Error()))
			}
		}
		if version != "" {
			if out.Version, err = api.ParseVersion(version); err != nil {
				errs = append(errs, field.Invalid(at.Child(name+"-version"), version, err.Error()))
			}
		}
		return out
	}
	p := api.Policy{Enforce: read("enforce", d.Enforce, d.EnforceVersion), Warn: read("warn", d.Warn, d.WarnVersion), Audit: read("audit", d.Audit, d.AuditVersion)}
	return p, errs
}

func (c *Config) validate() error {
	_, errs := c.Defaults.policy()
	e := &c.Exemptions
	errs = append(errs, names("namespaces", e.Namespaces, machinery.ValidateNamespaceName)...)
	errs = append(errs, names("runtimeClasses", e.RuntimeClasses, machinery.NameIsDNSSubdomain)...)
	errs = append(errs, names("usernames", e.Usernames, func(s string, _ bool) []string {
		if s == "" {
			return []string{"username must not be empty"}
		}
		return nil
	})...)
	var all []error
	for _, err := range errs {
		all = append(all, err)
	}
	return utilerrors.NewAggregate(all)
}

// names checks a list of exemptions: each good, and none twice.
func names(what string, list []string, check func(string, bool) []string) (errs field.ErrorList) {
	for i, s := range list {
		at := field.NewPath("exemptions", what).Index(i)
		if msgs := check(s, false); len(msgs) > 0 {
			errs = append(errs, field.Invalid(at, s, strings.Join(msgs, ", ")))
		} else if slices.Contains(list[:i], s) {
			errs = append(errs, field.Duplicate(at, s))
		}
	}
	return errs
}
