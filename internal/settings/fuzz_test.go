package settings

import "testing"

func FuzzFile(f *testing.F) {
	f.Add([]byte("name: a\nsystem-reserved: {cpu: 500m}\nlist: [a, b]\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("- a"))
	f.Add([]byte("{"))
	f.Fuzz(func(_ *testing.T, in []byte) {
		_, _ = parse("f", in)
	})
}
