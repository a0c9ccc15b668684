package kubelet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"sampan.dev/internal/client"

	certv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Credential is a certificate of the node that the cluster's signers issue and that renews itself: the client certificate
// (a kubelet's identity) or the serving one. The key never leaves the node; key and certificate rest in one PEM file, as
// upstream keeps them, and a kubelet that is started again goes on with it.
type Credential struct {
	File   string // <root>/pki/kubelet-client-current.pem
	Signer string
	Usages []certv1.KeyUsage
	// Subject of the request; DNSNames and IPs may change between renewals.
	CommonName, Organization string
	DNSNames                 []string
	IPs                      func() []net.IP
	// Door is what the request is made through: with the bootstrap token before there is a certificate, with the
	// certificate afterwards.
	Door func() client.Interface
	Log  *slog.Logger
	// Former is an authority that signed such certificates once and does no more: one of its is in use until the first
	// request is answered, which is made at once. May be nil.
	Former *x509.CertPool
	// Patience is how long a request that names addresses may wait; then names alone are asked for, which the hub goes by, and
	// addresses again after an hour: whether the node has one may take an administrator to say. Zero waits.
	Patience time.Duration

	current atomic.Pointer[tls.Certificate]
	asked   bool          // a request was answered since the start; Run's
	bare    time.Time     // addresses are not asked for until then; Run's
	look    chan struct{} // see Look; nil for one whose names never change
}

// ClientCredential is the identity of a node.
func ClientCredential(root, node string, door func() client.Interface, log *slog.Logger) *Credential {
	return &Credential{File: filepath.Join(root, "pki", "kubelet-client-current.pem"), Signer: certv1.KubeAPIServerClientKubeletSignerName,
		Usages:     []certv1.KeyUsage{certv1.UsageDigitalSignature, certv1.UsageClientAuth},
		CommonName: "system:node:" + node, Organization: "system:nodes", Door: door, Log: log}
}

// ServingCredential is what the kubelet's HTTPS server shows.
func ServingCredential(root, node, hostname string, ips func() []net.IP, door func() client.Interface, log *slog.Logger) *Credential {
	return &Credential{File: filepath.Join(root, "pki", "kubelet-server-current.pem"), Signer: certv1.KubeletServingSignerName,
		Usages:     []certv1.KeyUsage{certv1.UsageDigitalSignature, certv1.UsageServerAuth},
		CommonName: "system:node:" + node, Organization: "system:nodes", DNSNames: names(hostname), IPs: ips, Door: door, Log: log,
		Patience: 3 * time.Second, look: make(chan struct{}, 1)}
}

// names are those of a host that is not called by an address.
func names(hostname string) []string {
	if net.ParseIP(hostname) != nil {
		return nil
	}
	return []string{hostname}
}

// Load reads the file; it reports false when there is no certificate in it that is still valid for this subject.
func (c *Credential) Load() bool {
	data, err := os.ReadFile(c.File)
	if err != nil {
		return false
	}
	pair, err := tls.X509KeyPair(data, data)
	if err != nil || pair.Leaf == nil || time.Now().After(pair.Leaf.NotAfter) || pair.Leaf.Subject.CommonName != c.CommonName {
		return false
	}
	c.current.Store(&pair)
	return true
}

// Certificate is the current one, nil before there is any.
func (c *Credential) Certificate() *tls.Certificate { return c.current.Load() }

// GetCertificate serves tls.Config.GetCertificate.
func (c *Credential) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if p := c.current.Load(); p != nil {
		return p, nil
	}
	return nil, errors.New("no serving certificate yet")
}

// GetClientCertificate serves tls.Config.GetClientCertificate.
func (c *Credential) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if p := c.current.Load(); p != nil {
		return p, nil
	}
	return &tls.Certificate{}, nil
}

// Run keeps the certificate: it asks for one when there is none, and for the next when the current has lived seven to nine
// tenths of its life. It returns when ctx ends.
func (c *Credential) Run(ctx context.Context) error {
	backoff := time.Second
	for {
		wait := time.Duration(0)
		if p := c.current.Load(); p != nil && c.covers(p.Leaf) && !c.former(p.Leaf) {
			wait = time.Until(renewal(p.Leaf))
			if c.isBare() {
				wait = min(wait, time.Until(c.bare)+time.Second)
			}
		}
		t := time.NewTimer(max(0, wait))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-c.look:
			t.Stop()
			c.bare = time.Time{} // other addresses may be vouched for
			continue
		case <-t.C:
		}
		if err := c.Obtain(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if c.impatient(err) {
				continue
			}
			c.Log.Warn("certificate not obtained, trying again", "signer", c.Signer, "error", err, "delay", backoff.String())
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, time.Minute)
			continue
		}
		backoff, c.asked = time.Second, true
		if !c.covers(c.current.Load().Leaf) { // the signer left out a name: asking again at once would not help
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Minute):
			}
		}
	}
}

// Look makes Run see whether the certificate still names all that it should.
func (c *Credential) Look() {
	select {
	case c.look <- struct{}{}:
	default:
	}
}

// covers reports whether a certificate names all that it should.
func (c *Credential) covers(leaf *x509.Certificate) bool {
	for _, name := range c.DNSNames {
		if leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	if c.IPs != nil && !c.isBare() {
		for _, ip := range c.IPs() {
			if leaf.VerifyHostname(ip.String()) != nil {
				return false
			}
		}
	}
	return true
}

// former tells whether a certificate is to be replaced because of who signed it. It is asked for once only: a cluster may
// still sign so.
func (c *Credential) former(leaf *x509.Certificate) bool {
	if c.Former == nil || c.asked {
		return false
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: c.Former, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// errUnanswered is a request that has waited for longer than its patience.
var errUnanswered = errors.New("nobody has answered it")

// impatient gives up asking for addresses when nobody says whether they are the node's.
func (c *Credential) impatient(err error) bool {
	if !errors.Is(err, errUnanswered) || c.isBare() || c.IPs == nil || len(c.DNSNames) == 0 {
		return false
	}
	c.bare = time.Now().Add(time.Hour)
	c.Log.Info("certificate not approved with the node's addresses, asking for its name alone", "signer", c.Signer, "addresses", c.IPs())
	return true
}

func (c *Credential) isBare() bool { return time.Now().Before(c.bare) }

func renewal(leaf *x509.Certificate) time.Time {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return leaf.NotBefore.Add(time.Duration(float64(life) * (0.7 + 0.2*mrand.Float64())))
}

// Obtain asks for a certificate once and waits until it is issued.
func (c *Credential) Obtain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: c.CommonName, Organization: []string{c.Organization}}, DNSNames: c.DNSNames}
	waiting := ctx
	if c.IPs != nil && !c.isBare() {
		tmpl.IPAddresses = c.IPs()
		if c.Patience > 0 {
			var cancel context.CancelFunc
			waiting, cancel = context.WithTimeoutCause(ctx, c.Patience, errUnanswered)
			defer cancel()
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		return fmt.Errorf("make certificate request: %w", err)
	}
	req := &certv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "csr-"},
		Spec:       certv1.CertificateSigningRequestSpec{Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: c.Signer, Usages: c.Usages},
	}
	made, err := client.Create(ctx, c.Door(), client.CSRs, req)
	if err != nil {
		return fmt.Errorf("request a certificate of %s: %w", c.Signer, err)
	}
	cert, err := c.await(waiting, made.Name)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(waiting), errUnanswered) {
		err = errUnanswered
	}
	if err != nil {
		return fmt.Errorf("certificate request %s: %w", made.Name, err)
	}
	return c.store(key, cert)
}

// await follows one request until it has been answered.
func (c *Credential) await(ctx context.Context, name string) ([]byte, error) {
	door := c.Door()
	for {
		opts := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
		list, err := door.List(ctx, client.Ref{Resource: client.CSRs}, opts)
		if err != nil {
			return nil, err
		}
		for _, o := range list.Items {
			if cert, done, err := answer(o.(*certv1.CertificateSigningRequest)); done {
				return cert, err
			}
		}
		if len(list.Items) == 0 {
			return nil, errors.New("gone before it was answered")
		}
		opts.ResourceVersion = list.ResourceVersion
		w, err := door.Watch(ctx, client.Ref{Resource: client.CSRs}, opts)
		if err != nil {
			return nil, err
		}
		cert, done, err := follows(w)
		if done {
			return cert, err
		}
		select { // a watch that ends at once must not be asked for as fast as it ends
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func follows(w watch.Interface) (cert []byte, done bool, err error) {
	defer w.Stop()
	for e := range w.ResultChan() {
		csr, ok := e.Object.(*certv1.CertificateSigningRequest)
		if !ok {
			return nil, false, nil // expired: list again
		}
		if e.Type == watch.Deleted {
			return nil, true, errors.New("gone before it was answered")
		}
		if cert, done, err := answer(csr); done {
			return cert, true, err
		}
	}
	return nil, false, nil
}

func answer(csr *certv1.CertificateSigningRequest) (cert []byte, done bool, err error) {
	for _, cond := range csr.Status.Conditions {
		switch cond.Type {
		case certv1.CertificateDenied:
			return nil, true, fmt.Errorf("denied: %s: %s", cond.Reason, cond.Message)
		case certv1.CertificateFailed:
			return nil, true, fmt.Errorf("failed: %s: %s", cond.Reason, cond.Message)
		}
	}
	return csr.Status.Certificate, len(csr.Status.Certificate) > 0, nil
}

// store writes certificate and key and begins to use them.
func (c *Credential) store(key *ecdsa.PrivateKey, cert []byte) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	data := append(bytes.TrimRight(cert, "\n"), '\n')
	data = append(data, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return fmt.Errorf("issued certificate: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(c.File), 0o700); err != nil {
		return err
	}
	tmp := c.File + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, c.File); err != nil {
		return err
	}
	c.current.Store(&pair)
	c.Log.Info("certificate issued", "signer", c.Signer, "until", pair.Leaf.NotAfter.Format(time.RFC3339))
	return nil
}
