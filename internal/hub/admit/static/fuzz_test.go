package static

import (
	"strings"
	"testing"
)

// What is taken of a file can be named, and has a name that the API gives nobody.
func FuzzManifest(f *testing.F) {
	for _, s := range []string{policy, binding, hook, "{", "kind: List\napiVersion: v1\nitems: [{}]\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, plugin := range []string{"ValidatingAdmissionPolicy", "MutatingAdmissionWebhook"} {
			d := folder{kinds: kindsOf(plugin)}
			for range d.kinds {
				d.lists, d.seen = append(d.lists, nil), append(d.seen, map[string]string{})
			}
			if d.document("f", []byte(text)) != nil {
				continue
			}
			for _, name := range strings.Fields(names(d.lists)) {
				if !strings.HasSuffix(name, ".static.k8s.io") {
					t.Errorf("%s: %q", plugin, name)
				}
			}
		}
	})
}
