package kinds

import (
	"embed"

	"sigs.k8s.io/yaml"
)

//go:embed bases/*.yaml
var files embed.FS

// base is a valid object with most of its fields set, and what else is known of its kind.
type base struct {
	Path   string         `json:"path"` // where it is created
	Object map[string]any `json:"object"`
	Status map[string]any `json:"status"` // a valid status; none: the kind has none
	Scale  bool           `json:"scale"`
	// Protected objects are given a finalizer when they are made, which nobody takes off in a differential run.
	Protected bool             `json:"protected"`
	Names     []string         `json:"names"`  // names to choose from where not any will do
	Values    map[string][]any `json:"values"` // further values by path ("spec.rules.0.verbs"), valid and not
}

// bases reads those of one file, or of all.
func bases(file string) []base {
	entries, err := files.ReadDir("bases")
	if err != nil {
		panic(err) // it is embedded
	}
	var out []base
	for _, e := range entries {
		if file != "" && e.Name() != file+".yaml" {
			continue
		}
		data, err := files.ReadFile("bases/" + e.Name())
		if err != nil {
			panic(err)
		}
		var some []base
		if err := yaml.UnmarshalStrict(data, &some); err != nil {
			panic(e.Name() + ": " + err.Error())
		}
		out = append(out, some...)
	}
	return out
}
