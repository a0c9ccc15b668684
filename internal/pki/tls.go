package pki

import (
	"crypto/tls"
	"crypto/x509"
)

// ServerTLS is for a listener that shows pair. Client certificates are asked for and not verified here: who the caller is
// gets decided per request (a bad certificate is a 401 with a Status, not a broken handshake).
func ServerTLS(pair *Pair) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: pair.GetCertificate,
		ClientAuth:     tls.RequestClientCert,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

// ClientTLS is for a client that trusts roots and shows pair (nil for none). serverName may be empty to take the dialled
// host. Versions down to 1.2 are spoken, because the server may be somebody else's.
func ClientTLS(pair *Pair, roots *x509.CertPool, serverName string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: serverName}
	if pair != nil {
		c.GetClientCertificate = pair.GetClientCertificate
	}
	return c
}
