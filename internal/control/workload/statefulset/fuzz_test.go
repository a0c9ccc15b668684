package statefulset

import "testing"

func FuzzName(f *testing.F) {
	f.Add("web-0")
	f.Add("web-99999999999")
	f.Add("-")
	f.Add("web-01")
	f.Fuzz(func(t *testing.T, in string) {
		if parent, n := parse(in); n >= 0 && len(parent) >= len(in) {
			t.Errorf("%q: %q %d", in, parent, n)
		}
	})
}
