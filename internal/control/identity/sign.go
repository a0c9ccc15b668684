package identity

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/pki"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SignerConfig says what is signed with.
type SignerConfig struct {
	Authority *pki.Authority // nil, or without its key: nothing is signed
	Kubelets  *pki.Authority // signs what kubelets serve with; nil: Authority does
	Life      time.Duration  // longest life of a certificate; zero means a year
	// Of are authorities for one signer each, before the two above; nil ones are none.
	Of map[string]*pki.Authority
}

// authority is the one that signs for a signer. What kubelets serve with has one of its own, which only the hub trusts: a
// certificate that a node gets out of it makes it nobody to pods.
func (c *SignerConfig) authority(signer string) *pki.Authority {
	if a := c.Of[signer]; a != nil {
		return a
	}
	if signer == certificatesv1.KubeletServingSignerName && c.Kubelets != nil {
		return c.Kubelets
	}
	return c.Authority
}

const shortestLife = 10 * time.Minute

// signers are those of kubernetes.io/ that sign, with what each demands of a request.
var signers = map[string]func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error{
	certificatesv1.KubeletServingSignerName:             checkKubeletServing,
	certificatesv1.KubeAPIServerClientKubeletSignerName: checkKubeletClient,
	certificatesv1.KubeAPIServerClientSignerName:        checkAPIServerClient,
	LegacyUnknownSigner:                                 func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error { return nil },
}

// NewSigner makes the certificatesigningrequest-signing-controller. Account: certificate-controller.
func NewSigner(env loop.Env, cfg SignerConfig) loop.Runner {
	if (cfg.Authority == nil || cfg.Authority.Key == nil) && len(cfg.Of) == 0 {
		return nil
	}
	if cfg.Life == 0 {
		cfg.Life = 365 * 24 * time.Hour
	}
	queue := loop.NewQueue()
	s := &signer{Env: env, cfg: cfg, requests: cache.For[*csr](env.Informers, client.CSRs, cache.Options{})}
	s.requests.Handle(loop.Enqueue[*csr](queue))
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{s.requests.Synced()}, Reconcile: s.reconcile,
	}
}

type signer struct {
	loop.Env
	cfg      SignerConfig
	requests *cache.Informer[*csr]
}

func (s *signer) reconcile(ctx context.Context, name string) (time.Duration, error) {
	c, ok := s.requests.Get("", name)
	if !ok || len(c.Status.Certificate) > 0 || !approved(c) || has(c, certificatesv1.CertificateFailed) {
		return 0, nil
	}
	check := signers[c.Spec.SignerName]
	if check == nil || s.cfg.authority(c.Spec.SignerName) == nil {
		return 0, nil
	}
	req, err := parseRequest(c.Spec.Request)
	if err != nil {
		s.Log.Warn("unable to parse csr", "csr", name, "err", err)
		return 0, nil
	}
	c = c.DeepCopy()
	if err := check(req, c.Spec.Usages); err != nil {
		c.Status.Conditions = append(c.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure",
			Message: err.Error(), LastUpdateTime: metav1.Now(),
		})
	} else if c.Status.Certificate, err = s.cfg.authority(c.Spec.SignerName).SignRequest(req, c.Spec.Usages, s.life(c)); err != nil {
		return 0, fmt.Errorf("error auto signing csr: %w", err)
	}
	if _, err := client.UpdateStatus(ctx, s.Door, client.CSRs, c); err != nil {
		return 0, fmt.Errorf("error updating signature for csr: %w", err)
	}
	return 0, nil
}

func (s *signer) life(c *csr) time.Duration {
	if c.Spec.ExpirationSeconds == nil {
		return s.cfg.Life
	}
	return max(shortestLife, min(s.cfg.Life, time.Duration(*c.Spec.ExpirationSeconds)*time.Second))
}
