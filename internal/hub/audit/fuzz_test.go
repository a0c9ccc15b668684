package audit

import "testing"

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, verbs: [get], resources: [{group: '', resources: [pods, pods/*]}]}]\n", "kind: Policy", "{", "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [X]\nrules: [{level: None, nonResourceURLs: ['/x*']}]\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, data []byte) { _, _, _ = parsePolicy(data) })
}
