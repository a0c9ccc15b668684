package admit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

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
}

// settingsUnread are the plugins whose settings upstream reads and this program does not.
var settingsUnread = []string{"MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"}

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
		read := settingsOf[p.Name]
		switch {
		case read != nil:
			err = read(&out, text)
		case len(text) > 0 && slices.Contains(settingsUnread, p.Name):
			err = errors.New("settings of this plugin are not read yet")
		}
		if err != nil {
			return out, fmt.Errorf("couldn't init admission plugin %q: %w", p.Name, err)
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
		case conf.StaticManifestsDir != "":
			return errors.New("staticManifestsDir is not read yet")
		case conf.KubeConfigFile == "":
			return nil
		case !filepath.IsAbs(conf.KubeConfigFile):
			return field.Invalid(field.NewPath("kubeConfigFile"), conf.KubeConfigFile, "must be an absolute file path")
		}
		if out.Askers == nil {
			out.Askers = map[string]string{}
		}
		out.Askers[plugin] = conf.KubeConfigFile
		return nil
	}
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
