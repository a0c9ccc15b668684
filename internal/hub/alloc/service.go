package alloc

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/verb"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Config says what there is to give.
type Config struct {
	CIDRs               []netip.Prefix // service ranges: one, or one per family
	FirstPort, LastPort int32          // node ports; zero means 30000 to 32767
	Informers           *cache.Set     // over the hub's own door; nil for an allocator that starts empty
	Log                 *slog.Logger   // nil: nothing is told

	// Door writes IPAddress objects and reads ServiceCIDRs; nil where those kinds are not served.
	Door client.Interface
	// Ports is where API servers that share a store keep which node ports are taken; nil for a server that has its store alone.
	Ports store.Store
}

// Services allocates the cluster IPs and node ports of services. It is the verb.Hook of the services resource, called between
// prepare and validation of a write.
//
// What is taken is known in two places. The tables say it for this process, without a round trip. The IPAddress object that each
// address has, and the record of node ports where a store is shared, say it to everybody: to create the one or to change the other is a
// compare-and-swap, and only who succeeds has the address or the port. An address that the tables hold to be free and that has an
// object is somebody else's, and another is tried.
//
// mu guards both tables, and is not held while anything is stored. Invariant: each address and port has one owner, the service's UID.
// What is taken for a write that fails is given back, and what a service no longer needs is freed only after the write that says so
// is stored.
type Services struct {
	synced <-chan struct{}
	door   client.Interface
	shared *portRecord // nil for a server that has its store alone
	base   []netip.Prefix
	log    *slog.Logger
	mu     struct {
		sync.Mutex
		ips     map[corev1.IPFamily]*pool
		leaving map[netip.Addr]bool // addresses that are being given back
		ranges  []netip.Prefix      // what the pools are made of
		ports   *ports
	}
}

// New makes it. Assign waits until the informer has shown every service there is.
func New(cfg Config) *Services {
	if cfg.FirstPort == 0 {
		cfg.FirstPort, cfg.LastPort = 30000, 32767
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Services{door: cfg.Door, base: cfg.CIDRs, log: cfg.Log}
	if cfg.Ports != nil {
		s.shared = &portRecord{store: cfg.Ports, first: cfg.FirstPort, last: cfg.LastPort}
	}
	s.mu.leaving = map[netip.Addr]bool{}
	s.mu.ips, s.mu.ranges = map[corev1.IPFamily]*pool{}, cfg.CIDRs
	for _, c := range cfg.CIDRs {
		s.mu.ips[familyOf(c.Addr())] = newPool(c)
	}
	s.mu.ports = &ports{first: cfg.FirstPort, last: cfg.LastPort, used: map[int32]types.UID{}}
	if cfg.Informers == nil {
		done := make(chan struct{})
		close(done)
		s.synced = done
		return s
	}
	i := cache.For[*corev1.Service](cfg.Informers, client.Services, cache.Options{})
	i.Handle(cache.Handler[*corev1.Service]{
		Add:    s.seen,
		Update: func(_, svc *corev1.Service) { s.seen(svc) },
		Delete: s.forget,
	})
	s.synced = i.Synced()
	return s
}

// seen notes what a stored service holds. What is taken already stays with its owner: of two services that share an address,
// which only a fault can make, the first keeps it.
func (s *Services) seen(svc *corev1.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ip := range addressesOf(svc) {
		if t := s.mu.ips[familyOf(ip)]; t != nil {
			if _, taken := t.used[ip]; !taken {
				t.used[ip] = svc.UID
			}
		}
	}
	for _, p := range portsOf(svc) {
		_ = s.mu.ports.take(p, svc.UID)
	}
}

// Deleted frees what the service held.
func (s *Services) Deleted(obj api.Object) {
	if svc, ok := obj.(*corev1.Service); ok {
		s.free(svc.UID, addressesOf(svc), portsOf(svc))
	}
}

// forget notes that a service is gone. Who deleted it has given back what it held.
func (s *Services) forget(svc *corev1.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freeLocked(svc.UID, addressesOf(svc), portsOf(svc))
}

func (s *Services) freeLocked(owner types.UID, ips []netip.Addr, ports []int32) {
	for _, ip := range ips {
		if t := s.mu.ips[familyOf(ip)]; t != nil && t.used[ip] == owner {
			delete(t.used, ip)
		}
	}
	for _, p := range ports {
		if s.mu.ports.used[p] == owner {
			delete(s.mu.ports.used, p)
		}
	}
}

// Assign fills in the cluster IPs and node ports of obj, and takes those it names.
func (s *Services) Assign(ctx context.Context, obj, old api.Object, dry bool) (verb.Effect, error) {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return verb.Effect{}, apierrors.NewInternalError(fmt.Errorf("%T is not a Service", obj))
	}
	select {
	case <-s.synced:
	case <-ctx.Done():
		return verb.Effect{}, apierrors.NewServiceUnavailable("the service allocator is not ready")
	}
	was, _ := old.(*corev1.Service)
	if was == nil {
		was = &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName}} // holds nothing
	}
	s.follow(ctx)
	op := &operation{ctx: ctx, s: s, svc: svc, old: was, owner: svc.UID, dry: dry}
	if err := op.run(); err != nil {
		op.undo()
		return verb.Effect{}, err
	}
	return verb.Effect{Commit: func() { s.free(op.owner, op.dropIPs, op.dropPorts) }, Undo: op.undo}, nil
}

// free gives back addresses and ports: to everybody first, so that the tables do not offer what cannot be had yet.
func (s *Services) free(owner types.UID, ips []netip.Addr, ports []int32) {
	if len(ips)+len(ports) == 0 {
		return
	}
	s.release(ips, ports)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freeLocked(owner, ips, ports)
}

// addressesOf are the cluster IPs that svc holds.
func addressesOf(svc *corev1.Service) []netip.Addr {
	if svc.Spec.Type == corev1.ServiceTypeExternalName || svc.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	list := svc.Spec.ClusterIPs
	if len(list) == 0 {
		list = []string{svc.Spec.ClusterIP}
	}
	var out []netip.Addr
	for _, s := range list {
		if ip, err := netip.ParseAddr(s); err == nil {
			out = append(out, ip.Unmap())
		}
	}
	return out
}

// portsOf are the node ports that svc holds, each once.
func portsOf(svc *corev1.Service) []int32 {
	var out []int32
	for i := range svc.Spec.Ports {
		if p := svc.Spec.Ports[i].NodePort; p != 0 && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	if p := svc.Spec.HealthCheckNodePort; p != 0 && needsHealthPort(svc) {
		out = append(out, p)
	}
	return out
}

func familyOf(a netip.Addr) corev1.IPFamily {
	if a.Unmap().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

func invalid(svc *corev1.Service, errs ...*field.Error) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, svc.Name, errs)
}
