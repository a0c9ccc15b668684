package credential

import (
	"context"
	"crypto/x509"
	"errors"
	mrand "math/rand/v2"
	"time"
)

// Run obtains a certificate when there is none, and the next one when the current has lived seven to nine tenths of its
// life (a random point between, so that the nodes of a cluster do not renew together). It returns when ctx ends.
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

// Look makes Run compare the certificate with the names and addresses that it should have now.
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

// former reports whether a certificate is to be replaced because the former authority signed it. It says so until one
// certificate was issued and not again: the cluster may still sign with that authority, and then no request would change it.
func (c *Credential) former(leaf *x509.Certificate) bool {
	if c.Former == nil || c.asked {
		return false
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: c.Former, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// errUnanswered means that nobody answered a request within Patience.
var errUnanswered = errors.New("nobody has answered it")

// impatient leaves the addresses out of the requests of the next hour when err says that a request with them was not
// answered. It reports whether the next request will differ from the last.
func (c *Credential) impatient(err error) bool {
	if !errors.Is(err, errUnanswered) || c.isBare() || c.IPs == nil || len(c.DNSNames) == 0 {
		return false
	}
	c.bare = time.Now().Add(time.Hour)
	c.Log.Info("certificate not approved with the node's addresses, asking for its name alone", "signer", c.Signer, "addresses", c.IPs())
	return true
}

func (c *Credential) isBare() bool { return time.Now().Before(c.bare) }

// renewal returns when a certificate should be replaced.
func renewal(leaf *x509.Certificate) time.Time {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return leaf.NotBefore.Add(time.Duration(float64(life) * (0.7 + 0.2*mrand.Float64())))
}
