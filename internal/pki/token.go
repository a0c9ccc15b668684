package pki

import (
	"crypto/rand"
	"fmt"

	"sampan.dev/internal/pattern"
)

// BootstrapToken is kubeadm's: ID is public, Secret is not.
type BootstrapToken struct{ ID, Secret string }

var bootstrapToken = pattern.New(`^([a-z0-9]{6})\.([a-z0-9]{16})$`)

// NewBootstrapToken makes a random one. The alphabet has 36 letters; bytes that would favour some of them are thrown away.
func NewBootstrapToken() BootstrapToken {
	return BootstrapToken{ID: randomString(6), Secret: randomString(16)}
}

// ParseBootstrapToken reads ID.SECRET.
func ParseBootstrapToken(s string) (BootstrapToken, error) {
	m := bootstrapToken.FindStringSubmatch(s)
	if m == nil {
		return BootstrapToken{}, fmt.Errorf("the bootstrap token is not of the form %q", `\A([a-z0-9]{6})\.([a-z0-9]{16})\z`)
	}
	return BootstrapToken{ID: m[1], Secret: m[2]}, nil
}

func (t BootstrapToken) String() string { return t.ID + "." + t.Secret }

func randomString(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, n)
	var buf [32]byte
	for {
		_, _ = rand.Read(buf[:]) // never fails since Go 1.24
		for _, b := range buf {
			if b >= 252 {
				continue
			}
			if out = append(out, letters[b%36]); len(out) == n {
				return string(out)
			}
		}
	}
}
