package pki

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Pair is a certificate with its key that may be replaced while it is in use. The zero Pair is empty.
type Pair struct {
	CertFile, KeyFile string // where it is kept; empty for one that lives in memory only

	cert    atomic.Pointer[tls.Certificate]
	checked atomic.Int64 // when the files were last looked at, Unix nanoseconds
	mtime   atomic.Int64 // of CertFile when it was read
	watch   bool         // files belong to somebody else, who may replace them
}

// reloadEvery is how often, at most, a handshake looks whether foreign files have changed. It costs one stat.
const reloadEvery = 10 * time.Second

// LoadPair reads a pair that somebody else keeps (--tls-cert-file) and follows its replacement: a handshake that comes
// ten seconds after the last look stats the file.
func LoadPair(certFile, keyFile string) (*Pair, error) {
	p := &Pair{CertFile: certFile, KeyFile: keyFile, watch: true}
	if err := p.load(); err != nil {
		return nil, err
	}
	p.checked.Store(time.Now().UnixNano())
	return p, nil
}

// NewPair makes a pair that lives in memory.
func NewPair(c *tls.Certificate) *Pair {
	p := &Pair{}
	p.cert.Store(c)
	return p
}

// Set replaces the certificate for all later handshakes.
func (p *Pair) Set(c *tls.Certificate) { p.cert.Store(c) }

// Certificate is the current one, with Leaf parsed. Nil when there is none yet.
func (p *Pair) Certificate() *tls.Certificate {
	if p.watch {
		p.refresh()
	}
	return p.cert.Load()
}

// GetCertificate is for tls.Config of a server.
func (p *Pair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := p.Certificate(); c != nil {
		return c, nil
	}
	return nil, errors.New("no serving certificate yet")
}

// GetClientCertificate is for tls.Config of a client. Without a certificate it answers an empty one, which sends none.
func (p *Pair) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if c := p.Certificate(); c != nil {
		return c, nil
	}
	return &tls.Certificate{}, nil
}

// PEM returns the certificate chain and the key (PKCS #8) as PEM.
func (p *Pair) PEM() (cert, key []byte, err error) {
	c := p.Certificate()
	if c == nil {
		return nil, nil, errors.New("no certificate")
	}
	signer, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("private key is %T", c.PrivateKey)
	}
	key, err = encodeKey(signer)
	return encodeCerts(c.Certificate...), key, err
}

func (p *Pair) refresh() {
	now := time.Now().UnixNano()
	last := p.checked.Load()
	if now-last < int64(reloadEvery) || !p.checked.CompareAndSwap(last, now) {
		return
	}
	if st, err := os.Stat(p.CertFile); err == nil && st.ModTime().UnixNano() != p.mtime.Load() {
		_ = p.load() // a half-written pair does not match; the old one serves until it does
	}
}

func (p *Pair) load() error {
	var mtime int64
	if st, err := os.Stat(p.CertFile); err == nil {
		mtime = st.ModTime().UnixNano()
	}
	c, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	if err != nil {
		return fmt.Errorf("load certificate %s: %w", p.CertFile, err)
	}
	if c.Leaf == nil {
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return fmt.Errorf("load certificate %s: %w", p.CertFile, err)
		}
	}
	p.cert.Store(&c)
	p.mtime.Store(mtime)
	return nil
}

func encodeCerts(der ...[]byte) []byte {
	var out []byte
	for _, d := range der {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d})...)
	}
	return out
}

func encodeKey(k crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodePublic(k crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParseCertificates reads every certificate of a PEM bundle.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("no certificate in PEM data")
	}
	return out, nil
}

// ParsePrivateKey reads a PEM private key: PKCS #8, PKCS #1 or SEC 1.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return nil, errors.New("no private key in PEM data")
		}
		switch b.Type {
		case "EC PRIVATE KEY":
			return x509.ParseECPrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			return x509.ParsePKCS1PrivateKey(b.Bytes)
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
			if err != nil {
				return nil, err
			}
			if s, ok := k.(crypto.Signer); ok {
				return s, nil
			}
			return nil, fmt.Errorf("private key is %T", k)
		}
	}
}

// ParsePublicKeys reads every public key of PEM data: keys as such, those of certificates, and those that belong to
// private keys (--service-account-key-file accepts all of them).
func ParsePublicKeys(data []byte) ([]crypto.PublicKey, error) {
	var out []crypto.PublicKey
	rest := data
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		switch b.Type {
		case "PUBLIC KEY":
			k, err := x509.ParsePKIXPublicKey(b.Bytes)
			if err != nil {
				return nil, err
			}
			out = append(out, k)
		case "RSA PUBLIC KEY":
			k, err := x509.ParsePKCS1PublicKey(b.Bytes)
			if err != nil {
				return nil, err
			}
			out = append(out, k)
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, err
			}
			out = append(out, c.PublicKey)
		default:
			k, err := ParsePrivateKey(pem.EncodeToMemory(b))
			if err != nil {
				return nil, err
			}
			out = append(out, k.Public())
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no public key in PEM data")
	}
	return out, nil
}

// SelfSigned makes a pair that vouches for itself, for a port whose clients do not verify it. It lives in memory.
func SelfSigned(name string, ips ...net.IP) (*Pair, error) {
	ca, err := NewAuthority(name + "-ca")
	if err != nil {
		return nil, err
	}
	cert, err := ca.Issue(Request{CommonName: name, Server: true, DNSNames: []string{name, "localhost"}, IPs: append(ips, net.IPv4(127, 0, 0, 1))})
	if err != nil {
		return nil, err
	}
	cert.Certificate = append(cert.Certificate, ca.Cert.Raw)
	return NewPair(cert), nil
}

// ReadPool reads the certificates of a PEM file: its text, and the pool of those who are in it.
func ReadPool(file string) ([]byte, *x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, nil, fmt.Errorf("no certificate in %s", file)
	}
	return data, pool, nil
}

// ReadAuthority reads an authority that somebody else keeps: its certificate, and its key unless keyFile is "".
func ReadAuthority(certFile, keyFile string) (*Authority, error) {
	data, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	certs, err := ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	a := &Authority{Cert: certs[0]}
	if keyFile == "" {
		return a, nil
	}
	if data, err = os.ReadFile(keyFile); err != nil {
		return nil, err
	}
	if a.Key, err = ParsePrivateKey(data); err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	return a, nil
}
