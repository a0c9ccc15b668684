package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"sampan.dev/internal/config"
	"sampan.dev/internal/node/network"
	"sampan.dev/internal/node/proxy/nft"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/obs"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
)

func downCommand() *cobra.Command {
	cfg := config.Default()
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop a cluster and remove what it made on this machine, but not its data",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := check(&cfg); err != nil {
				return err
			}
			log, err := obs.NewLogger(cmd.ErrOrStderr(), "warn", "text")
			if err != nil {
				return err
			}
			return down(cmd.Context(), cfg, log)
		},
	}
	placeFlags(cmd.Flags(), &cfg)
	return cmd
}

func purgeCommand() *cobra.Command {
	cfg := config.Default()
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge --yes",
		Short: "Do what down does and erase the data",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := check(&cfg); err != nil {
				return err
			}
			if !yes {
				return usageError{fmt.Errorf("purge erases everything in %s; say --yes if that is what you want", cfg.DataDir)}
			}
			if err := ours(cfg); err != nil {
				return err
			}
			log, err := obs.NewLogger(cmd.ErrOrStderr(), "warn", "text")
			if err != nil {
				return err
			}
			if err := down(cmd.Context(), cfg, log); err != nil {
				return err
			}
			return purge(cfg)
		},
	}
	placeFlags(cmd.Flags(), &cfg)
	cmd.Flags().BoolVar(&yes, "yes", false, "really erase")
	return cmd
}

// ours refuses to erase a directory that no sampan has ever claimed.
func ours(cfg config.Config) error {
	entries, err := os.ReadDir(cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(claimFile(cfg.Paths())); err != nil {
		return fmt.Errorf("%s does not look like a data directory of sampan (no %s); nothing erased", cfg.DataDir, filepath.Base(claimFile(cfg.Paths())))
	}
	return nil
}

// down stops the process that holds the data directory, then its containers and the runtime, and takes away every mount,
// link, table, route and cgroup that they had. Each part is done even when another failed; running it twice is fine.
func down(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	paths := cfg.Paths()
	if err := stopKept(ctx, paths); err != nil {
		return err
	}
	var errs []error
	nodes, err := furtherNodes(cfg)
	if err != nil {
		errs = append(errs, err)
	}
	for _, n := range nodes {
		errs = append(errs, n.down(ctx, log))
	}
	if os.Geteuid() == 0 {
		errs = append(errs, leaveForeignRuntime(ctx, paths, log))
		errs = append(errs, takeRuntime(ctx, cfg, log))
		errs = append(errs, network.Cleanup(cfg.Instance()))
		errs = append(errs, nft.Cleanup(cfg.Instance()))
	}
	errs = append(errs, removeRunDir(paths.Run))
	return errors.Join(errs...)
}

// stopHolder asks the process that holds the data directory to end and waits until the lock is free.
func stopHolder(ctx context.Context, paths config.Paths) error {
	pid, err := holder(paths)
	if err != nil || pid == 0 {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	return awaitFreed(ctx, claimFile(paths), 20*time.Second, func() {
		if now, _ := holder(paths); now == pid {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

// containerdOf is the bundled runtime of the node that lives in paths.
func containerdOf(paths config.Paths, log *slog.Logger) *runtime.Containerd {
	return &runtime.Containerd{
		Bin:         filepath.Join(paths.Bin, "containerd"),
		Runc:        filepath.Join(paths.Bin, "runc"),
		Root:        filepath.Join(paths.Data, "containerd"),
		State:       filepath.Join(paths.Run, "containerd"),
		PauseImage:  pauseImage,
		PauseTar:    filepath.Join(paths.Bin, "pause.tar"),
		CNIBinDirs:  []string{paths.Bin, "/opt/cni/bin"},
		CNIConfDir:  cniConf(paths),
		CertsDirs:   []string{filepath.Join(paths.Data, "certs.d")},
		DropIns:     []string{"/etc/sampan/containerd.d", filepath.Join(paths.Data, "containerd.d")},
		NetNSDir:    true,
		KeepRunning: true,
		Log:         log.With("component", "containerd"),
	}
}

const pauseImage = "sampan.dev/pause:1"

// takeRuntime ends the runtime with all its pods and takes away what is left. That the runtime did not do its part, being slow, hung or
// broken, matters to nobody once all was taken from it: the sweep is not gentle, but it is whole.
func takeRuntime(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	asked := stopRuntime(ctx, cfg, log)
	err := sweep(cfg)
	if asked != nil && err == nil {
		log.Warn("the runtime did not remove its pods, so they were taken from it", "error", asked)
		return nil
	}
	return errors.Join(asked, err)
}

// stopRuntime removes every pod through the CRI, as the runtime itself would have it, and ends the runtime. A containerd
// that has died is started once more for this, so that it takes its shims and snapshots along.
func stopRuntime(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	paths := cfg.Paths()
	c := containerdOf(paths, log)
	if _, err := os.Stat(c.State); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(c.Bin); err != nil {
		return nil // nothing to ask; the sweep does what it can
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { ended <- c.Run(running, func() { close(ready) }) }()
	select {
	case err := <-ended:
		stop()
		return fmt.Errorf("ask containerd to remove the pods: %w", cmp.Or(err, ctx.Err()))
	case <-ready:
	}
	err := removePods(ctx, c.Endpoint(), func(types.UID) bool { return true }, log)
	stop()
	<-ended
	return errors.Join(err, c.Stop())
}

// removePods removes the pods of a runtime that are ours.
func removePods(ctx context.Context, endpoint string, ours func(types.UID) bool, log *slog.Logger) error {
	cri, err := runtime.Dial(endpoint, log)
	if err != nil {
		return err
	}
	defer cri.Close()
	pods, err := cri.List(ctx)
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	var wg sync.WaitGroup
	limit := make(chan struct{}, 8)
	errs := make([]error, len(pods))
	for i, pod := range pods {
		if !ours(pod.UID) {
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			limit <- struct{}{}
			defer func() { <-limit }()
			for _, c := range pod.Containers {
				_ = cri.StopContainer(ctx, c.ID, 0) // removal of the sandbox stops what is left
			}
			for _, s := range pod.Sandboxes {
				errs[i] = errors.Join(errs[i], cri.StopSandbox(ctx, s.ID), cri.RemoveSandbox(ctx, s.ID))
			}
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// purge erases the data and what only a node leaves behind.
func purge(cfg config.Config) error {
	paths := cfg.Paths()
	errs := []error{unmergeKubeconfig(cfg)}
	if os.Geteuid() == 0 {
		for _, dir := range []string{paths.KubeletRoot, paths.PodLogs, paths.ContainerLogs} {
			errs = append(errs, removeTree(dir))
		}
	}
	errs = append(errs, removeTree(paths.Data))
	return errors.Join(errs...)
}
