package testkit

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/record"
	"sampan.dev/internal/control"
	"sampan.dev/internal/control/nodes"
	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
)

// Cluster is a running control plane without nodes.
type Cluster struct {
	Hub       *hub.Hub
	Door      client.Interface // an administrator's
	Scheduler *scheduler.Scheduler
	Log       *slog.Logger
	Context   context.Context // ends with the test

	running *sync.WaitGroup
	gangs   bool
}

// Options change what a cluster is made of. The zero value is the whole of it on the memory store.
type Options struct {
	Store       store.Store // nil: the memory store
	Controllers []string    // as control.Config has them
	// NoScheduler leaves the scheduler out until StartScheduler.
	NoScheduler bool
	// Gangs turns the feature GenericWorkload on.
	Gangs bool
}

// Start starts one. Set VERBOSE in the environment to see its log.
func Start(t testing.TB) *Cluster {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith is Start with options.
func StartWith(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if opts.Store == nil {
		opts.Store = memory.New()
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cluster{Context: ctx, running: &sync.WaitGroup{}, Log: slog.New(slog.DiscardHandler)}
	t.Cleanup(func() { cancel(); c.running.Wait() })
	if os.Getenv("VERBOSE") != "" {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	kinds := all.Kinds()
	if c.gangs = opts.Gangs; c.gangs {
		kinds = all.Grouped()
	}
	h, err := hub.New(hub.Config{
		Kinds: kinds, Store: opts.Store, Log: c.Log,
		Bootstrap: true, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Hub = h
	c.Go(t, "hub", h.Run)
	<-h.Ready()
	c.Door = h.Door(api.User{Name: "test", Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "test")

	m, err := control.New(control.Config{
		Doors: h.Door, Kinds: kinds, Log: c.Log, Controllers: opts.Controllers,
		NodeIPAM: nodes.IPAMConfig{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.128.0.0/9")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Go(t, "controllers", m.Run)

	if !opts.NoScheduler {
		c.StartScheduler(t)
	}
	return c
}

// StartScheduler starts the scheduler of a cluster that was started without; no profiles are the default one.
func (c *Cluster) StartScheduler(t testing.TB, profiles ...scheduler.Profile) {
	door := c.Hub.Door(api.User{Name: api.UserScheduler, Groups: []string{api.GroupAuthenticated}}, "kube-scheduler")
	set := cache.NewSet(door, c.Log)
	events := record.NewSeries(door, "default-scheduler", "testkit", c.Log)
	c.Scheduler = scheduler.New(scheduler.Config{Door: door, Informers: set, Events: events, Log: c.Log, Seed: 1, Profiles: profiles, Gangs: c.gangs})
	c.Go(t, "scheduler informers", set.Run)
	c.Go(t, "scheduler events", events.Run)
	c.Go(t, "scheduler", c.Scheduler.Run)
}

// Go runs a part of the cluster until the test ends; an error of it fails the test.
func (c *Cluster) Go(t testing.TB, name string, run func(context.Context) error) {
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		if err := run(c.Context); err != nil && c.Context.Err() == nil {
			t.Errorf("%s: %v", name, err)
		}
	}()
}
