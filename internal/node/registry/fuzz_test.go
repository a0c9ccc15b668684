package registry

import "testing"

func FuzzRegistries(f *testing.F) {
	f.Add([]byte("mirrors:\n  docker.io:\n    endpoint: [\"https://a\"]\n"))
	f.Add([]byte("configs: {a: {auth: {username: b}}}"))
	f.Add([]byte("{"))
	f.Fuzz(func(_ *testing.T, in []byte) {
		_, _ = Parse(in)
	})
}
