package control

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/unbuilt"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/record"
	"sampan.dev/internal/control/autoscale"
	"sampan.dev/internal/control/cloud"
	"sampan.dev/internal/control/gc"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/nodes"
	"sampan.dev/internal/control/storage"

	"golang.org/x/sync/errgroup"
)

// Config of the controller manager. The zero value of each field but the first three is upstream's default, save for
// NodeIPAM, which does nothing without ranges.
type Config struct {
	Doors client.Factory
	Kinds *api.Kinds
	Log   *slog.Logger

	// Controllers selects as upstream's --controllers: "*" is all that are on by default, "x" turns one on, "-x" off. Nil
	// means "*".
	Controllers []string
	// UserAgent is what doors are opened as, before the controller's name.
	UserAgent string

	// NamespaceGrace is waited before the contents of a namespace are deleted; see gc.NewNamespace.
	NamespaceGrace time.Duration
	// TerminatedPodThreshold is the number of ended pods beyond which the oldest are deleted; 0 means 12500, less than 0
	// that none are.
	TerminatedPodThreshold int
	NodeIPAM               nodes.IPAMConfig
	NodeLifecycle          nodes.LifecycleConfig
	Autoscale              autoscale.Config
	Storage                storage.BinderConfig
	Attach                 storage.AttachConfig
	// LocalPath makes the classes local-path and standard, and volumes of them: directories of the nodes.
	LocalPath bool

	// RootCA is the bundle (PEM) that verifies the hub; empty: no ConfigMap kube-root-ca.crt is published.
	RootCA []byte
	// TokenKey signs the tokens that Secrets hold; nil: none are made.
	TokenKey crypto.Signer
	// UnusedTokens is how long a token that an account got by itself may be unused; 0 means a year.
	UnusedTokens time.Duration
	// Signer has the authority that certificate requests are signed with; without its key nothing is signed.
	Signer identity.SignerConfig
	// Cloud has the provider that the loops of a cloud serve; without one they are not run. OnlyCloud leaves out all others.
	Cloud     cloud.Config
	OnlyCloud bool
	// Serving says which serving certificates kubelets get without an administrator.
	Serving identity.ServingPolicy
}

// Manager runs controllers.
type Manager struct {
	cfg       Config
	informers *cache.Set
	world     *gc.World

	mu struct {
		sync.Mutex
		running map[string]loop.Runner // by name; for those who ask how they are
	}
}

// New makes a manager. It returns an error when Controllers names one that does not exist.
func New(cfg Config) (*Manager, error) {
	if cfg.UserAgent == "" {
		cfg.UserAgent = fmt.Sprintf("kube-controller-manager/v1.37.1 (%s/%s) kubernetes/sampan", runtime.GOOS, runtime.GOARCH)
	}
	m := &Manager{cfg: cfg}
	var known []string
	for _, c := range unbuilt.Controllers {
		known = append(known, c.Name, c.Alias)
	}
	for _, d := range m.list() {
		known = append(known, d.name, d.alias)
	}
	for _, sel := range cfg.Controllers {
		if name := strings.TrimPrefix(sel, "-"); name == "" || name != "*" && !slices.Contains(known, name) {
			return nil, fmt.Errorf("%q is not in the list of known controllers", name)
		}
	}
	return m, nil
}

// Names of all controllers, as --controllers takes them.
func (m *Manager) Names() []string {
	var out []string
	for _, d := range m.list() {
		out = append(out, d.name)
	}
	return out
}

// Chosen are the controllers that the selection leaves to run, each with all names that it goes by, the first being its own.
func (m *Manager) Chosen() [][]string {
	var out [][]string
	for _, d := range m.list() {
		if enabled(d, m.cfg.Controllers) {
			out = append(out, []string{d.name, d.alias, d.account})
		}
	}
	return out
}

// Any reports whether the selection leaves any controller to run.
func (m *Manager) Any() bool {
	return slices.ContainsFunc(m.list(), func(d descriptor) bool { return enabled(d, m.cfg.Controllers) })
}

// enabled decides whether a controller runs: the first word about it counts, then "*".
func enabled(d descriptor, selection []string) bool {
	if selection == nil {
		return !d.off
	}
	star := false
	for _, sel := range selection {
		name, off := strings.CutPrefix(sel, "-")
		switch {
		case name == d.name, d.alias != "" && name == d.alias:
			return !off
		case sel == "*":
			star = true
		}
	}
	return star && !d.off
}

// warnOfUnbuilt tells of controllers that were asked for by name and do not exist.
func (m *Manager) warnOfUnbuilt() {
	for _, c := range unbuilt.Controllers {
		if !c.InHub && (slices.Contains(m.cfg.Controllers, c.Name) || slices.Contains(m.cfg.Controllers, c.Alias)) {
			if c.Gate != "" {
				m.cfg.Log.Warn("controller is disabled by a feature gate that is off by default", "controller", c.Name, "feature_gate", c.Gate)
				continue
			}
			m.cfg.Log.Warn("controller is not implemented yet and does nothing", "controller", c.Name)
		}
	}
}

// Run runs the selected controllers until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	m.warnOfUnbuilt()
	m.cfg.Cloud.Changes = &cloud.Changes{}
	if p := m.cfg.Cloud.Provider; p != nil && p.Initialize != nil {
		p.Initialize(ctx.Done())
	}
	shared := m.cfg.Doors(api.User{Name: api.UserControllers, Groups: []string{api.GroupAuthenticated}}, m.cfg.UserAgent+"/shared-informers")
	m.informers = cache.NewSet(shared, m.cfg.Log)
	collector := m.cfg.Doors(account("generic-garbage-collector"), m.agent("generic-garbage-collector"))
	m.world = gc.NewWorld(m.cfg.Kinds, collector, m.cfg.Log)

	// Recorders end after the controllers, so that the last events are written.
	recording, endRecording := context.WithCancel(context.WithoutCancel(ctx))
	defer endRecording()
	var recorders errgroup.Group
	group, ctx := errgroup.WithContext(ctx)
	start := func(d descriptor) bool {
		env := m.env(d)
		controller := d.make(env)
		if controller == nil {
			return false
		}
		recorders.Go(func() error { return env.Events.Run(recording) })
		ended := m.runs(d.name, controller)
		group.Go(func() error {
			defer ended()
			if err := controller.Run(ctx); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
			return nil
		})
		return true
	}
	whole, part := false, false // what of the world is needed
	for _, d := range m.list() {
		switch {
		case !enabled(d, m.cfg.Controllers):
		case d.when != nil || d.first != nil:
			// What starts it is an informer, which is one of the group, which therefore has not ended.
			var once sync.Once
			begin := func() { once.Do(func() { start(d) }) }
			if d.when != nil {
				d.when(m.informers, begin)
			}
			m.world.First(d.first, d.like, begin)
			part = part || d.first != nil
		case start(d):
			whole = whole || d.reads == "*"
		}
	}
	if slices.ContainsFunc(m.own(), func(d descriptor) bool { return enabled(d, m.cfg.Controllers) }) {
		group.Go(func() error { m.ensureLocalClasses(ctx); return nil })
	}
	if p := m.cfg.Cloud.Provider; p != nil && p.Run != nil {
		group.Go(func() error { return p.Run(ctx, m.cfg.Cloud.Changes.Tell) })
	}
	group.Go(func() error { return m.informers.Run(ctx) })
	if !whole {
		m.world.OnlyFirst()
	}
	if whole || part {
		group.Go(func() error { return m.world.Run(ctx) })
	}
	err := group.Wait()
	endRecording()
	recorders.Wait()
	return err
}

// ensureLocalClasses makes the classes of local volumes, and ends when they are there.
func (m *Manager) ensureLocalClasses(ctx context.Context) {
	d := m.own()[0]
	door := m.cfg.Doors(user(d), m.agent(d.account))
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Minute) {
		err := storage.EnsureLocalClasses(ctx, door)
		if err == nil || ctx.Err() != nil {
			return
		}
		m.cfg.Log.Warn("storage classes not made, trying again", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// user is who a controller acts as.
func user(d descriptor) api.User {
	u := account(d.account)
	if d.admin {
		u.Groups = append(u.Groups, api.GroupMasters)
	}
	return u
}

func (m *Manager) env(d descriptor) loop.Env {
	who, agent := user(d), m.agent(d.account)
	if d.account == "" {
		who, agent = api.User{Name: api.UserControllers, Groups: []string{api.GroupAuthenticated}}, m.cfg.UserAgent+"/"+d.component
	}
	door := m.cfg.Doors(who, agent)
	component := d.component
	if component == "" {
		component = d.account
	}
	log := m.cfg.Log.With("component", d.name)
	return loop.Env{Name: d.name, Door: door, Informers: m.informers, Events: record.New(door, component, "", log), Log: log}
}

func account(name string) api.User { return api.ServiceAccount("kube-system", name, "") }

func (m *Manager) agent(account string) string {
	return m.cfg.UserAgent + "/system:serviceaccount:kube-system:" + account
}
