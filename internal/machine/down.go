package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"sampan.dev/internal/component/proxy"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/engine"
	"sampan.dev/internal/machine/further"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/machine/place"
	"sampan.dev/internal/machine/site"
	"sampan.dev/internal/node/network"
)

// Ours refuses to erase a directory that no sampan has ever claimed.
func Ours(cfg config.Config) error {
	entries, err := os.ReadDir(cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	// One that was stopped before it claimed the directory has left what kept it.
	pa := cfg.Paths()
	for _, file := range []string{pa.Claim, pa.Keeper} {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s does not look like a data directory of sampan (no %s); nothing erased", cfg.DataDir, filepath.Base(pa.Claim))
}

// StopServer stops the control plane of a cluster with --separate and leaves its node running.
func StopServer(ctx context.Context, cfg config.Config) error {
	paths := cfg.Paths()
	if pid, err := hold.Holder(paths.Apart()); err != nil || pid == 0 {
		return errors.Join(fmt.Errorf("no node of the cluster in %s runs in a process of its own (up --separate); nothing stopped", cfg.DataDir), err)
	}
	return hold.StopKept(ctx, paths)
}

// Down stops the processes that hold the data directory, then its containers and the runtime, and takes away every mount,
// link, table, route and cgroup that they had. Each part is done even when another failed; running it twice is fine.
func Down(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	paths := cfg.Paths()
	// In this order: a server would start its node again.
	if err := errors.Join(hold.StopKept(ctx, paths), hold.StopKept(ctx, paths.Apart())); err != nil {
		return err
	}
	var errs []error
	nodes, err := further.All(cfg)
	if err != nil {
		errs = append(errs, err)
	}
	for _, n := range nodes {
		errs = append(errs, n.Down(ctx, log))
	}
	if os.Geteuid() == 0 {
		errs = append(errs, engine.LeaveForeign(ctx, paths, log))
		errs = append(errs, engine.Take(ctx, cfg, log))
		errs = append(errs, network.Cleanup(cfg.Instance()))
		errs = append(errs, proxy.Cleanup(cfg.Instance()))
	}
	errs = append(errs, place.RemoveRunDir(paths.Run))
	return errors.Join(errs...)
}

// Purge erases the data and what only a node leaves behind.
func Purge(cfg config.Config) error {
	paths := cfg.Paths()
	errs := []error{unmergeKubeconfig(cfg)}
	if os.Geteuid() == 0 {
		for _, dir := range []string{paths.KubeletRoot, paths.PodLogs, paths.ContainerLogs} {
			errs = append(errs, place.RemoveTree(dir))
		}
	}
	errs = append(errs, place.RemoveTree(paths.Data), site.Usual().Forget(paths.Data))
	return errors.Join(errs...)
}
