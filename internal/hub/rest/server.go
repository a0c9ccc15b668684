package rest

import (
	"log/slog"
	"net/http"

	"sampan.dev/internal/client/lease"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/fairness"
	"sampan.dev/internal/hub/flow"
	"sampan.dev/internal/hub/health"
	"sampan.dev/internal/hub/verb"

	"k8s.io/utils/lru"
)

// Config is what a Server works with. Everything that is not said to be optional is needed.
type Config struct {
	Catalog *catalog.Catalog
	Verbs   *verb.Engine
	Log     *slog.Logger

	Authenticator authn.Authenticator // nil: nobody is let in
	Admission     admit.Chain         // of streams; verbs have it themselves
	Audit         *audit.Log          // nil: nothing is recorded
	Gate          *flow.Gate
	Fairness      *fairness.Fairness // nil: the gate alone decides
	Memory        *flow.Memory
	Metrics       *health.Metrics

	Paths   Paths           // what is not a resource
	Connect Connector       // nil: streams are refused
	Leases  *lease.Audience // is told who looks at leases; nil: nobody cares

	// WhenEnded has f called when watches are to end, unless the function that it returns is called before.
	WhenEnded func(f func()) func() bool
}

// Paths answers requests for what is not a resource: health checks, discovery, metrics.
type Paths interface {
	// ServePath answers, or returns the error to answer with. known reports whether there is something at that path for that
	// method; only such requests are counted, since clients can make up any others.
	ServePath(w http.ResponseWriter, r *http.Request) (known bool, err error)
}

// Connector carries out the subresources that are streams: log, exec, attach, portforward and proxy. It is called after
// authorization and admission; path is what followed the subresource in the URL, with a leading slash, or "". It answers by
// itself and returns an error only while nothing has been written.
type Connector interface {
	Connect(w http.ResponseWriter, r *http.Request, req *verb.Request, path string) error
}

// Server is the API over HTTP. It is an http.Handler and keeps nothing between requests but how callers impersonate, which saves questions.
type Server struct {
	cfg      Config
	lastMode *lru.Cache // by the names of callers, the way in which they impersonated last
}

// New makes a server.
func New(cfg Config) *Server { return &Server{cfg: cfg, lastMode: lru.New(mostCallers)} }

// mostCallers is of how many callers it is remembered how they impersonate.
const mostCallers = 10000
