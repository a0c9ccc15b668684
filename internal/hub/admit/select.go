package admit

import (
	"fmt"
	"slices"

	"sampan.dev/internal/api/unbuilt"
)

// optional are the plugins that upstream has and keeps off by default.
var optional = []string{
	"AlwaysAdmit", "AlwaysDeny", "AlwaysPullImages", "DenyServiceExternalIPs", "EventRateLimit", "ExtendedResourceToleration", "ImagePolicyWebhook",
	"LimitPodHardAntiAffinityTopology", "NamespaceAutoProvision", "NamespaceExists", "NodeRestriction", "OwnerReferencesPermissionEnforcement",
	"PodNodeSelector", "PodTolerationRestriction",
}

// Select turns upstream's --enable-admission-plugins and --disable-admission-plugins into what cfg leaves out and adds. The
// error names a plugin that nobody knows, that is not implemented, or that is in both lists.
func (cfg *Config) Select(enable, disable []string) error {
	var have []string
	for _, p := range New(Config{DenyExternalIPs: true}).plugins {
		have = append(have, p.Name())
	}
	known := func(flag, name string) error {
		if slices.Contains(have, name) || slices.Contains(optional, name) || slices.Contains(unbuilt.AdmissionPlugins, name) {
			return nil
		}
		return fmt.Errorf("--%s plugin %q is unknown", flag, name)
	}
	for _, name := range enable {
		switch err := known("enable-admission-plugins", name); {
		case err != nil:
			return err
		case slices.Contains(disable, name):
			return fmt.Errorf("plugin %q is in both --enable-admission-plugins and --disable-admission-plugins", name)
		case name == (denyExternalIPs{}).Name():
			cfg.DenyExternalIPs = true
		case slices.Contains(off, name) || name == (alwaysDeny{}).Name():
			if cfg.Enable == nil {
				cfg.Enable = map[string]bool{}
			}
			cfg.Enable[name] = true
		case !slices.Contains(have, name):
			return fmt.Errorf("--enable-admission-plugins plugin %q is not implemented yet", name)
		}
	}
	for _, name := range disable {
		if err := known("disable-admission-plugins", name); err != nil {
			return err
		}
		if cfg.Disable == nil {
			cfg.Disable = map[string]bool{}
		}
		cfg.Disable[name] = true
	}
	return nil
}
