package webhook

import (
	"fmt"
	"log/slog"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/admissionregistration"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/egress"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Config is what webhooks are asked with.
type Config struct {
	Match      *match.Config
	Door       client.Reader // reads configurations, Services and what is behind them
	Authorizer authz.Authorizer
	Egress     *egress.Dialer
	Askers     Askers
	// Mutating and Validating return the configurations of the server's own files, a list of one list; nil for none.
	Mutating, Validating func() [][]api.Object
	Metrics              *Metrics
	Log                  *slog.Logger
}

// Hooks are the two plugins.
type Hooks struct {
	Mutating   *Mutating
	Validating *Validating
}

// New makes the plugins. Nothing is asked of anybody before there is a configuration.
func New(cfg Config) Hooks {
	a := &asker{cfg: cfg, authz: match.Authorizer(cfg.Authorizer), clients: newClients(cfg)}
	return Hooks{
		Mutating:   &Mutating{asker: a, source: match.NewSource(cfg.Door, cfg.Mutating, a.mutating, client.MutatingWebhooks)},
		Validating: &Validating{asker: a, source: match.NewSource(cfg.Door, cfg.Validating, a.validating, client.ValidatingWebhooks)},
	}
}

// Told says that an object of a resource has been written.
func (h Hooks) Told(r schema.GroupVersionResource) {
	switch r {
	case client.MutatingWebhooks:
		h.Mutating.source.Told()
	case client.ValidatingWebhooks:
		h.Validating.source.Told()
	}
}

// Reread says that the files of the server say something else.
func (h Hooks) Reread() {
	h.Mutating.source.Told()
	h.Validating.source.Told()
}

// asker is what both plugins have in common.
type asker struct {
	cfg     Config
	authz   authorizer.UnconditionalAuthorizer
	clients *clients
}

// exempt reports whether no webhook may be asked about a write, of what it takes to answer.
func exempt(a *admit.Attributes) bool {
	k := a.As()
	for i := range admissionregistration.Unasked {
		if u := &admissionregistration.Unasked[i]; u.Resource == k.Resource && u.Group == k.Group {
			return true
		}
	}
	return false
}

const configurations = "admissionregistration.k8s.io"

// among are the hooks that may be asked about a write: about what decides who is asked, only those that the API cannot take away.
func (h *hooks) among(a *admit.Attributes) []*hook {
	if a.As().Group == configurations {
		return h.list[:h.static]
	}
	return h.list
}

// called is why a webhook could not be asked, or did not answer as it should: its failure policy decides what becomes of that.
type called struct {
	hook string
	err  error
	code int32 // as metrics count it
}

func (e *called) Error() string { return fmt.Sprintf("failed calling webhook %q: %v", e.hook, e.err) }
func (e *called) Unwrap() error { return e.err }

// timeout is how long a webhook may take.
func timeout(seconds *int32) time.Duration {
	if seconds == nil {
		return 0
	}
	return time.Duration(*seconds) * time.Second
}
