package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
)

// bundle is the directory that containerd makes for a container: the specification, the options, and where its root is mounted.
// It is used by the request that creates the container and, afterwards, by whoever holds container.life; update reads it only.
type bundle struct {
	key    key
	dir    string
	rootfs string               // where the root is mounted; "" where the bundle brings its own
	opts   *runcoptions.Options // empty until readOptions
	log    *slog.Logger
}

func newBundle(k key, dir string, log *slog.Logger) *bundle {
	return &bundle{key: k, dir: dir, opts: &runcoptions.Options{}, log: log}
}

// createFailed words an error as containerd's shim and runc together word it: people search for these texts.
func createFailed(err error) error {
	return fmt.Errorf("OCI runtime create failed: runc create failed: %w", err)
}

// runc is the program to run for what is left to it.
func (b *bundle) runc() string {
	if b.opts.BinaryName != "" {
		return b.opts.BinaryName
	}
	return "runc"
}

// stateRoot is the directory below which runc and libcontainer keep the states of containers.
func (b *bundle) stateRoot() string {
	root := b.opts.Root
	if root == "" {
		root = "/run/containerd/runc"
	}
	return filepath.Join(root, b.key.namespace)
}

// readOptions takes the options of containerd's runtime configuration and writes them down as the stock shim does.
func (b *bundle) readOptions(a *anypb.Any) error {
	if a.GetValue() != nil {
		v, err := typeurl.UnmarshalAny(a)
		if err != nil {
			return err
		}
		o, ok := v.(*runcoptions.Options)
		if !ok {
			return fmt.Errorf("options are a %T: %w", v, errdefs.ErrInvalidArgument)
		}
		b.opts = o
	}
	body, err := json.Marshal(b.opts)
	if err != nil {
		return err
	}
	b.write("options.json", string(body)) // for the stock shim, should it have to clean up
	b.write("runtime", b.opts.BinaryName)
	return nil
}

// write writes one of the files that the stock shim would look for. Our own work goes on without them.
func (b *bundle) write(name, text string) {
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.log.Warn("bundle not written", "container", b.key.id, "error", err)
	}
}

// readSpec reads the specification and refuses, in runc's words, what libcontainer would take without checking.
func (b *bundle) readSpec() (*specs.Spec, error) {
	body, err := os.ReadFile(filepath.Join(b.dir, "config.json"))
	if err != nil {
		return nil, err
	}
	spec := &specs.Spec{}
	if err := json.Unmarshal(body, spec); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	p := spec.Process
	switch {
	case p == nil:
		return nil, createFailed(errors.New("process property must not be empty"))
	case !filepath.IsAbs(p.Cwd):
		return nil, createFailed(errors.New("Cwd must be an absolute path"))
	case len(p.Args) == 0:
		return nil, createFailed(errors.New("args must not be empty"))
	case spec.Root == nil:
		return nil, createFailed(errors.New("root property must not be empty"))
	}
	if !filepath.IsAbs(spec.Root.Path) { // the bundle is not our working directory
		spec.Root.Path = filepath.Join(b.dir, spec.Root.Path)
	}
	return spec, nil
}

// libConfig turns a specification into libcontainer's configuration.
func (b *bundle) libConfig(spec *specs.Spec) (*configs.Config, error) {
	cfg, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{
		CgroupName: b.key.id, UseSystemdCgroup: b.opts.SystemdCgroup, Spec: spec,
		NoPivotRoot: b.opts.NoPivotRoot, NoNewKeyring: b.opts.NoNewKeyring,
		RootlessEUID: os.Geteuid() != 0,
	})
	if err != nil {
		return nil, err
	}
	for i, l := range cfg.Labels {
		if strings.HasPrefix(l, "bundle=") { // it took our working directory for it
			cfg.Labels[i] = "bundle=" + b.dir
		}
	}
	return cfg, nil
}

// privatePIDs reports whether the container has a PID namespace of its own.
func privatePIDs(spec *specs.Spec) bool {
	return spec.Linux == nil || slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.PIDNamespace && n.Path == ""
	})
}

// mount mounts the container's root as containerd asked for; nothing where the bundle brings its own.
func (b *bundle) mount(from []*types.Mount) error {
	if len(from) == 0 {
		return nil
	}
	b.rootfs = filepath.Join(b.dir, "rootfs")
	if err := os.Mkdir(b.rootfs, 0o711); err != nil && !os.IsExist(err) {
		return err
	}
	mounts := make([]mount.Mount, len(from))
	for i, m := range from {
		mounts[i] = mount.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options}
	}
	if err := mount.All(mounts, b.rootfs); err != nil {
		b.unmount()
		return fmt.Errorf("failed to mount rootfs component: %w", err)
	}
	return nil
}

// unmount undoes mount. What fails is logged: containerd removes the bundle next and would say so too.
func (b *bundle) unmount() {
	if b.rootfs == "" {
		return
	}
	if err := mount.UnmountRecursive(b.rootfs, 0); err != nil {
		b.log.Warn("root not unmounted", "container", b.key.id, "error", err)
	}
}
