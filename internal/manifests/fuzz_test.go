package manifests

import "testing"

func FuzzDocuments(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\nkind: List\n"))
	f.Add([]byte("---"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"List","items":[{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		all, err := parse(in)
		for _, o := range all {
			if err == nil && (o == nil || o.Object == nil) {
				t.Error("an object of nothing")
			}
		}
	})
}
