package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// How long things live. Leaf certificates are reissued when a third of their life is left.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	backdate = 5 * time.Minute // clocks of joining machines differ (upstream's signer does the same)
)

// Authority is a certificate authority. Key is nil for one that can only be trusted.
type Authority struct {
	Cert *x509.Certificate
	Key  crypto.Signer

	pool     *x509.CertPool
	makePool sync.Once
}

// NewAuthority makes a self-signed authority.
func NewAuthority(name string) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name}, // as kubeadm, which does it for Go's sake
		NotBefore:             now.Add(-backdate).UTC(),
		NotAfter:              now.Add(caLife).UTC(),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	return &Authority{Cert: cert, Key: key}, nil
}

// Request says what a leaf certificate is for.
type Request struct {
	CommonName   string
	Organization []string
	DNSNames     []string
	IPs          []net.IP
	Server       bool
	Client       bool
	Life         time.Duration // zero means a year; never beyond the authority's own
}

// Issue makes a key and a certificate for it. The chain holds the leaf alone: the authority is what clients are given.
func (a *Authority) Issue(r Request) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	if r.Life == 0 {
		r.Life = leafLife
	}
	tmpl := &x509.Certificate{
		Subject:  pkix.Name{CommonName: r.CommonName, Organization: r.Organization},
		DNSNames: r.DNSNames, IPAddresses: r.IPs,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	if r.Server {
		tmpl.ExtKeyUsage = append(tmpl.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		tmpl.ExtKeyUsage = append(tmpl.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	leaf, err := a.sign(tmpl, key.Public(), r.Life)
	if err != nil {
		return nil, fmt.Errorf("issue certificate %s: %w", r.CommonName, err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// SignRequest answers a certificate signing request with a PEM certificate that has the request's subject and names, the
// given usages and no others, and lives for life at most. Whether it may be signed is the caller's to decide.
func (a *Authority) SignRequest(csr *x509.CertificateRequest, usages []certificatesv1.KeyUsage, life time.Duration) ([]byte, error) {
	if a.Key == nil {
		return nil, fmt.Errorf("sign request of %q: the authority's key is not here", csr.Subject.CommonName)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("unable to verify certificate request signature: %w", err)
	}
	ku, eku, err := KeyUsages(usages)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		RawSubject: csr.RawSubject, Subject: csr.Subject,
		DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses, EmailAddresses: csr.EmailAddresses, URIs: csr.URIs,
		KeyUsage: ku, ExtKeyUsage: eku,
	}
	leaf, err := a.sign(tmpl, csr.PublicKey, life)
	if err != nil {
		return nil, fmt.Errorf("failed to sign certificate: %w", err)
	}
	return encodeCerts(leaf.Raw), nil
}

func (a *Authority) sign(tmpl *x509.Certificate, pub crypto.PublicKey, life time.Duration) (*x509.Certificate, error) {
	if a.Key == nil {
		return nil, fmt.Errorf("the key of %q is not here", a.Cert.Subject.CommonName)
	}
	now := time.Now()
	tmpl.SerialNumber = serial()
	tmpl.BasicConstraintsValid = true
	tmpl.NotBefore = now.Add(-backdate).UTC()
	tmpl.NotAfter = now.Add(life).UTC()
	if tmpl.NotAfter.After(a.Cert.NotAfter) {
		tmpl.NotAfter = a.Cert.NotAfter
	}
	if !now.Before(a.Cert.NotAfter) {
		return nil, fmt.Errorf("refusing to sign a certificate that expired in the past: %q expired %s", a.Cert.Subject.CommonName, a.Cert.NotAfter)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.Cert, pub, a.Key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return encodeCerts(a.Cert.Raw) }

// Pool holds the authority alone. It is made once and shared: add nothing to it.
func (a *Authority) Pool() *x509.CertPool {
	a.makePool.Do(func() {
		a.pool = x509.NewCertPool()
		a.pool.AddCert(a.Cert)
	})
	return a.pool
}

// Hash pins the authority for a joining node, as kubeadm's --discovery-token-ca-cert-hash: "sha256:" and the hex digest of
// the public key's SubjectPublicKeyInfo.
func (a *Authority) Hash() string { return PublicKeyHash(a.Cert) }

// PublicKeyHash pins any certificate's key in kubeadm's form.
func PublicKeyHash(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var keyUsages = map[certificatesv1.KeyUsage]x509.KeyUsage{
	certificatesv1.UsageSigning:           x509.KeyUsageDigitalSignature,
	certificatesv1.UsageDigitalSignature:  x509.KeyUsageDigitalSignature,
	certificatesv1.UsageContentCommitment: x509.KeyUsageContentCommitment,
	certificatesv1.UsageKeyEncipherment:   x509.KeyUsageKeyEncipherment,
	certificatesv1.UsageKeyAgreement:      x509.KeyUsageKeyAgreement,
	certificatesv1.UsageDataEncipherment:  x509.KeyUsageDataEncipherment,
	certificatesv1.UsageCertSign:          x509.KeyUsageCertSign,
	certificatesv1.UsageCRLSign:           x509.KeyUsageCRLSign,
	certificatesv1.UsageEncipherOnly:      x509.KeyUsageEncipherOnly,
	certificatesv1.UsageDecipherOnly:      x509.KeyUsageDecipherOnly,
}

var extKeyUsages = map[certificatesv1.KeyUsage]x509.ExtKeyUsage{
	certificatesv1.UsageAny:             x509.ExtKeyUsageAny,
	certificatesv1.UsageServerAuth:      x509.ExtKeyUsageServerAuth,
	certificatesv1.UsageClientAuth:      x509.ExtKeyUsageClientAuth,
	certificatesv1.UsageCodeSigning:     x509.ExtKeyUsageCodeSigning,
	certificatesv1.UsageEmailProtection: x509.ExtKeyUsageEmailProtection,
	certificatesv1.UsageSMIME:           x509.ExtKeyUsageEmailProtection,
	certificatesv1.UsageIPsecEndSystem:  x509.ExtKeyUsageIPSECEndSystem,
	certificatesv1.UsageIPsecTunnel:     x509.ExtKeyUsageIPSECTunnel,
	certificatesv1.UsageIPsecUser:       x509.ExtKeyUsageIPSECUser,
	certificatesv1.UsageTimestamping:    x509.ExtKeyUsageTimeStamping,
	certificatesv1.UsageOCSPSigning:     x509.ExtKeyUsageOCSPSigning,
	certificatesv1.UsageMicrosoftSGC:    x509.ExtKeyUsageMicrosoftServerGatedCrypto,
	certificatesv1.UsageNetscapeSGC:     x509.ExtKeyUsageNetscapeServerGatedCrypto,
}

// KeyUsages splits the API's usages into those of the key and the extended ones, sorted.
func KeyUsages(usages []certificatesv1.KeyUsage) (x509.KeyUsage, []x509.ExtKeyUsage, error) {
	var ku x509.KeyUsage
	var eku []x509.ExtKeyUsage
	for _, u := range usages {
		if v, ok := keyUsages[u]; ok {
			ku |= v
		} else if v, ok := extKeyUsages[u]; ok {
			if !slices.Contains(eku, v) {
				eku = append(eku, v)
			}
		} else {
			return 0, nil, fmt.Errorf("unrecognized usage value: %q", u)
		}
	}
	slices.Sort(eku)
	return ku, eku, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return k, nil
}

// serial is a random positive 126-bit number; RFC 5280 allows 159 bits and browsers ask for 64 of entropy.
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	b[0] = b[0]&0x3f | 0x20
	return new(big.Int).SetBytes(b[:])
}
