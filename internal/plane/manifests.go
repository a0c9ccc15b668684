package plane

import (
	"context"
	"fmt"
	"os"

	"sampan.dev/internal/api"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/manifests"
)

// ApplyManifests has the folder of manifests applied to the cluster from now on, and makes it where there is none.
func (p *Plane) ApplyManifests(g *daemon.Group) error {
	paths := p.cfg.Paths()
	if err := os.MkdirAll(paths.Manifests, 0o700); err != nil {
		return fmt.Errorf("folder of manifests: %w", err)
	}
	user := api.User{Name: "system:sampan:manifests", Groups: []string{api.GroupMasters, api.GroupAuthenticated}}
	cfg := manifests.Config{
		Dir:      paths.Manifests,
		KeepPods: !p.cfg.NoNode && paths.StaticPods == paths.Manifests,
		Client:   &door{hub: &p.hub, user: user, userAgent: "sampan-manifests/" + config.Version},
		Log:      p.log.With("component", "manifests"),
	}
	g.Go("manifests", func(ctx context.Context) error { return manifests.Run(ctx, cfg) })
	return nil
}
