package apiserver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"

	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// needed are the versions without which the API server does not start: it writes or reads objects of them itself.
var needed = []schema.GroupVersion{
	{Version: "v1"}, {Group: "coordination.k8s.io", Version: "v1"}, {Group: "discovery.k8s.io", Version: "v1"},
	{Group: "rbac.authorization.k8s.io", Version: "v1"}, {Group: "scheduling.k8s.io", Version: "v1"},
}

// unbuilt are the versions that upstream serves when --runtime-config asks for them, and this program does not.
// Source: pkg/controlplane/instance.go of v1.37.1.
var unbuilt = []string{
	"admissionregistration.k8s.io/v1beta1", "authentication.k8s.io/v1beta1", "certificates.k8s.io/v1beta1", "coordination.k8s.io/v1beta1",
	"flowcontrol.apiserver.k8s.io/v1beta1", "flowcontrol.apiserver.k8s.io/v1beta2", "flowcontrol.apiserver.k8s.io/v1beta3", "storagemigration.k8s.io/v1beta1",
	"storage.k8s.io/v1beta1", "networking.k8s.io/v1beta1", "resource.k8s.io/v1beta1", "resource.k8s.io/v1beta2", "scheduling.k8s.io/v1beta1",
	"admissionregistration.k8s.io/v1alpha1", "internal.apiserver.k8s.io/v1alpha1", "authentication.k8s.io/v1alpha1", "coordination.k8s.io/v1alpha2",
	"certificates.k8s.io/v1alpha1", "lifecycle.k8s.io/v1alpha1", "resource.k8s.io/v1alpha3", "scheduling.k8s.io/v1alpha3", "storage.k8s.io/v1alpha1",
}

// onDemand are the versions that are built and served only when --runtime-config asks for them.
var onDemand = []schema.GroupVersion{schedulingv1alpha3.SchemeGroupVersion}

// kinds are all that can be served with the features that are on.
func (c *Config) kinds() *api.Kinds {
	if c.Gates.GenericWorkload {
		return all.Grouped()
	}
	return all.Kinds()
}

// Unserved are the versions that --runtime-config asks for and that are not built, or whose feature is off. Fails for one that upstream
// does not know either.
func (c *Config) Unserved() (out []string, err error) {
	said, err := switches(c.RuntimeConfig)
	if err != nil {
		return nil, err
	}
	served := map[string]bool{"v1": true}
	for _, k := range c.kinds().All() {
		served[k.GVK().GroupVersion().String()] = true
	}
	for name, on := range said {
		group, rest, _ := strings.Cut(name, "/")
		version, _, _ := strings.Cut(rest, "/")
		gv := group + "/" + version
		switch {
		case group == "api" && on && (version == "beta" || version == "alpha" || version == "all"):
			for _, u := range unbuilt {
				if _, v, _ := strings.Cut(u, "/"); !served[u] && (version == "all" || stability(v) == version) {
					out = append(out, u)
				}
			}
		case group == "api", rest == "", served[gv]:
		case !slices.Contains(unbuilt, gv):
			return nil, fmt.Errorf("group version %s that has not been registered", gv)
		case on:
			out = append(out, gv)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Served are the kinds that can be, without what --runtime-config switches off, and without what is only served when it asks for it: all versions or those of one stability, then single versions, then
// single resources, so that the narrower counts. What the API server needs itself stays with the wide ones and is an error by its name.
func (c *Config) Served() (*api.Kinds, error) {
	kinds := c.kinds()
	said, err := switches(c.RuntimeConfig)
	if err != nil || len(said) == 0 && !c.Gates.GenericWorkload {
		return kinds, err
	}
	var out []*api.Kind
	for _, k := range kinds.All() {
		gv := k.GVK().GroupVersion()
		on, wide := !slices.Contains(onDemand, gv), ""
		for _, word := range []string{"api/all", "api/" + stability(k.Version)} {
			if v, ok := said[word]; ok {
				on, wide = v, word
			}
		}
		for _, name := range []string{gv.String(), gv.String() + "/" + k.Resource} {
			if v, ok := said[name]; ok && k.Group != "" {
				on, wide = v, ""
			}
		}
		must := slices.Contains(needed, gv)
		if !on && must && wide == "" {
			return nil, fmt.Errorf("--runtime-config: %s/%s cannot be switched off: the API server itself uses it", gv, k.Resource)
		}
		if on || must {
			out = append(out, k)
		}
	}
	return whole(out)
}

// whole checks that no kind is left whose objects are stored as another that is not.
func whole(list []*api.Kind) (*api.Kinds, error) {
	kinds := api.NewKinds(list)
	for _, k := range list {
		if k.View != nil && kinds.Resource(k.View.Stored) == nil {
			return nil, fmt.Errorf("--runtime-config: %s/%s cannot be served without %s/%s, as which its objects are stored",
				k.GVK().GroupVersion(), k.Resource, k.View.Stored.GroupVersion(), k.View.Stored.Resource)
		}
	}
	return kinds, nil
}

// stability is the word of --runtime-config that a version belongs to.
func stability(version string) string {
	switch {
	case strings.Contains(version, "alpha"):
		return "alpha"
	case strings.Contains(version, "beta"):
		return "beta"
	}
	return "ga"
}

// switches reads NAME=BOOL pairs; a name alone is on.
func switches(given string) (map[string]bool, error) {
	out := map[string]bool{}
	for pair := range strings.SplitSeq(given, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if name == "" {
			continue
		}
		on := true
		if value != "" {
			var err error
			if on, err = strconv.ParseBool(value); err != nil {
				return nil, fmt.Errorf("invalid value %s=%s", name, value)
			}
		}
		if parts := strings.Split(name, "/"); len(parts) == 3 && strings.ToLower(parts[2]) != parts[2] {
			return nil, fmt.Errorf("invalid key %v: group/version/resource and resource is always lowercase plural, not %q", name, parts[2])
		}
		out[name] = on
	}
	return out, nil
}
