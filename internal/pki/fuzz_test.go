package pki

import "testing"

func keysOf(f *testing.F) []byte {
	a, err := NewAuthority("x")
	if err != nil {
		f.Fatal(err)
	}
	return a.PEM()
}

func FuzzCertificates(f *testing.F) {
	f.Add(keysOf(f))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if all, err := ParseCertificates(data); err == nil && len(all) == 0 {
			t.Error("neither certificates nor an error")
		}
	})
}

func FuzzPrivateKey(f *testing.F) {
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := ParsePrivateKey(data); err == nil && k == nil {
			t.Error("neither a key nor an error")
		}
	})
}

func FuzzPublicKeys(f *testing.F) {
	f.Add(keysOf(f))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if all, err := ParsePublicKeys(data); err == nil && len(all) == 0 {
			t.Error("neither keys nor an error")
		}
	})
}

// A token that is taken is written as it was read.
func FuzzBootstrapToken(f *testing.F) {
	f.Add("abcdef.0123456789abcdef")
	f.Add("abcdef.")
	f.Fuzz(func(t *testing.T, s string) {
		if tok, err := ParseBootstrapToken(s); err == nil && tok.String() != s {
			t.Errorf("%q: %q", s, tok)
		}
	})
}
