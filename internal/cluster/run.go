package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/further"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/machine/node"
	"sampan.dev/internal/machine/parts"
	"sampan.dev/internal/machine/site"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/memlimit"
	"sampan.dev/internal/pki"
	"sampan.dev/internal/plane"
)

// calm is how long after the start the pages of the program that only the start needed are given back.
const calm = 5 * time.Second

func calmDown() { time.AfterFunc(calm, memlimit.LetGoOfProgram) }

func nodeSeat(p *plane.Plane, cfg config.Config) *node.Seat {
	name, _ := cfg.Node() // checked when the keys were opened
	return &node.Seat{Door: p.Door(api.Node(name), "kubelet/"+config.Version), Authority: p.Pki.CA.PEM(), Serves: p.Kubelet.Serves, Mute: p.Writable,
		Proxy: p.Door(api.User{Name: api.UserProxy, Groups: []string{api.GroupAuthenticated}}, "kube-proxy/"+config.Version)}
}

// Run runs everything until ctx ends or a part fails, and calls ready once, when the cluster can be used. beside is how the node is
// started as a process of its own where that is asked for.
func Run(ctx context.Context, cfg suite.Config, beside hold.Beside, show *steps.Steps, log *slog.Logger, ready func()) error {
	paths := cfg.Paths()
	claim, err := hold.Claim(paths)
	if err != nil {
		return err
	}
	defer claim.Release()
	if !cfg.Separate {
		if err := hold.StopKept(ctx, paths.Apart()); err != nil { // of an earlier start with --separate
			return err
		}
	}
	if err := machine.KeepNodeName(&cfg.Config, log); err != nil {
		return err
	}
	if err := errors.Join(machine.KeepRanges(cfg.Config), site.Keep(&cfg.Config)); err != nil {
		return err
	}
	show.Say("sampan %s, Kubernetes %s", config.Build, config.Version)
	g := daemon.NewGroup(ctx, log)
	parts.Tell(g, cfg.Config, paths)
	defer show.End()
	begun := make(chan error, 1)
	go func() {
		err := begin(g, cfg, beside, paths, show, log)
		if err == nil {
			g.Settle()
			ready()
			calmDown()
		}
		begun <- err
	}()
	select {
	case err := <-begun:
		if err != nil {
			return stopped(g, err)
		}
	case <-g.Context().Done():
		// A part failed, or we were told to stop, before all was up. The part's own error says more.
		<-begun
	}
	return g.Wait()
}

// stopped stops a group because of an error and returns that, with what the parts say that it is not made of.
func stopped(g *daemon.Group, err error) error {
	g.Stop()
	if last := g.Wait(); last != nil && !errors.Is(err, last) {
		return errors.Join(err, last)
	}
	return err
}

// begin starts the parts in their order and returns when the cluster is ready.
func begin(g *daemon.Group, cfg suite.Config, beside hold.Beside, paths config.Paths, show *steps.Steps, log *slog.Logger) error {
	var m *node.Machine
	if cfg.Nodes > 1 && cfg.NodeIP == "" {
		cfg.NodeIP = further.NodeAddr(cfg.Config, 1).String() // where the further nodes reach it
		cfg.Kubelet.NodeIP = cfg.NodeIP
	}
	listener, err := plane.OpenListener(cfg.Config)
	if err != nil {
		return err // before anything runs that would have to be taken down again
	}
	if !cfg.NoNode && !cfg.Separate {
		// The runtime takes the longest to come up and needs nobody.
		m = node.Start(g, cfg, paths, log)
	}
	p, err := plane.Open(g, cfg, paths, listener, show, log)
	if err != nil {
		return err
	}
	var other *apart
	if cfg.Separate {
		if other, err = nodeApart(g, cfg, beside, p); err != nil {
			return err
		}
	}
	if err := p.Start(g, listener, show); err != nil {
		return err
	}
	if err := p.StartControl(g); err != nil {
		return err
	}
	switch {
	case m != nil:
		err = m.StartNode(g, nodeSeat(p, cfg.Config), show)
		if err == nil {
			err = p.Reach(listener, m.Network.Gateway())
		}
	case other != nil:
		err = other.ready(g, cfg, p, show, log)
		if err == nil {
			err = p.ReachSaved(listener)
		}
	}
	if err == nil && !cfg.NoNode {
		err = p.LabelControlPlane(g.Context())
	}
	if err == nil && m != nil {
		err = startFurtherNodes(g, cfg.Config, cfg.Proxy.Mode, p, show, log)
	}
	if err != nil {
		return err
	}
	if err := p.ApplyManifests(g); err != nil {
		return err
	}
	plane.FollowHost(g, append(m.Follow(), p.HostChanged)...)
	return finish(cfg.Config, paths, show)
}

// finish writes what a person needs and says so.
func finish(cfg config.Config, paths config.Paths, show *steps.Steps) error {
	if cfg.KubeconfigOut != "" {
		data, err := os.ReadFile(paths.Kubeconfig)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(cfg.KubeconfigOut), 0o755); err != nil {
			return fmt.Errorf("--kubeconfig-out: %w", err)
		}
		if !pki.Unchanged(cfg.KubeconfigOut, data, 0o600) {
			if err := os.WriteFile(cfg.KubeconfigOut, data, 0o600); err != nil {
				return fmt.Errorf("--kubeconfig-out: %w", err)
			}
		}
	}
	show.End()
	show.Say("ready after %s", steps.Millis(show.Elapsed()))
	if !cfg.NoMerge {
		if path, err := machine.MergeKubeconfig(cfg, paths.Kubeconfig); err != nil {
			show.Say("context %q not added to your kubeconfig: %v", machine.ContextName(cfg), err)
		} else {
			show.Say("context %q is in %s", machine.ContextName(cfg), path)
		}
	}
	show.Say("export KUBECONFIG=%s", paths.Kubeconfig)
	return nil
}
