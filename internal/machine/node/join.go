package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/pki"
)

// FetchAuthority connects to server and returns the authority (PEM) whose public key has the pinned hash, after checking
// that it signed the certificate the server shows. Nothing is sent but the TLS handshake, so a false server learns nothing.
func FetchAuthority(ctx context.Context, server, hash string) ([]byte, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, flag.Usage{Err: fmt.Errorf("--server %q: want https://ADDRESS:PORT", server)}
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "6443")
	}
	var authority *x509.Certificate
	verify := func(raw [][]byte, _ [][]*x509.Certificate) error {
		var chain []*x509.Certificate
		for _, der := range raw {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return err
			}
			chain = append(chain, c)
		}
		for _, c := range chain {
			if pki.PublicKeyHash(c) == hash {
				authority = c
			}
		}
		if authority == nil {
			return fmt.Errorf("%s does not belong to the cluster that the token is for: no authority in its chain has the hash %s", address, hash)
		}
		roots := x509.NewCertPool()
		roots.AddCert(authority)
		_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: u.Hostname()})
		return err
	}
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: 10 * time.Second},
		// Verification is ours, by the pinned hash: the authority is what is being looked for.
		Config: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: verify, MinVersion: tls.VersionTLS12, ServerName: serverName(u.Hostname())},
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", server, err)
	}
	conn.Close()
	if authority == nil {
		return nil, errors.New("the server showed no certificate")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}), nil
}

// serverName is what SNI may carry: a name, never an address.
func serverName(host string) string {
	if net.ParseIP(host) != nil {
		return ""
	}
	return host
}
