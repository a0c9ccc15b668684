package paging

import (
	"strings"
	"testing"
)

// A token that is taken leads to a key below the prefix, and one made of what it says means the same.
func FuzzToken(f *testing.F) {
	for _, s := range []string{Encode("/registry/pods/a/b", "/registry/pods/", 7), Encode("/registry/pods/a/b", "/registry/pods/", -1), "", "%", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8uLi9zZWNyZXRzIn0"} {
		f.Add(s)
	}
	const prefix = "/registry/pods/"
	f.Fuzz(func(t *testing.T, token string) {
		from, revision, err := Decode(token, prefix)
		if err != nil {
			return
		}
		if !strings.HasPrefix(from, prefix) || strings.Contains(from, "/../") {
			t.Errorf("%q leads to %q", token, from)
		}
		again, rev, err := Decode(Encode(from, prefix, revision), prefix)
		if err != nil || again != from || rev != revision {
			t.Errorf("%q: %q %d, again %q %d %v", token, from, revision, again, rev, err)
		}
	})
}
