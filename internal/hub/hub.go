package hub

import (
	"context"
	"log/slog"
	"net/http"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	informers "sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/local"
	"sampan.dev/internal/hub/aggregate"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/bootstrap"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/custom"
	"sampan.dev/internal/hub/discovery"
	"sampan.dev/internal/hub/fairness"
	"sampan.dev/internal/hub/flow"
	"sampan.dev/internal/hub/health"
	"sampan.dev/internal/hub/openapi"
	"sampan.dev/internal/hub/rest"
	"sampan.dev/internal/hub/verb"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Hub is an API server. Make one with New, then Run it; Handler and clients may be used once it runs. Its fields are set by New
// and never change; what does change belongs to its parts.
type Hub struct {
	cfg Config
	log *slog.Logger

	catalog *catalog.Catalog
	own     *own           // the client of system:apiserver
	set     *informers.Set // what authorization and admission read, over own
	guard   guard
	outside *outside // nil without admission
	patches *apply.Engine
	verbs   *verb.Engine
	custom  *custom.Room // nil for a hub without custom resource definitions

	docs    *catalog.Derived[*discovery.Documents]
	openapi *catalog.Derived[http.Handler]
	metrics *health.Metrics
	checks  *health.Checks
	gate    flow.Gate
	fair    *fairness.Fairness // nil with Config.NoFairness
	who     *bootstrap.Identity
	flowDue chan struct{} // of one slot: schemas are to be told whether they count
	memory  *flow.Memory
	rest    *rest.Server
	others  *aggregate.Aggregator // nil: nobody else answers for anything

	ready    chan struct{} // closed when everything is loaded and bootstrapped
	stopping context.Context
	stop     context.CancelFunc // watches end when the server shuts down
}

// New puts a hub together. Nothing runs before Run.
func New(cfg Config) (*Hub, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Version = cfg.Version.withDefaults()
	if e := cfg.Encryption; e != nil && !e.Idle() {
		cfg.Checks = append(slices.Clip(cfg.Checks), Check{Name: "kms-providers", Check: e.Check})
	}
	h := &Hub{cfg: cfg, log: cfg.Log.With("component", "hub"), own: &own{}, ready: make(chan struct{}), flowDue: make(chan struct{}, 1), who: bootstrap.NewIdentity()}
	h.stopping, h.stop = context.WithCancel(context.Background())
	h.set = informers.NewSet(h.own, h.log)
	var err error
	if h.catalog, err = h.newCatalog(); err != nil {
		return nil, err
	}
	h.metrics, h.patches = health.NewMetrics(&h.gate, h.catalog.Count), apply.New(openapi.Type, h.kind)
	if h.guard, err = h.newGuard(); err != nil {
		return nil, err
	}
	h.registerMetrics()
	sources, err := h.newSources()
	if err != nil {
		return nil, err
	}
	h.verbs = verb.New(verb.Config{
		Catalog: h.catalog, Log: h.log, Admit: h.guard.admit, Authorizer: h.guard.authz,
		Patches: h.patches, Hooks: h.guard.hooks, Handlers: h.guard.handlers, Sources: sources,
	})
	h.own.Interface = h.Door(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "kube-apiserver/"+cfg.Version.Git)
	if cfg.Kinds.Resource(client.CustomResourceDefinitions) != nil {
		h.custom = custom.New(custom.Config{Catalog: h.catalog, Door: h.own, Log: h.log, Call: h.converting()})
	}
	h.serveOver()
	h.others = h.newAggregator()
	return h, nil
}

// serveOver makes what answers over HTTP.
func (h *Hub) serveOver() {
	cfg := &h.cfg
	h.gate.Reads.Limit, h.gate.Writes.Limit = under(cfg.MaxReads, flow.DefaultReads), under(cfg.MaxWrites, flow.DefaultWrites)
	h.memory = flow.NewMemory(cfg.Memory)
	if !cfg.NoFairness {
		h.fair = h.newFairness()
		h.metrics.Register(h.fair)
	}
	h.docs = catalog.Derive(h.catalog, func(s *catalog.Snapshot) *discovery.Documents {
		return discovery.New(s.Kinds(), elsewhere(s), advertised(cfg))
	})
	shelf := &openapi.Shelf{}
	own := cfg.OpenAPI
	var of *api.Kinds // that own is of; delegates that come and go do not change it
	h.openapi = catalog.Derive(h.catalog, func(s *catalog.Snapshot) http.Handler {
		if cfg.OpenAPI == nil && of != s.Kinds() {
			own, of = openapi.New(openapi.Config{Kinds: s.Kinds(), Version: cfg.Version.Git, Shelf: shelf}), s.Kinds()
		}
		return aggregate.OpenAPI(own, s)
	})
	h.checks = health.New(cfg.storesAnswer, cfg.Checks, h.log)
	h.rest = rest.New(rest.Config{
		Catalog: h.catalog, Verbs: h.verbs, Log: h.log,
		Authenticator: h.guard.authn, Admission: h.guard.admit, Audit: cfg.Audit, Gate: &h.gate, Fairness: h.fair, Memory: h.memory, Metrics: h.metrics,
		Paths: h, Connect: cfg.Connect, Leases: cfg.Leases, WhenEnded: h.whenEnded,
	})
}

// newCatalog makes the catalog of what cfg says. The caches of what authorization, admission or a controller reads run from the
// start: the garbage collector reads all that can be owned.
func (h *Hub) newCatalog() (*catalog.Catalog, error) {
	return catalog.New(catalog.Config{
		Kinds: h.cfg.Kinds.All(), StoreOf: h.cfg.storeOf, Tell: h.tell, Bounds: cache.NewBounds(h.cfg.Memory), Log: h.log,
		Eager: func(k *api.Kind) bool { return !k.Unowned && h.cfg.Kinds.Resource(k.GVR()) == k },
	})
}

// kind is the kind of that name that is served now; nil for none.
func (h *Hub) kind(gvk schema.GroupVersionKind) *api.Kind { return h.catalog.Now().Kinds().Kind(gvk) }

// Catalog is what is served; it may be changed while the hub runs.
func (h *Hub) Catalog() *catalog.Catalog { return h.catalog }

// Handler serves the API; it is what the listener serves too.
func (h *Hub) Handler() http.Handler { return h.rest }

// ServeHTTP implements http.Handler.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.rest.ServeHTTP(w, r) }

// Door makes a client in process for an identity; it is a client.Factory.
func (h *Hub) Door(user api.User, userAgent string) client.Interface {
	return local.New(local.Config{Catalog: h.catalog, Verbs: h.verbs, Audit: h.cfg.Audit, Log: h.log, WhenEnded: h.whenEnded}, user, userAgent)
}

// whenEnded has f called when watches are to end, unless the function that it returns is called before.
func (h *Hub) whenEnded(f func()) func() bool { return context.AfterFunc(h.stopping, f) }

// Own is the hub's own client: system:apiserver, which may do everything.
func (h *Hub) Own() client.Interface { return h.own }

// Ready is closed when every cache is loaded, the informers of authorization have synced and the system's own objects are
// there.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Unready says which checks of /readyz fail and why; an error that says none when they pass.
func (h *Hub) Unready(ctx context.Context) error { return h.checks.Unready(ctx) }
