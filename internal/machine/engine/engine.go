package engine

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
	"time"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/place"
	"sampan.dev/internal/node/runtime"

	"k8s.io/apimachinery/pkg/types"
)

// Containerd is the bundled runtime of the node that lives in paths.
func Containerd(paths config.Paths, log *slog.Logger) *runtime.Containerd {
	return &runtime.Containerd{
		Bin:         filepath.Join(paths.Bin, "containerd"),
		Runc:        filepath.Join(paths.Bin, "runc"),
		Root:        filepath.Join(paths.Data, "containerd"),
		State:       filepath.Join(paths.Run, "containerd"),
		PauseImage:  pauseImage,
		PauseTar:    filepath.Join(paths.Bin, "pause.tar"),
		CNIBinDirs:  []string{paths.Bin, "/opt/cni/bin"},
		CNIConfDir:  CniConf(paths),
		HostsDir:    registryHosts(paths),
		DropIns:     []string{"/etc/sampan/containerd.d", filepath.Join(paths.Data, "containerd.d")},
		NetNSDir:    true,
		KeepRunning: true,
		Log:         log.With("component", "containerd"),
	}
}

// Offers are the images that lie in archives beside sampan and are imported when a pod first asks for them.
func Offers(paths config.Paths) map[string]string {
	return map[string]string{"sampan.dev/demo:1": filepath.Join(paths.Bin, "demo.tar")}
}

const pauseImage = "sampan.dev/pause:1"

// Take ends the runtime with all its pods and takes away what is left. That the runtime did not do its part, being slow, hung or
// broken, matters to nobody once all was taken from it: the sweep is not gentle, but it is whole.
func Take(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	asked := stopRuntime(ctx, cfg, log)
	err := place.Sweep(cfg)
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
	c := Containerd(paths, log)
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

func CniConf(paths config.Paths) string { return filepath.Join(paths.Run, "cni/net.d") }
