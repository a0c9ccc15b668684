package aggregate

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub/catalog"

	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// Config is what an Aggregator works with. All but Identity and Ready are needed.
type Config struct {
	Catalog   *catalog.Catalog
	Door      client.Interface // reads Services and endpoints, reads and writes APIServices
	Informers *cache.Set       // over Door
	Log       *slog.Logger

	// Dial makes every connection (hub/egress).
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Identity is the certificate that tells other servers that this is the front proxy whose headers they may believe; nil for none.
	Identity func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Ready is closed when all that the hub serves from the start is in the catalog. From then on the APIServices of what the hub
	// answers for itself are kept; nil: they are not.
	Ready <-chan struct{}
}

// Aggregator keeps APIServices and those that they name. Make one with New, then Run it.
type Aggregator struct {
	cfg      Config
	services *cache.Informer[*apiregistrationv1.APIService]
	due      chan struct{} // of one slot: something has changed

	// remotes belongs to the goroutine of Run.
	remotes map[string]*running
}

// running is a remote whose goroutines run.
type running struct {
	*remote
	uid types.UID
	end context.CancelFunc
}

// New makes an aggregator.
func New(cfg Config) *Aggregator {
	a := &Aggregator{cfg: cfg, due: make(chan struct{}, 1), remotes: map[string]*running{}}
	a.services = cache.For[*apiregistrationv1.APIService](cfg.Informers, client.APIServices, cache.Options{})
	a.services.Handle(cache.Handler[*apiregistrationv1.APIService]{
		Add:    func(*apiregistrationv1.APIService) { kick(a.due) },
		Update: func(_, _ *apiregistrationv1.APIService) { kick(a.due) },
		Delete: func(*apiregistrationv1.APIService) { kick(a.due) },
	})
	return a
}

// Run follows the APIServices until ctx ends.
func (a *Aggregator) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	defer func() {
		for _, r := range a.remotes {
			r.end()
		}
	}()
	select {
	case <-a.services.Synced():
	case <-ctx.Done():
		return nil
	}
	var keep keeper
	ready := a.cfg.Ready
	for {
		var again <-chan struct{} // nil before there is something to keep
		if keep.begun() {
			again = a.cfg.Catalog.Changed()
			keep.put(ctx, a)
		}
		a.follow(ctx, &all)
		select {
		case <-a.due:
		case <-again:
		case <-ready:
			ready = nil
			keep.begin(a.services.List(""))
		case <-ctx.Done():
			return nil
		}
	}
}

// follow has a remote run for each APIService of somebody else's, and tells the catalog of all.
func (a *Aggregator) follow(ctx context.Context, all *sync.WaitGroup) {
	changed := false
	seen := map[string]bool{}
	for _, s := range a.services.List("") {
		if s.Spec.Service == nil || s.Spec.Group == "" { // nobody else has the core
			continue
		}
		seen[s.Name] = true
		r := a.remotes[s.Name]
		if r != nil && (r.uid != s.UID || !r.same(s)) {
			r.end()
			r = nil
		}
		if r == nil {
			rctx, end := context.WithCancel(ctx)
			r = &running{newRemote(a, s), s.UID, end}
			a.remotes[s.Name], changed = r, true
			r.set(s)
			all.Go(func() { r.run(rctx) })
		}
		changed = r.set(s) || changed
	}
	for name, r := range a.remotes {
		if !seen[name] {
			r.end()
			delete(a.remotes, name)
			changed = true
		}
	}
	for _, r := range a.remotes {
		changed = r.learned.Swap(false) || changed
	}
	if changed {
		a.publish()
	}
}

// publish tells the catalog who answers for what.
func (a *Aggregator) publish() {
	var list []*catalog.Delegate
	for _, r := range a.remotes {
		list = append(list, r.delegate())
	}
	a.cfg.Catalog.Delegate(list)
}

func kick(due chan struct{}) {
	select {
	case due <- struct{}{}:
	default:
	}
}
