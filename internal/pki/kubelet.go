package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// nodeUser is what precedes a node's name in the common name of its certificates.
const nodeUser = "system:node:"

// KubeletTLS is for connections to kubelets: it shows them KubeletClient and believes only the kubelet of the node that is
// dialled by its name (the server name is the node's, never an address, since addresses are what a node says of itself).
func (s *Store) KubeletTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.KubeletCA.Cert)
	roots.AddCert(s.CA.Cert)
	c := ClientTLS(s.KubeletClient, roots, "")
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.VerifiedChains) == 0 {
			return errors.New("the kubelet's certificate was not verified")
		}
		return s.kubeletOf(cs.ServerName, cs.PeerCertificates[0])
	}
	return c
}

// kubeletOf tells what is wrong with a certificate whose chain and names have been verified as that of a node's kubelet.
//
// A store that is older than its kubelet authority had kubelets' certificates signed by the cluster's. Those are good until
// they end, which keeps nodes reachable that run an older version or have not asked again yet; that authority signs no new ones.
func (s *Store) kubeletOf(node string, leaf *x509.Certificate) error {
	name, ok := strings.CutPrefix(leaf.Subject.CommonName, nodeUser)
	if !ok || !slices.Equal(leaf.Subject.Organization, []string{"system:nodes"}) {
		return fmt.Errorf("the certificate is not a kubelet's but that of %s", leaf.Subject)
	}
	if node == "" { // the node's name is an address, which TLS leaves out of the greeting
		if ip := net.ParseIP(name); ip == nil || !slices.ContainsFunc(leaf.IPAddresses, ip.Equal) {
			return fmt.Errorf("the certificate is that of node %s", name)
		}
	} else if name != node {
		return fmt.Errorf("the certificate is that of node %s, not of %s", name, node)
	}
	if leaf.CheckSignatureFrom(s.KubeletCA.Cert) == nil {
		return nil
	}
	if !leaf.NotBefore.Before(s.KubeletCA.Cert.NotBefore) {
		return errors.New("the certificate is not of the authority of kubelets")
	}
	return nil
}
