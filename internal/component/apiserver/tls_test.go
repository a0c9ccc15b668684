package apiserver

import (
	"crypto/tls"
	"net"
	"testing"

	"sampan.dev/internal/pki"
)

// Clients that speak nothing newer than TLS 1.2 are let in where that is asked for, with authenticated ciphers alone.
func TestLowestTLS(t *testing.T) {
	pair, err := pki.SelfSigned("kube-apiserver", net.IPv4(127, 0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lowest, name string
		client       *tls.Config
		fails        bool
	}{
		{"", "1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"", "1.3", &tls.Config{}, false},
		{"VersionTLS13", "1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"VersionTLS12", "1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, true},
		{"VersionTLS12", "1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, false},
		{"VersionTLS12", "1.2 with CBC", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}}, true},
		{"VersionTLS12", "1.3", &tls.Config{}, false},
	} {
		conf := &Config{LowestTLS: c.lowest}
		here, there := net.Pipe()
		done := make(chan error, 1)
		server := tls.Server(here, conf.Speaks(pki.ServerTLS(pair)))
		go func() { done <- server.Handshake(); here.Close() }()
		c.client.InsecureSkipVerify = true
		err := tls.Client(there, c.client).Handshake()
		there.Close()
		<-done
		if (err != nil) != c.fails {
			t.Errorf("--tls-min-version=%s, client of %s: %v", c.lowest, c.name, err)
		}
	}
}
