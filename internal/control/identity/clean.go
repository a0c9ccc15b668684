package identity

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// How long requests are kept: upstream's times, but each request has its own timer instead of an hourly round.
const (
	settledKept = time.Hour      // issued, denied and failed ones
	pendingKept = 24 * time.Hour // those nobody has decided on, or signed
)

// NewCleaner makes the certificatesigningrequest-cleaner-controller: old requests are deleted. Account:
// certificate-controller.
func NewCleaner(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	requests := cache.For[*csr](env.Informers, client.CSRs, cache.Options{})
	requests.Handle(loop.Enqueue[*csr](queue))
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{requests.Synced()},
		Reconcile: func(ctx context.Context, name string) (time.Duration, error) {
			c, ok := requests.Get("", name)
			if !ok {
				return 0, nil
			}
			if left := time.Until(endOf(c)); left > 0 {
				return left, nil
			}
			err := client.Delete(ctx, env.Door, client.CSRs, "", name, c.UID)
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				err = nil
			}
			return 0, err
		},
	}
}

// endOf is when a request has had its time.
func endOf(c *csr) time.Time {
	issued := len(c.Status.Certificate) > 0
	if len(c.Status.Conditions) == 0 {
		return c.CreationTimestamp.Add(pendingKept)
	}
	end := time.Now().Add(pendingKept) // a condition we do not know: look again tomorrow
	for _, x := range c.Status.Conditions {
		at := x.LastUpdateTime.Time
		if at.IsZero() {
			at = c.CreationTimestamp.Time
		}
		switch {
		case x.Type == certificatesv1.CertificateApproved && !issued:
			at = at.Add(pendingKept)
		case x.Type == certificatesv1.CertificateApproved, x.Type == certificatesv1.CertificateDenied, x.Type == certificatesv1.CertificateFailed:
			at = at.Add(settledKept)
		default:
			continue
		}
		if at.Before(end) {
			end = at
		}
	}
	if expiry, ok := expiryOf(c.Status.Certificate); ok && has(c, certificatesv1.CertificateApproved) && expiry.Before(end) {
		end = expiry
	}
	return end
}

func expiryOf(data []byte) (time.Time, bool) {
	block, _ := pem.Decode(data)
	if block == nil {
		return time.Time{}, false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, false
	}
	return cert.NotAfter, true
}
