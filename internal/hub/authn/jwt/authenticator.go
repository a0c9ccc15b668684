package jwt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/reload"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/apis/apiserver"
)

// Authenticator authenticates tokens of all issuers that the settings name now.
type Authenticator struct {
	settings *Settings
	log      *slog.Logger
	now      atomic.Pointer[generation] // replaced by Run when the file changes
}

// generation is the issuers of one content of the file. They are asked from start until end is called.
type generation struct {
	issuers    []*issuer
	start, end func()
}

// Pauses between attempts to reach an issuer, and how long a new file waits for all of its issuers.
const (
	askAgain = 10 * time.Second
	settle   = time.Minute
)

// New makes one. Issuers are reached for while Run runs.
func New(s *Settings, log *slog.Logger) (*Authenticator, error) {
	a := &Authenticator{settings: s, log: log}
	g, err := a.generation(s.first)
	if err != nil {
		return nil, err
	}
	a.now.Store(g)
	return a, nil
}

func (a *Authenticator) generation(c *apiserver.AuthenticationConfiguration) (*generation, error) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &generation{}
	var wg sync.WaitGroup
	g.end = func() { cancel(); wg.Wait() }
	g.start = func() {
		for _, is := range g.issuers {
			wg.Go(func() { is.reach(ctx, a.log) })
		}
	}
	for i := range c.JWT {
		is, err := newIssuer(ctx, &c.JWT[i], a.settings)
		if err != nil {
			g.end()
			return nil, err
		}
		g.issuers = append(g.issuers, is)
	}
	return g, nil
}

// Authenticate tells whom a token stands for. ok false with a nil error means that no issuer of ours is named in it.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (api.User, bool, error) {
	for _, is := range a.now.Load().issuers {
		user, ok, err := is.authenticate(ctx, token)
		if ok || err != nil {
			return user, ok, err
		}
	}
	return api.User{}, false, nil
}

// Run reaches for the issuers, and follows the file if there is one, until ctx ends. One that cannot be used, or whose issuers cannot be reached within a minute, changes nothing;
// what it says of anonymous requests must stay.
func (a *Authenticator) Run(ctx context.Context) error {
	a.now.Load().start()
	defer func() { a.now.Load().end() }()
	if a.settings.flags.File == "" {
		<-ctx.Done()
		return nil
	}
	reload.Follow(ctx, a.settings.flags.File, a.settings.data, func(data []byte) {
		if err := a.change(ctx, data); err != nil {
			a.log.Error("failed to update authentication config", "file", a.settings.flags.File, "error", err)
			return
		}
		a.log.Info("reloaded authentication config", "file", a.settings.flags.File)
	})
	return nil
}

func (a *Authenticator) change(ctx context.Context, data []byte) error {
	c, err := parse(data)
	if err != nil {
		return fmt.Errorf("failed to load authentication config: %w", err)
	}
	errs := []error{a.settings.validate(c)}
	if !reflect.DeepEqual(c.Anonymous, a.settings.first.Anonymous) {
		errs = append(errs, field.Forbidden(field.NewPath("anonymous"), "changed from initial configuration file"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("failed to validate authentication config: %w", err)
	}
	next, err := a.generation(c)
	if err != nil {
		return err
	}
	next.start()
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for _, is := range next.issuers {
		select {
		case <-is.ready:
		case <-ctx.Done():
			err := next.unhealthy()
			next.end()
			return err
		}
	}
	before := a.now.Swap(next)
	time.AfterFunc(settle, before.end) // requests under way may still ask for its keys
	return nil
}

// unhealthy says which issuers have not been reached, and why.
func (g *generation) unhealthy() error {
	var errs []error
	for _, is := range g.issuers {
		if err := is.failed(); err != nil {
			errs = append(errs, fmt.Errorf("oidc: authenticator for issuer %q is not healthy: %w", is.cfg.Issuer.URL, err))
		}
	}
	return utilerrors.NewAggregate(errs)
}
