package provider

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	configv1 "k8s.io/kubelet/config/v1"
	"sigs.k8s.io/yaml"
)

// The versions of the configuration and of what is said to programs. All of each have the same form; tokens came with v1.
var (
	configVersions = []string{"kubelet.config.k8s.io/v1", "kubelet.config.k8s.io/v1alpha1", "kubelet.config.k8s.io/v1beta1"}
	apiVersions    = []string{apiV1, "credentialprovider.kubelet.k8s.io/v1alpha1", "credentialprovider.kubelet.k8s.io/v1beta1"}
)

const apiV1 = "credentialprovider.kubelet.k8s.io/v1"

// Read reads the providers that a file, or the files *.json, *.yaml and *.yml of a folder, configure, and checks that their programs are in
// bin. hash identifies the configuration, as upstream's metric does: "sha256:…".
func Read(path, bin string) (list []configv1.CredentialProvider, hash string, err error) {
	if _, err := os.Stat(bin); errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("plugin binary directory %s did not exist", bin)
	} else if err != nil {
		return nil, "", fmt.Errorf("error inspecting binary directory %s: %w", bin, err)
	}
	files, err := filesOf(path)
	if err != nil {
		return nil, "", err
	}
	h := sha256.New()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, "", fmt.Errorf("unable to read file %q: %w", file, err)
		}
		_ = binary.Write(h, binary.BigEndian, uint64(len(data)))
		h.Write(data)
		some, err := decode(data)
		if err != nil {
			return nil, "", fmt.Errorf("error decoding config %q: %w", file, err)
		}
		for _, p := range some {
			if slices.ContainsFunc(list, func(o configv1.CredentialProvider) bool { return o.Name == p.Name }) {
				return nil, "", fmt.Errorf("duplicate provider name %q found in configuration file(s)", p.Name)
			}
			list = append(list, p)
		}
	}
	if errs := check(list); len(errs) > 0 {
		return nil, "", fmt.Errorf("failed to validate credential provider config: %w", errs.ToAggregate())
	}
	for _, p := range list {
		if _, err := exec.LookPath(filepath.Join(bin, p.Name)); err != nil {
			return nil, "", fmt.Errorf("plugin binary executable %s did not exist", filepath.Join(bin, p.Name))
		}
	}
	return list, fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}

func filesOf(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("unable to access path %q: %w", path, err)
	}
	if !st.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return nil, fmt.Errorf("unable to read directory %q: %w", path, err)
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".json", ".yaml", ".yml"}, filepath.Ext(e.Name())) {
			out = append(out, filepath.Join(path, e.Name()))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no configuration files found in directory %q", path)
	}
	return out, nil
}

func decode(data []byte) ([]configv1.CredentialProvider, error) {
	var c configv1.CredentialProviderConfig
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return nil, err
	}
	if c.Kind != "CredentialProviderConfig" {
		return nil, fmt.Errorf("failed to decode %q (wrong Kind)", c.Kind)
	}
	if !slices.Contains(configVersions, c.APIVersion) {
		return nil, fmt.Errorf("no kind %q is registered for version %q", c.Kind, c.APIVersion)
	}
	return c.Providers, nil
}

// check is upstream's validation.
func check(list []configv1.CredentialProvider) (errs field.ErrorList) {
	path := field.NewPath("providers")
	if len(list) == 0 {
		errs = append(errs, field.Required(path, "at least 1 item in plugins is required"))
	}
	for i := range list {
		p := &list[i]
		name := path.Child("name")
		switch {
		case strings.Contains(p.Name, "/"):
			errs = append(errs, field.Invalid(name, p.Name, "provider name cannot contain '/'"))
		case strings.Contains(p.Name, " "):
			errs = append(errs, field.Invalid(name, p.Name, "provider name cannot contain spaces"))
		case p.Name == ".", p.Name == "..":
			errs = append(errs, field.Invalid(name, p.Name, fmt.Sprintf("provider name cannot be '%s'", p.Name)))
		}
		switch {
		case p.APIVersion == "":
			errs = append(errs, field.Required(path.Child("apiVersion"), ""))
		case !slices.Contains(apiVersions, p.APIVersion):
			errs = append(errs, field.NotSupported(path.Child("apiVersion"), p.APIVersion, apiVersions))
		}
		if len(p.MatchImages) == 0 {
			errs = append(errs, field.Required(path.Child("matchImages"), "at least 1 item in matchImages is required"))
		}
		for _, m := range p.MatchImages {
			if _, err := parse(m); err != nil {
				errs = append(errs, field.Invalid(path.Child("matchImages"), m, "match image is invalid: "+err.Error()))
			}
		}
		switch d := p.DefaultCacheDuration; {
		case d == nil:
			errs = append(errs, field.Required(path.Child("defaultCacheDuration"), ""))
		case d.Duration < 0:
			errs = append(errs, field.Invalid(path.Child("defaultCacheDuration"), d, "must be greater than or equal to 0"))
		}
		if p.TokenAttributes != nil {
			errs = append(errs, checkToken(p, path.Child("tokenAttributes"))...)
		}
	}
	return errs
}

func checkToken(p *configv1.CredentialProvider, path *field.Path) (errs field.ErrorList) {
	a := p.TokenAttributes
	if a.ServiceAccountTokenAudience == "" {
		errs = append(errs, field.Required(path.Child("serviceAccountTokenAudience"), ""))
	}
	if a.RequireServiceAccount == nil {
		errs = append(errs, field.Required(path.Child("requireServiceAccount"), ""))
	}
	if p.APIVersion != apiV1 {
		errs = append(errs, field.Forbidden(path, "tokenAttributes is only supported for "+apiV1+" API version"))
	}
	if r := a.RequireServiceAccount; r != nil && !*r && len(a.RequiredServiceAccountAnnotationKeys) > 0 {
		errs = append(errs, field.Forbidden(path.Child("requiredServiceAccountAnnotationKeys"), "requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set"))
	}
	errs = append(errs, checkKeys(a.RequiredServiceAccountAnnotationKeys, path.Child("requiredServiceAccountAnnotationKeys"))...)
	errs = append(errs, checkKeys(a.OptionalServiceAccountAnnotationKeys, path.Child("optionalServiceAccountAnnotationKeys"))...)
	both := sets.New(a.RequiredServiceAccountAnnotationKeys...).Intersection(sets.New(a.OptionalServiceAccountAnnotationKeys...))
	if both.Len() > 0 {
		errs = append(errs, field.Invalid(path, sets.List(both), "annotation keys cannot be both required and optional"))
	}
	valid := []string{string(configv1.ServiceAccountServiceAccountTokenCacheType), string(configv1.TokenServiceAccountTokenCacheType)}
	switch {
	case a.CacheType == "":
		errs = append(errs, field.Required(path.Child("cacheType"), "cacheType is required to be set when tokenAttributes is specified. Supported values are: "+strings.Join(valid, ", ")))
	case !slices.Contains(valid, string(a.CacheType)):
		errs = append(errs, field.NotSupported(path.Child("cacheType"), string(a.CacheType), valid))
	}
	return errs
}

func checkKeys(keys []string, path *field.Path) (errs field.ErrorList) {
	for i, k := range keys {
		for _, msg := range content.IsLabelKey(strings.ToLower(k)) {
			errs = append(errs, field.Invalid(path, k, msg))
		}
		if slices.Contains(keys[:i], k) {
			errs = append(errs, field.Duplicate(path, k))
		}
	}
	return errs
}
