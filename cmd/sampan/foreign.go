package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"sampan.dev/internal/config"
	"sampan.dev/internal/pki"

	"k8s.io/apimachinery/pkg/types"
)

// A runtime that is not ours (--container-runtime-endpoint) finds CNI configurations and plugins where it always does, so
// that is where ours must be; and `down` must know which runtime it was.
const (
	usualCNIConf = "/etc/cni/net.d"
	usualCNIBin  = "/opt/cni/bin"
	cniConfName  = "10-sampan.conflist" // as node/network writes it
	cniPlugin    = "sampan-cni"
)

func endpointFile(paths config.Paths) string { return filepath.Join(paths.Data, "runtime-endpoint") }

// useForeignRuntime installs the CNI plugin for the runtime at endpoint and remembers the endpoint.
func useForeignRuntime(paths config.Paths, endpoint string) error {
	data, err := os.ReadFile(filepath.Join(paths.Bin, cniPlugin))
	if err != nil {
		return fmt.Errorf("the CNI plugin that belongs beside sampan: %w", err)
	}
	if err := os.MkdirAll(usualCNIBin, 0o755); err != nil {
		return err
	}
	if err := pki.WriteFile(filepath.Join(usualCNIBin, cniPlugin), data, 0o755); err != nil {
		return err
	}
	return pki.WriteFile(endpointFile(paths), []byte(endpoint+"\n"), 0o600)
}

// leaveForeignRuntime removes this cluster's pods from the runtime that it used, and what was installed for it. Pods of
// others in the same runtime are told apart by their directories: ours have one below our kubelet's.
func leaveForeignRuntime(ctx context.Context, paths config.Paths, log *slog.Logger) error {
	data, err := os.ReadFile(endpointFile(paths))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = removePods(ctx, strings.TrimSpace(string(data)), func(uid types.UID) bool {
		_, err := os.Stat(filepath.Join(paths.KubeletRoot, "pods", string(uid)))
		return err == nil
	}, log)
	if err != nil {
		err = fmt.Errorf("pods in %s: %w", strings.TrimSpace(string(data)), err)
	}
	return errors.Join(err, removeIfThere(filepath.Join(usualCNIConf, cniConfName)), removeIfThere(filepath.Join(usualCNIBin, cniPlugin)),
		removeIfThere(endpointFile(paths)))
}

// removeIfThere removes a file, and then its directory and the one above when they are left empty.
func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if dir := filepath.Dir(file); dir == usualCNIConf || dir == usualCNIBin {
		_ = os.Remove(dir) // fails when others have files there, as it should
		_ = os.Remove(filepath.Dir(dir))
	}
	return nil
}
