package why

import "testing"

func FuzzName(f *testing.F) {
	f.Add("pod/web-0")
	f.Add("pods/a/b")
	f.Add("/")
	f.Fuzz(func(t *testing.T, in string) {
		if kind, name, err := Parse(in); err == nil && (kind == "" || name == "") {
			t.Errorf("%q: %q %q", in, kind, name)
		}
	})
}
