package podcert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/node/event"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// issueWait is how long a first certificate is waited for before the pod's volumes are tried again: most signers answer at once.
const issueWait = 2 * time.Second

var errNotIssued = errors.New("credential bundle is not issued yet")

// Config is what the manager needs.
type Config struct {
	Hub     client.Interface
	Node    string
	NodeUID func() types.UID
	Wake    func(pod types.UID) // an answer to one of the pod's requests has come
	Events  *event.Recorder
	Log     *slog.Logger
}

// key names one source of a projected volume.
type key struct {
	pod    types.UID
	volume string
	index  int
}

// Manager has the certificates of the node's pods. Every goroutine may ask; calls for one pod must not overlap.
//
// Invariant: the node's requests are watched exactly while held is not empty. A certificate is changed only by a call for its pod, but
// for answered, which the watch sets.
type Manager struct {
	cfg Config
	ctx context.Context // of the run: the watch ends with it
	wg  sync.WaitGroup

	mu struct {
		sync.Mutex
		held     map[key]*certificate
		requests *cache.Informer[*certificatesv1.PodCertificateRequest]
		cancel   context.CancelFunc
	}
}

// New makes a manager; nothing may be asked of it before Begin.
func New(cfg Config) *Manager {
	m := &Manager{cfg: cfg}
	m.mu.held = map[key]*certificate{}
	return m
}

// Begin lets the watch be made; it ends with ctx.
func (m *Manager) Begin(ctx context.Context) { m.ctx = ctx }

// Wait returns when the watch has ended.
func (m *Manager) Wait() { m.wg.Wait() }

// Get is the key and the certificate chain that the index-th source of a pod's volume shows, as PEM. What is missing or due it asks for.
func (m *Manager) Get(ctx context.Context, pod *corev1.Pod, volume string, index int) (privateKey, chain []byte, err error) {
	source := sourceOf(pod, volume, index)
	if source == nil {
		return nil, nil, fmt.Errorf("volume %q has no podCertificate source %d", volume, index)
	}
	c := m.certificate(key{pod.UID, volume, index})
	now := time.Now()
	if c.refused == nil && c.asked == nil && !now.Before(c.renewAt) {
		if err := m.request(ctx, pod, source, c); err != nil && c.chain == nil {
			return nil, nil, err
		}
	}
	if c.refused == nil && c.asked != nil {
		m.await(ctx, pod, c)
	}
	m.complain(pod, c, now)
	switch {
	case c.refused != nil:
		return nil, nil, c.refused
	case c.chain == nil:
		return nil, nil, errNotIssued
	}
	return c.key, c.chain, nil
}

// await looks whether a request was answered; for a first certificate it waits a moment.
func (m *Manager) await(ctx context.Context, pod *corev1.Pod, c *certificate) {
	t := time.NewTimer(issueWait)
	defer t.Stop()
	for {
		m.mu.Lock()
		c.answered = false
		req, ok := m.mu.requests.Get(pod.Namespace, c.asked.name)
		m.mu.Unlock()
		if m.settle(pod, c, req, ok, time.Now()) || c.chain != nil {
			return
		}
		select {
		case <-c.news:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (m *Manager) certificate(k key) *certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.mu.held[k]
	if c == nil {
		c = &certificate{news: make(chan struct{}, 1)}
		m.mu.held[k] = c
	}
	if m.mu.requests == nil {
		m.watchLocked()
	}
	return c
}

func (m *Manager) watchLocked() {
	ctx, cancel := context.WithCancel(m.ctx)
	inf := cache.New[*certificatesv1.PodCertificateRequest](m.cfg.Hub, client.PodCertificateRequests, cache.Options{FieldSelector: "spec.nodeName=" + m.cfg.Node}, m.cfg.Log)
	inf.Handle(cache.Handler[*certificatesv1.PodCertificateRequest]{
		Add: m.seen, Update: func(_, now *certificatesv1.PodCertificateRequest) { m.seen(now) }, Delete: m.seen,
	})
	m.mu.requests, m.mu.cancel = inf, cancel
	m.wg.Go(func() { inf.Run(ctx) })
}

// seen tells the pod of a request that it has changed.
func (m *Manager) seen(req *certificatesv1.PodCertificateRequest) {
	m.mu.Lock()
	waits := false
	for k, c := range m.mu.held {
		if k.pod == req.Spec.PodUID {
			waits, c.answered = true, true
			select {
			case c.news <- struct{}{}:
			default:
			}
		}
	}
	m.mu.Unlock()
	if waits {
		m.cfg.Wake(req.Spec.PodUID)
	}
}

// Due is when a pod's volumes are to be looked at again for its certificates' sake; ok is false for a pod without any.
func (m *Manager) Due(pod types.UID) (at time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, c := range m.mu.held {
		if k.pod != pod {
			continue
		}
		when, any := c.dueLocked()
		if any && (!ok || when.Before(at)) {
			at, ok = when, true
		}
	}
	return at, ok
}

// Forget drops a pod's certificates.
func (m *Manager) Forget(pod types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.mu.held {
		if k.pod == pod {
			delete(m.mu.held, k)
		}
	}
	if len(m.mu.held) == 0 && m.mu.requests != nil {
		m.mu.cancel()
		m.mu.requests = nil
	}
}

func sourceOf(pod *corev1.Pod, volume string, index int) *corev1.PodCertificateProjection {
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.Name == volume && v.Projected != nil && index < len(v.Projected.Sources) {
			return v.Projected.Sources[index].PodCertificate
		}
	}
	return nil
}
