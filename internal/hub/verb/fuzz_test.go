package verb

import "testing"

// A revision that is taken is one that was or will be.
func FuzzRevision(f *testing.F) {
	for _, s := range []string{"", "0", "12", "-1", "99999999999999999999", "01", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rv string) {
		if n, err := parseRevision(rv); err == nil && n < 0 {
			t.Errorf("%q: %d", rv, n)
		}
	})
}
