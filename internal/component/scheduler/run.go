package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/record"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/face"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control/scheduler"
)

const name = "kube-scheduler"

// Run schedules while it leads, until ctx ends.
func (c *Config) Run(ctx context.Context, log *slog.Logger) error {
	rc, err := c.Contact.Config(name)
	if err != nil {
		return err
	}
	door, err := remote.New(rc)
	if err != nil {
		return err
	}
	log.Info("scheduler starts", "version", config.Version, "server", rc.Host)
	var leads atomic.Bool
	var synced atomic.Bool
	server := face.Server{Config: c.Face, Name: name, Contact: c.Contact, Log: log,
		Checks: map[string]func() error{
			"ping":     func() error { return nil },
			"shutdown": func() error { return ctx.Err() },
			"sched-handler-sync": func() error {
				if leads.Load() && !synced.Load() {
					return errors.New("the nodes and pods that there are have not been read yet")
				}
				return nil
			},
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s := c.runs.Load(); s != nil {
				ctx, cancel := context.WithTimeout(r.Context(), metricsIn)
				defer cancel()
				s.Metrics(ctx, w)
			}
		}),
		Gates:   &c.Gates,
		Configz: func() (string, any) { return "kubescheduler.config.k8s.io", c.configz() },
		Flags:   func() map[string]string { return c.Table().Values() },
	}
	return component.Beside(ctx, func(ctx context.Context) error {
		return c.Lead.Lead(ctx, door, log, func(ctx context.Context) error {
			leads.Store(true)
			defer leads.Store(false)
			return c.Schedule(ctx, door, log, func() { synced.Store(true) })
		})
	}, server.Run)
}

// Schedule runs the scheduler with its profiles through door until ctx ends, and calls ready, which may be nil, once what there is has
// been read. It does not stand for a lease. While it runs, Collector tells of it.
func (c *Config) Schedule(ctx context.Context, door client.Interface, log *slog.Logger, ready func()) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	lists, err := profiles(c.Profiles, ignored(c.Extenders))
	if err != nil {
		return flag.Usage{Err: err}
	}
	extenders, err := chain(c.Extenders, log)
	if err != nil {
		return flag.Usage{Err: err}
	}
	set := cache.NewSet(door, log)
	events := record.NewSeries(door, "default-scheduler", host, log)
	dump := make(chan os.Signal, 1)
	signal.Notify(dump, syscall.SIGUSR2)
	defer signal.Stop(dump)
	s := scheduler.New(scheduler.Config{Door: door, Informers: set, Events: events, Log: log, Profiles: lists, Extenders: extenders, Dump: dump, Gangs: c.Gates.GenericWorkload})
	c.runs.Store(s)
	defer c.runs.Store(nil)
	beside := []func(context.Context) error{set.Run, events.Run}
	if ready != nil {
		beside = append(beside, func(ctx context.Context) error {
			if err := set.WaitSynced(ctx); err == nil {
				ready()
			}
			<-ctx.Done()
			return nil
		})
	}
	return component.Beside(ctx, s.Run, beside...)
}

// configz shows what was chosen, with the names of KubeSchedulerConfiguration.
func (c *Config) configz() any {
	return map[string]any{
		"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
		"leaderElection": map[string]any{"leaderElect": c.Lead.Elect, "leaseDuration": c.Lead.Duration.String(), "renewDeadline": c.Lead.Deadline.String(),
			"retryPeriod": c.Lead.Retry.String(), "resourceLock": "leases", "resourceName": c.Lead.Name, "resourceNamespace": c.Lead.Namespace},
		"clientConnection": map[string]any{"kubeconfig": c.Contact.Kubeconfig},
		"profiles":         c.Profiles,
		"extenders":        c.Extenders,
	}
}
