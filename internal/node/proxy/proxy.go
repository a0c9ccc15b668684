package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Config of a proxy. V6 may be nil on a node without IPv6.
type Config struct {
	NodeName string
	Services *cache.Informer[*corev1.Service]
	Slices   *cache.Informer[*discoveryv1.EndpointSlice]
	Nodes    *cache.Informer[*corev1.Node] // the node's own is enough
	V4, V6   Applier
	Log      *slog.Logger
}

// sliceIndex finds a service's slices.
const sliceIndex = "proxy/service"

// pause between two changes of what the applier has made. The first change after a quiet time is applied at once; a storm of them
// (a rollout) is taken together.
const pause = 20 * time.Millisecond

// Proxy makes services reachable on one node.
type Proxy struct {
	cfg      Config
	log      *slog.Logger
	families []*family
	wake     chan struct{}
	node     atomic.Pointer[Node]
	health   healthState
	checks   *healthChecks

	mu struct {
		sync.Mutex
		dirty map[string]bool // services by namespace/name
		all   bool
	}
}

type family struct {
	v6      bool
	applier Applier
	rules   *Ruleset
	broken  bool        // the applier's state is unknown
	lost    atomic.Bool // somebody broke what it made
}

// New makes a proxy and registers what it needs of the informers; call it before they run.
func New(cfg Config) *Proxy {
	p := &Proxy{cfg: cfg, log: cfg.Log.With("component", "proxy"), wake: make(chan struct{}, 1)}
	p.checks = newHealthChecks(p.log)
	p.mu.dirty = map[string]bool{}
	p.node.Store(&Node{Name: cfg.NodeName})
	if cfg.V4 != nil {
		p.families = append(p.families, &family{applier: cfg.V4, rules: NewRuleset(), broken: true})
	}
	if cfg.V6 != nil {
		p.families = append(p.families, &family{v6: true, applier: cfg.V6, rules: NewRuleset(), broken: true})
	}
	cfg.Slices.AddIndex(sliceIndex, func(s *discoveryv1.EndpointSlice) []string {
		if key := serviceOf(s); key != "" {
			return []string{key}
		}
		return nil
	})
	return p
}

// Mode is what /proxyMode answers: the applier's, "" without one.
func (p *Proxy) Mode() string {
	if len(p.families) == 0 {
		return ""
	}
	return p.families[0].applier.Mode()
}

// serviceOf is the service a slice belongs to, or "".
func serviceOf(s *discoveryv1.EndpointSlice) string {
	name := s.Labels[discoveryv1.LabelServiceName]
	if _, headless := s.Labels[labelHeadless]; headless || name == "" || s.Labels[labelProxyName] != "" {
		return ""
	}
	return s.Namespace + "/" + name
}

func (p *Proxy) touch(key string) {
	if key == "" {
		return
	}
	p.mu.Lock()
	p.mu.dirty[key] = true
	p.mu.Unlock()
	p.poke()
}

func (p *Proxy) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// listen registers the handlers. They only note what changed.
func (p *Proxy) listen() {
	svcKey := func(s *corev1.Service) string { return s.Namespace + "/" + s.Name }
	p.cfg.Services.Handle(cache.Handler[*corev1.Service]{
		Add:    func(s *corev1.Service) { p.touch(svcKey(s)) },
		Update: func(_, s *corev1.Service) { p.touch(svcKey(s)) },
		Delete: func(s *corev1.Service) { p.touch(svcKey(s)) },
	})
	p.cfg.Slices.Handle(cache.Handler[*discoveryv1.EndpointSlice]{
		Add:    func(s *discoveryv1.EndpointSlice) { p.touch(serviceOf(s)) },
		Update: func(old, s *discoveryv1.EndpointSlice) { p.touch(serviceOf(old)); p.touch(serviceOf(s)) },
		Delete: func(s *discoveryv1.EndpointSlice) { p.touch(serviceOf(s)) },
	})
	p.cfg.Nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node) { p.sawNode(n) },
		Update: func(_, n *corev1.Node) { p.sawNode(n) },
	})
}

func (p *Proxy) sawNode(n *corev1.Node) {
	if n.Name != p.cfg.NodeName {
		return
	}
	p.health.eligible.Store(n.DeletionTimestamp == nil)
	now := Node{Name: n.Name, Zone: n.Labels[corev1.LabelTopologyZone]}
	if now == *p.node.Load() {
		return
	}
	p.node.Store(&now)
	p.mu.Lock()
	p.mu.all = true
	p.mu.Unlock()
	p.poke()
}

// Run applies services until ctx ends. It leaves rules of a packet filter in place: connections go on without it.
func (p *Proxy) Run(ctx context.Context) error {
	p.health.eligible.Store(true)
	p.listen()
	for _, synced := range []<-chan struct{}{p.cfg.Services.Synced(), p.cfg.Slices.Synced(), p.cfg.Nodes.Synced()} {
		select {
		case <-synced:
		case <-ctx.Done():
			return nil
		}
	}
	defer p.checks.close()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, f := range p.families {
		wg.Go(func() {
			if err := f.applier.Run(ctx, func() { f.lost.Store(true); p.poke() }); err != nil {
				p.log.Error("nobody looks after what makes services work", "mode", f.applier.Mode(), "err", err)
			}
		})
	}
	p.mu.Lock()
	p.mu.all = true
	p.mu.Unlock()
	for {
		wait := pause
		if p.recover() {
			wait = time.Second // who breaks it again and again shall not keep this machine busy
		}
		if err := p.sync(); err != nil {
			p.log.Error("cannot make services work", "err", err)
			wait = 2 * time.Second
			p.poke()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
	}
}

// recover finds out whether an applier must begin anew.
func (p *Proxy) recover() (any bool) {
	for _, f := range p.families {
		if f.lost.Swap(false) {
			p.log.Warn("somebody removed the rules of services; making them anew", "mode", f.applier.Mode())
			f.broken, any = true, true
		}
	}
	return any
}

// sync plans what changed and applies it.
func (p *Proxy) sync() error {
	p.mu.Lock()
	dirty, all := p.mu.dirty, p.mu.all
	p.mu.dirty, p.mu.all = map[string]bool{}, false
	p.mu.Unlock()
	if all {
		for _, s := range p.cfg.Services.List("") {
			dirty[s.Namespace+"/"+s.Name] = true
		}
	}
	start := time.Now()
	var failed error
	for _, f := range p.families {
		for key := range dirty {
			f.rules.Set(key, p.plan(key, f.v6))
		}
		if err := f.apply(); err != nil {
			failed = fmt.Errorf("%s: %w", f.applier.Mode(), err)
		}
	}
	if failed != nil {
		return failed
	}
	if len(p.families) > 0 {
		p.checks.sync(p.families[0].rules.HealthChecks())
	}
	p.health.updated(time.Now(), time.Since(start), len(dirty))
	p.log.Debug("services applied", "changed", len(dirty), "took", time.Since(start))
	return nil
}

func (p *Proxy) plan(key string, v6 bool) Rules {
	var svc *corev1.Service
	for i := range key {
		if key[i] == '/' {
			if s, ok := p.cfg.Services.Get(key[:i], key[i+1:]); ok {
				svc = s
			}
		}
	}
	return Plan(svc, p.cfg.Slices.ByIndex(sliceIndex, key), *p.node.Load(), v6)
}

// apply brings the applier to where the rules are, from scratch when its state is unknown.
func (f *family) apply() error {
	d := f.rules.Take()
	if !f.broken {
		if d.Empty() {
			return nil
		}
		if f.applier.Apply(&d) == nil {
			return nil
		}
	}
	all := f.rules.All()
	err := f.applier.Reset(&all)
	f.broken = err != nil
	return err
}
