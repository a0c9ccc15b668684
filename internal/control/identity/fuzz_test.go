package identity

import "testing"

func FuzzRequest(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, in []byte) {
		if r, err := parseRequest(in); err == nil && r == nil {
			t.Error("neither a request nor an error")
		}
	})
}
