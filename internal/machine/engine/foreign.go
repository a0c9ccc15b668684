package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sampan.dev/internal/config"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/pki"

	"k8s.io/apimachinery/pkg/types"
)

// A runtime that is not ours (--container-runtime-endpoint) finds CNI configurations and plugins where it always does, so
// that is where ours must be; and `down` must know which runtime it was and what was put there.
const (
	usualCNIConf = "/etc/cni/net.d"
	usualCNIBin  = "/opt/cni/bin"
	cniConfName  = "10-sampan.conflist" // as node/network writes it
	cniPlugin    = "sampan-cni"
	cniLoopback  = "loopback" // under this name the plugin sets up the loopback link
)

// installed is what was put into places of others, to be taken away again; nothing else is.
type installed struct {
	Conf  string   `json:"conf"`  // the folder of configurations
	Files []string `json:"files"` // ours
	Dirs  []string `json:"dirs"`  // made for them, the deepest first
}

func installedFile(paths config.Paths) string { return filepath.Join(paths.Data, "runtime-files.json") }

// readInstalled reads the list. A version that kept none had one file, in the usual place.
func readInstalled(paths config.Paths) (installed, error) {
	var in installed
	data, err := os.ReadFile(installedFile(paths))
	if errors.Is(err, fs.ErrNotExist) {
		return installed{Files: []string{filepath.Join(usualCNIBin, cniPlugin)}}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &in)
	}
	return in, err
}

func endpointFile(paths config.Paths) string { return filepath.Join(paths.Data, "runtime-endpoint") }

// UseForeign installs what the runtime at endpoint needs and does not have, and remembers that and the endpoint. It
// returns the folder where the runtime looks for CNI configurations.
func UseForeign(ctx context.Context, paths config.Paths, endpoint string, log *slog.Logger) (conf string, err error) {
	bin, conf, err := runtime.CNIDirs(ctx, endpoint)
	if err != nil {
		log.Warn("the container runtime does not say where it looks for CNI", "error", err)
	}
	bin, conf = cmp.Or(bin, usualCNIBin), cmp.Or(conf, usualCNIConf)
	if err := pki.WriteFile(endpointFile(paths), []byte(endpoint+"\n"), 0o600); err != nil {
		return "", err
	}
	return conf, installPlugins(paths, bin, conf)
}

// installPlugins puts the plugin, under each name that is not there, into a runtime's folder. That is written down first, so
// that what a crash leaves is taken away too.
func installPlugins(paths config.Paths, bin, conf string) error {
	plugin, err := os.ReadFile(filepath.Join(paths.Bin, cniPlugin))
	if err != nil {
		return fmt.Errorf("the CNI plugin that belongs beside sampan: %w", err)
	}
	var in installed
	if _, err := os.Stat(installedFile(paths)); err == nil {
		if in, err = readInstalled(paths); err != nil {
			return err
		}
	}
	in.Conf = conf
	in.Dirs = append(in.Dirs, missingDirs(bin)...)
	for _, name := range []string{cniPlugin, cniLoopback} {
		file := filepath.Join(bin, name)
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) && !slices.Contains(in.Files, file) {
			in.Files = append(in.Files, file)
		}
	}
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if err := errors.Join(pki.WriteFile(installedFile(paths), data, 0o600), os.MkdirAll(bin, 0o755)); err != nil {
		return err
	}
	for _, file := range in.Files {
		if filepath.Dir(file) != bin {
			continue // of a runtime used before
		}
		if err := pki.WriteFile(file, plugin, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// missingDirs are those folders on the way to dir, with it, that do not exist, the deepest first.
func missingDirs(dir string) []string {
	var out []string
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		out = append(out, dir)
	}
	return out
}

// LeaveForeign removes this cluster's pods from the runtime that it used, and what was installed for it. Pods of
// others in the same runtime are told apart by their directories: ours have one below our kubelet's.
func LeaveForeign(ctx context.Context, paths config.Paths, log *slog.Logger) error {
	data, err := os.ReadFile(endpointFile(paths))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	endpoint := strings.TrimSpace(string(data))
	if _, serr := os.Stat(strings.TrimPrefix(endpoint, "unix://")); errors.Is(serr, fs.ErrNotExist) {
		log.Warn("the container runtime is gone; pods that it ran cannot be removed", "endpoint", endpoint)
	} else if err = removePods(ctx, endpoint, func(uid types.UID) bool {
		_, err := os.Stat(filepath.Join(paths.KubeletRoot, "pods", string(uid)))
		return err == nil
	}, log); err != nil {
		err = fmt.Errorf("pods in %s: %w", endpoint, err)
	}
	in, readErr := readInstalled(paths)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	return errors.Join(err, in.remove(), removeIfThere(installedFile(paths)), removeIfThere(endpointFile(paths)))
}

// remove takes away what was installed. The folder of configurations stays, whoever made it: a runtime that watches it ends
// its CRI when it goes.
func (in installed) remove() error {
	var errs []error
	for _, file := range in.Files {
		errs = append(errs, removeIfThere(file))
	}
	for _, dir := range in.Dirs {
		_ = os.Remove(dir) // fails when others have files there, as it should
	}
	return errors.Join(append(errs, removeIfThere(filepath.Join(cmp.Or(in.Conf, usualCNIConf), cniConfName)))...)
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ForeignCNI is where a pod network of somebody else's would announce itself. Only the cluster in the default place looks
// there: others on the same machine would fight over it.
func ForeignCNI(cfg config.Config) string {
	if cfg.Instance() != "" || cfg.RuntimeEndpoint != "" {
		return ""
	}
	return usualCNIConf
}
