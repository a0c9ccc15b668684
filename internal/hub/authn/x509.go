package authn

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"time"

	"sampan.dev/internal/api"
)

// CredentialID is the extra that tells in audit records which credential a request came with.
const CredentialID = "authentication.kubernetes.io/credential-id"

// uidOID is the subject attribute that carries the user's UID (KEP-4872).
var uidOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57683, 2}

// certificates verifies client certificates against a pool that may be replaced, and remembers for a minute which ones
// were good: a verification costs a hundred microseconds, and a connection brings the same certificate with each request.
type certificates struct {
	roots func() *x509.CertPool
	good  *recent[[sha256.Size]byte, verified]
}

type verified struct {
	pool  *x509.CertPool
	until time.Time
}

const certTTL = time.Minute

func newCertificates(roots func() *x509.CertPool) *certificates {
	return &certificates{roots: roots, good: newRecent[[sha256.Size]byte, verified](2048)}
}

// verify returns upstream's error text for a certificate that is not good.
func (c *certificates) verify(chain []*x509.Certificate) error {
	leaf, roots, now := chain[0], c.roots(), time.Now()
	key := sha256.Sum256(leaf.Raw)
	if v, ok := c.good.get(key); ok && (v.pool == roots || v.pool.Equal(roots)) && now.Before(v.until) {
		return nil
	}
	inter := x509.NewCertPool()
	for _, x := range chain[1:] {
		inter.AddCert(x)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: inter, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("verifying certificate SN=%s, SKID=%s, AKID=%s failed: %w",
			leaf.SerialNumber, hexColon(leaf.SubjectKeyId), hexColon(leaf.AuthorityKeyId), err)
	}
	until := now.Add(certTTL)
	if leaf.NotAfter.Before(until) {
		until = leaf.NotAfter
	}
	c.good.put(key, verified{roots, until})
	return nil
}

// user is the subject: common name and organizations.
func (c *certificates) user(chain []*x509.Certificate) (api.User, bool, error) {
	if err := c.verify(chain); err != nil {
		return api.User{}, false, err
	}
	leaf := chain[0]
	if leaf.Subject.CommonName == "" {
		return api.User{}, false, nil
	}
	sum := sha256.Sum256(leaf.Raw)
	u := api.User{
		Name:   leaf.Subject.CommonName,
		Groups: leaf.Subject.Organization,
		Extra:  map[string][]string{CredentialID: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}
	for _, n := range leaf.Subject.Names {
		if !n.Type.Equal(uidOID) {
			continue
		}
		uid, ok := n.Value.(string)
		switch {
		case !ok:
			return api.User{}, false, fmt.Errorf("unable to parse UID into a string")
		case uid == "":
			return api.User{}, false, fmt.Errorf("UID cannot be an empty string")
		case u.UID != "":
			return api.User{}, false, fmt.Errorf("expected 1 UID, but found multiple")
		}
		u.UID = uid
	}
	return u, true, nil
}

func hexColon(b []byte) string {
	out := make([]byte, 0, 3*len(b))
	for i, x := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, fmt.Sprintf("%02X", x)...)
	}
	return string(out)
}
