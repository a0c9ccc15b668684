package podcert

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"sampan.dev/internal/client"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How certificates are kept fresh, upstream's numbers (pkg/kubelet/podcertificate).
const (
	overdueAfter  = 10 * time.Minute // a renewal is late
	deletedAfter  = 10 * time.Minute // a request that is not seen is taken for deleted
	spread        = 5 * time.Minute  // up to which renewals are spread
	renewLookWait = time.Minute      // between looks at a certificate whose renewal is under way
)

// certificate is what one source shows, and the request for the next. A refused one stays so until its pod is gone.
type certificate struct {
	key, chain        []byte
	renewAt, notAfter time.Time
	asked             *asked // nil when nothing is asked for
	refused           error
	overdue, expired  bool // was told

	news     chan struct{} // the watch has seen something of the pod's requests
	answered bool          // since the last look; under the manager's lock
}

// asked is a request under way.
type asked struct {
	name      string
	key       []byte
	abandonAt time.Time
}

// dueLocked is when to look at the certificate again.
func (c *certificate) dueLocked() (time.Time, bool) {
	switch {
	case c.refused != nil:
		return time.Time{}, false
	case c.answered && c.asked != nil:
		return time.Time{}, true
	case c.asked != nil:
		return time.Now().Add(renewLookWait), true
	}
	return c.renewAt, true
}

// request asks for a certificate with a key of its own.
func (m *Manager) request(ctx context.Context, pod *corev1.Pod, source *corev1.PodCertificateProjection, c *certificate) error {
	account, err := client.Get[*corev1.ServiceAccount](ctx, m.cfg.Hub, client.ServiceAccounts, pod.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return fmt.Errorf("while fetching service account: %w", err)
	}
	key, proof, err := makeKey(source.KeyType)
	if err != nil {
		return err
	}
	req, err := client.Create(ctx, m.cfg.Hub, client.PodCertificateRequests, &certificatesv1.PodCertificateRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, GenerateName: "req-",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}}},
		Spec: certificatesv1.PodCertificateRequestSpec{
			SignerName: source.SignerName, PodName: pod.Name, PodUID: pod.UID,
			ServiceAccountName: pod.Spec.ServiceAccountName, ServiceAccountUID: account.UID,
			NodeName: types.NodeName(m.cfg.Node), NodeUID: m.cfg.NodeUID(),
			MaxExpirationSeconds: source.MaxExpirationSeconds, StubPKCS10Request: proof, UnverifiedUserAnnotations: source.UserAnnotations,
		},
	})
	if err != nil {
		return fmt.Errorf("while creating on API: %w", err)
	}
	c.asked = &asked{name: req.Name, key: key, abandonAt: req.CreationTimestamp.Add(deletedAfter + jitter())}
	return nil
}

func jitter() time.Duration { return rand.N(spread) }

// settle takes what the hub says of a certificate's request, and reports whether that is the end of it.
func (m *Manager) settle(pod *corev1.Pod, c *certificate, req *certificatesv1.PodCertificateRequest, found bool, now time.Time) bool {
	if !found {
		if now.After(c.asked.abandonAt) {
			c.asked = nil // somebody deleted it: the next look asks anew
			return true
		}
		return false
	}
	for _, cond := range req.Status.Conditions {
		what := ""
		switch cond.Type {
		case certificatesv1.PodCertificateRequestConditionTypeDenied:
			what = "denied"
		case certificatesv1.PodCertificateRequestConditionTypeFailed:
			what = "failed"
		case certificatesv1.PodCertificateRequestConditionTypeIssued:
			c.key, c.chain = c.asked.key, clean(req.Status.CertificateChain)
			c.renewAt, c.notAfter = now.Add(spread), now.Add(spread)
			if at := req.Status.BeginRefreshAt; at != nil {
				c.renewAt = at.Add(jitter())
			}
			if at := req.Status.NotAfter; at != nil {
				c.notAfter = at.Time
			}
			c.asked, c.overdue, c.expired = nil, false, false
			return true
		default:
			continue
		}
		c.asked = nil
		c.refused = fmt.Errorf("PodCertificateRequest was permanently %s: reason=%q message=%q", what, cond.Reason, cond.Message)
		verb := "was denied"
		if what == "failed" {
			verb = "failed"
		}
		m.cfg.Events.Pod(pod, "", corev1.EventTypeWarning, cond.Type, "PodCertificateRequest %s/%s %s, reason=%q, message=%q", req.Namespace, req.Name, verb, cond.Reason, cond.Message)
		return true
	}
	return false
}

// complain tells, once each, that a certificate should have been renewed, and that it has expired.
func (m *Manager) complain(pod *corev1.Pod, c *certificate, now time.Time) {
	if c.chain == nil || c.refused != nil {
		return
	}
	if now.After(c.renewAt.Add(overdueAfter)) && !c.overdue {
		c.overdue = true
		m.cfg.Events.Pod(pod, "", corev1.EventTypeWarning, "CertificateOverdueForRefresh", "PodCertificate refresh overdue")
	}
	if now.After(c.notAfter) && !c.expired {
		c.expired = true
		m.cfg.Events.Pod(pod, "", corev1.EventTypeWarning, "CertificateExpired", "PodCertificate expired")
	}
}
