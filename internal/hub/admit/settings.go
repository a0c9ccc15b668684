package admit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sampan.dev/internal/api/quota"
	"sampan.dev/internal/hub/admit/podsecurity"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	sigsjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Settings are what --admission-control-config-file says of single plugins. The zero value is upstream's default of each.
type Settings struct {
	PodSecurity podsecurity.Config
	Limited     []quota.Limited // of ResourceQuota: what may be used only under a quota
	// Askers are the kubeconfigs that say as whom webhooks are asked, by the plugin that asks.
	Askers map[string]string
	// Manifests are the folders with configurations of a plugin's own, by the plugin.
	Manifests map[string]string

	EventLimits   []EventLimit
	Images        *Images // nil: none were read
	NodeSelectors map[string]string
	Tolerations   Tolerations
}

// admissionConfiguration is the file: AdmissionConfiguration of apiserver.config.k8s.io/v1.
type admissionConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	Plugins []struct {
		Name          string          `json:"name"`
		Path          string          `json:"path,omitempty"` // of a file with the settings, relative to this one
		Configuration json.RawMessage `json:"configuration,omitempty"`
	} `json:"plugins"`
}

// settingsOf reads one plugin's settings into out, by the plugin's name.
var settingsOf = map[string]func(out *Settings, text []byte) error{
	"PodSecurity": func(out *Settings, text []byte) (err error) {
		out.PodSecurity, err = podsecurity.ReadConfig(text)
		return err
	},
	"ResourceQuota": func(out *Settings, text []byte) (err error) {
		out.Limited, err = readLimited(text)
		return err
	},
	"EventRateLimit":             readEventLimits,
	"ImagePolicyWebhook":         readImages,
	"PodNodeSelector":            readNodeSelectors,
	"PodTolerationRestriction":   readTolerations,
	"MutatingAdmissionWebhook":   readAsker("MutatingAdmissionWebhook"),
	"ValidatingAdmissionWebhook": readAsker("ValidatingAdmissionWebhook"),
	"MutatingAdmissionPolicy":    readManifests("MutatingAdmissionPolicy"),
	"ValidatingAdmissionPolicy":  readManifests("ValidatingAdmissionPolicy"),
}

// ReadSettings reads an AdmissionConfiguration; "" is no file. Plugins that have no settings may be named, as upstream lets them be.
func ReadSettings(file string) (Settings, error) {
	var out Settings
	if file == "" {
		return out, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return out, fmt.Errorf("unable to read admission control configuration from %q [%w]", file, err)
	}
	conf, err := admissionConfigurationOf(text)
	if err != nil {
		return out, err
	}
	for _, p := range conf.Plugins {
		text, err := []byte(nil), error(nil)
		switch {
		case p.Configuration != nil:
			text = p.Configuration
		case p.Path != "":
			path := p.Path
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(file), path)
			}
			if text, err = os.ReadFile(path); err != nil {
				return out, fmt.Errorf("couldn't init admission plugin %q: %w", p.Name, err)
			}
		}
		if read := settingsOf[p.Name]; read != nil {
			if err := read(&out, text); err != nil {
				return out, fmt.Errorf("couldn't init admission plugin %q: %w", p.Name, err)
			}
		}
	}
	return out, nil
}

// readAsker reads the WebhookAdmissionConfiguration of a plugin.
func readAsker(plugin string) func(*Settings, []byte) error {
	return func(out *Settings, text []byte) error {
		var conf struct {
			metav1.TypeMeta `json:",inline"`

			KubeConfigFile     string `json:"kubeConfigFile"`
			StaticManifestsDir string `json:"staticManifestsDir,omitempty"`
		}
		if len(text) == 0 {
			return nil
		}
		if err := strictly(text, &conf); err != nil {
			return err
		}
		switch {
		case conf.Kind != "WebhookAdmissionConfiguration" || conf.APIVersion != "apiserver.config.k8s.io/v1":
			return fmt.Errorf("no kind %q is registered for version %q", conf.Kind, conf.APIVersion)
		case conf.KubeConfigFile != "" && !filepath.IsAbs(conf.KubeConfigFile):
			return field.Invalid(field.NewPath("kubeConfigFile"), conf.KubeConfigFile, "must be an absolute file path")
		}
		if conf.KubeConfigFile != "" {
			if out.Askers == nil {
				out.Askers = map[string]string{}
			}
			out.Askers[plugin] = conf.KubeConfigFile
		}
		return out.manifests(plugin, conf.StaticManifestsDir)
	}
}

// readManifests reads the ValidatingAdmissionPolicyConfiguration or MutatingAdmissionPolicyConfiguration of a plugin.
func readManifests(plugin string) func(*Settings, []byte) error {
	return func(out *Settings, text []byte) error {
		var conf struct {
			metav1.TypeMeta `json:",inline"`

			StaticManifestsDir string `json:"staticManifestsDir,omitempty"`
		}
		if len(text) == 0 {
			return nil
		}
		if err := strictly(text, &conf); err != nil {
			return err
		}
		if conf.Kind != plugin+"Configuration" || conf.APIVersion != "apiserver.config.k8s.io/v1" {
			return fmt.Errorf("no kind %q is registered for version %q", conf.Kind, conf.APIVersion)
		}
		return out.manifests(plugin, conf.StaticManifestsDir)
	}
}

// manifests notes the folder of a plugin, which has to be there; "" is none.
func (s *Settings) manifests(plugin, dir string) error {
	if dir == "" {
		return nil
	}
	at := field.NewPath("staticManifestsDir")
	if !filepath.IsAbs(dir) {
		return field.Invalid(at, dir, "must be an absolute file path")
	}
	switch info, err := os.Stat(dir); {
	case err != nil:
		return field.Invalid(at, dir, fmt.Sprintf("unable to read: %v", err))
	case !info.IsDir():
		return field.Invalid(at, dir, "must be a directory")
	}
	if s.Manifests == nil {
		s.Manifests = map[string]string{}
	}
	s.Manifests[plugin] = dir
	return nil
}

// admissionConfigurationOf reads the file strictly.
func admissionConfigurationOf(text []byte) (*admissionConfiguration, error) {
	var conf admissionConfiguration
	if err := strictly(text, &conf); err != nil {
		return nil, err
	}
	if conf.Kind != "AdmissionConfiguration" || conf.APIVersion != "apiserver.config.k8s.io/v1" {
		return nil, fmt.Errorf("no kind %q is registered for version %q", conf.Kind, conf.APIVersion)
	}
	return &conf, nil
}

// strictly decodes YAML or JSON; unknown and doubled fields are errors.
func strictly(text []byte, into any) error {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	strict, err := sigsjson.UnmarshalStrict(data, into)
	if err == nil && len(strict) > 0 {
		err = fmt.Errorf("strict decoding error: %w", errors.Join(strict...))
	}
	return err
}
