package authz

import "testing"

func FuzzABAC(f *testing.F) {
	for _, s := range []string{`{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"a","namespace":"*","resource":"pods","apiGroup":"*","readonly":true}}`, `{"user":"a","resource":"pods"}`, `{`, `{"kind":"Policy"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, line []byte) { _, _ = parseABAC(line) })
}
