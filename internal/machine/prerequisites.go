package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/engine"
	"sampan.dev/internal/node/proxy/nft"

	"golang.org/x/sys/unix"
)

// Prerequisites finds out whether this machine has what a node needs, before anything is made or started. It names all that is
// missing at once. Without nf_tables Services are forwarded in userspace, unless the proxy's mode is to be nftables.
func Prerequisites(cfg config.Config, proxyMode string) error {
	if cfg.NoNode {
		return nil
	}
	errs := Programs(cfg)
	for _, look := range []struct {
		path, what, then string
	}{
		{"/proc/self/ns/net", "network namespaces", "a kernel with CONFIG_NET_NS"},
		{"/proc/self/ns/pid", "process namespaces", "a kernel with CONFIG_PID_NS"},
		{"/sys/fs/cgroup", "control groups", "mount a cgroup file system at /sys/fs/cgroup"},
	} {
		if _, err := os.Stat(look.path); err != nil {
			errs = append(errs, fmt.Errorf("a node needs %s: look at %s: %w; %s", look.what, look.path, err, look.then))
		}
	}
	if cfg.RuntimeEndpoint == "" {
		if err := engine.CheckRegistries(cfg.Paths()); err != nil {
			errs = append(errs, err)
		}
	}
	if err := mayMount(); err != nil {
		errs = append(errs, err)
	}
	if proxyMode == "nftables" {
		if err := nft.Supported(); err != nil {
			errs = append(errs, fmt.Errorf("--proxy-mode=nftables needs nf_tables: make a table: %w; 'modprobe nf_tables', and CAP_NET_ADMIN where this is a container; or leave the flag out", err))
		}
	}
	return errors.Join(errs...)
}

// NoPacketFilter says why Services would be forwarded in userspace here: nf_tables cannot be used. It is nil where they can.
func NoPacketFilter() error { return nft.Supported() }

// Programs looks for those that belong beside sampan.
func Programs(cfg config.Config) []error {
	bin := cfg.Paths().Bin
	need := []string{"containerd", "runc", "sampan-cni", "pause.tar"}
	var errs []error
	if cfg.RuntimeEndpoint != "" {
		need = []string{"sampan-cni"}
		if path, ok := strings.CutPrefix(cfg.RuntimeEndpoint, "unix://"); ok || filepath.IsAbs(path) {
			if info, err := os.Stat(path); err != nil {
				errs = append(errs, fmt.Errorf("--container-runtime-endpoint %s: %w; start that runtime first, or leave the flag out and use the one beside sampan", cfg.RuntimeEndpoint, err))
			} else if info.Mode()&os.ModeSocket == 0 {
				errs = append(errs, fmt.Errorf("--container-runtime-endpoint %s: it is no socket; name the runtime's, such as unix:///run/containerd/containerd.sock", cfg.RuntimeEndpoint))
			}
		}
	} else if !runs(filepath.Join(bin, "sampan-monitor")) && !runs(filepath.Join(bin, "containerd-shim-runc-v2")) {
		errs = append(errs, fmt.Errorf("neither sampan-monitor nor containerd-shim-runc-v2 is a program in %s, where sampan is: 'make build' puts them there; copy the whole folder", bin))
	}
	for _, name := range need {
		path := filepath.Join(bin, name)
		if info, err := os.Stat(path); err != nil {
			errs = append(errs, fmt.Errorf("%s belongs beside sampan: %w; 'make build' puts it there; copy the whole folder", name, err))
		} else if !info.Mode().IsRegular() || name != "pause.tar" && info.Mode()&0o111 == 0 {
			errs = append(errs, fmt.Errorf("%s belongs beside sampan: %s is no program (%s); 'make build' makes it", name, path, info.Mode()))
		}
	}
	return errs
}

func runs(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// mayMount tells whether this process has the capabilities of a node's: root in a container may not.
func mayMount() error {
	var data [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("capabilities of this process: %w", err)
	}
	for _, c := range []struct {
		bit  uint
		name string
		what string
	}{
		{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "mount volumes and make namespaces"},
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "make the pods' network"},
	} {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			return fmt.Errorf("a node must %s: this process lacks %s; in a container, run it with --privileged", c.what, c.name)
		}
	}
	return nil
}
