package credential

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
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/client"

	certv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Obtain makes one CertificateSigningRequest and waits until it is issued, denied or has failed, for 15 minutes at most.
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

// await watches one request until it is answered and returns the certificate in PEM.
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

// follows reads a watch of one request. done is false when the watch ended without an answer.
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

// answer reads the certificate or the refusal from a request's status; done is false while there is neither.
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

// store writes certificate and key to the file, by rename so that no crash leaves half of them, and begins to use them.
func (c *Credential) store(key *ecdsa.PrivateKey, cert []byte) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	data := append(bytes.Clone(bytes.TrimRight(cert, "\n")), '\n') // a copy: cert is of an object that others read
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
