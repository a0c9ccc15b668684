package cluster

import "testing"

func FuzzJoinToken(f *testing.F) {
	f.Add("sha256:00::abcdef.0123456789abcdef")
	f.Add("::")
	f.Add("sha256:::")
	f.Fuzz(func(t *testing.T, in string) {
		if tok, err := ParseJoinToken(in); err == nil && tok.String() != in {
			t.Errorf("%q: %q", in, tok)
		}
	})
}
