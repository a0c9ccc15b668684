package credential

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"sampan.dev/internal/client"

	certv1 "k8s.io/api/certificates/v1"
)

// Credential is a certificate of the node that the cluster's signers issue and that renews itself: the client certificate
// (a kubelet's identity) or the serving one. The key never leaves the node. Key and certificate are kept in one PEM file,
// where upstream's kubelet keeps them, and a kubelet that is restarted goes on with that file.
//
// The exported fields are set before Run and not changed after. The goroutine of Run is the only one that requests
// certificates; any goroutine may ask for the current one.
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
	// Former holds an authority that used to sign such certificates and does so no more. A certificate of that authority
	// stays in use until a new one is issued, which is requested as soon as Run begins. May be nil.
	Former *x509.CertPool
	// Patience is how long a request that names addresses may stay without an answer. After that a certificate for the DNS
	// names alone is requested (the hub verifies the kubelet by its name), and addresses are tried again after an hour:
	// an administrator may have to approve them. Zero waits without bound.
	Patience time.Duration

	current atomic.Pointer[tls.Certificate]
	asked   bool          // a certificate was issued since the start; owned by Run
	bare    time.Time     // until then addresses are left out of requests; owned by Run
	look    chan struct{} // wakes Run, see Look; nil where names and addresses never change
}

// Client is the identity of a node towards the API server, kept below root/pki.
func Client(root, node string, door func() client.Interface, log *slog.Logger) *Credential {
	return &Credential{File: filepath.Join(root, "pki", "kubelet-client-current.pem"), Signer: certv1.KubeAPIServerClientKubeletSignerName,
		Usages:     []certv1.KeyUsage{certv1.UsageDigitalSignature, certv1.UsageClientAuth},
		CommonName: "system:node:" + node, Organization: "system:nodes", Door: door, Log: log}
}

// Serving is the certificate of the kubelet's HTTPS server, for its hostname and the addresses that ips returns.
func Serving(root, node, hostname string, ips func() []net.IP, door func() client.Interface, log *slog.Logger) *Credential {
	return &Credential{File: filepath.Join(root, "pki", "kubelet-server-current.pem"), Signer: certv1.KubeletServingSignerName,
		Usages:     []certv1.KeyUsage{certv1.UsageDigitalSignature, certv1.UsageServerAuth},
		CommonName: "system:node:" + node, Organization: "system:nodes", DNSNames: names(hostname), IPs: ips, Door: door, Log: log,
		Patience: 3 * time.Second, look: make(chan struct{}, 1)}
}

// names returns the DNS names of a host: none when the host is named by an address.
func names(hostname string) []string {
	if net.ParseIP(hostname) != nil {
		return nil
	}
	return []string{hostname}
}

// Load reads the certificate file. It reports false when the file holds no certificate of this subject that is still valid.
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
