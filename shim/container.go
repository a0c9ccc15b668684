package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/api/events"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"
)

// container is one container and its processes.
type container struct {
	key    key
	bundle string // directory with its specification and root
	rootfs string // where its root is mounted; "" when it brings its own
	opts   *runcoptions.Options
	first  *process
	svc    *service

	numbers func() (any, error) // of its cgroup; set before mu.lib is

	// life is held while a process is made or started and while its end is told, so that containerd hears of things in
	// their order.
	life sync.Mutex

	mu struct {
		sync.Mutex
		lib     *libcontainer.Container
		started bool
		frozen  bool
		execs   map[string]*process // by id; those that were announced and not yet deleted
		running int                 // of execs
		quiet   *sync.Cond          // running has become less
	}
}

func newContainer(k key, r *taskAPI.CreateTaskRequest, s *service) *container {
	c := &container{key: k, bundle: r.Bundle, svc: s, opts: &runcoptions.Options{}}
	c.mu.execs = map[string]*process{}
	c.mu.quiet = sync.NewCond(&c.mu)
	c.first = newProcess(r.ID, &stdio{stdin: r.Stdin, stdout: r.Stdout, stderr: r.Stderr, terminal: r.Terminal}, nil)
	return c
}

// create mounts the root and makes the container up to its first process, which waits.
func (c *container) create(r *taskAPI.CreateTaskRequest) (err error) {
	c.life.Lock()
	defer c.life.Unlock()
	if r.Checkpoint != "" {
		return fmt.Errorf("restore from a checkpoint: CRIU is not part of this runtime: %w", errdefs.ErrNotImplemented)
	}
	if err := c.readOptions(r.Options); err != nil {
		return err
	}
	spec, err := c.readSpec()
	if err != nil {
		return err
	}
	if err := c.mount(r); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.unmount()
		}
	}()
	cfg, err := c.config(spec)
	if err != nil {
		return createFailed(err)
	}
	lib, err := libcontainer.Create(c.stateRoot(), c.key.id, cfg)
	if err != nil {
		return createFailed(err)
	}
	if err := c.launch(lib, c.first); err != nil {
		_ = lib.Destroy()
		return createFailed(err)
	}
	if err := c.findCgroup(); err != nil {
		c.svc.log.Warn("no numbers of the container's cgroup", "container", c.key.id, "error", err)
	}
	c.mu.Lock()
	c.mu.lib = lib
	c.mu.Unlock()
	c.write("init.pid", strconv.Itoa(int(c.first.pid.Load())))
	c.publish("/tasks/create", &events.TaskCreate{
		ContainerID: c.key.id, Bundle: c.bundle, Rootfs: r.Rootfs, Pid: c.first.pid.Load(),
		IO: &events.TaskIO{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	go c.awaitFirst(lib, privatePIDs(spec)) // ends with the container
	if oom, err := lib.NotifyOOM(); err != nil {
		c.svc.log.Warn("out of memory will not be noticed", "container", c.key.id, "error", err)
	} else {
		go c.watchOOM(oom) // ends with the container's cgroup
	}
	return nil
}

// createFailed words an error as containerd's shim and runc together word it: people look for these texts.
func createFailed(err error) error {
	return fmt.Errorf("OCI runtime create failed: runc create failed: %w", err)
}

// launch starts a process of the container: its first up to where it waits, another altogether.
func (c *container) launch(lib *libcontainer.Container, p *process) error {
	lp, err := toLib(p.spec)
	if err != nil {
		return err
	}
	if err := p.io.attach(lp); err != nil {
		return err
	}
	if lp.Init = p == c.first; lp.Init {
		err = lib.Start(lp)
	} else {
		err = lib.Run(lp)
	}
	if err != nil {
		p.io.close()
		return err
	}
	if err := p.io.running(); err != nil {
		_ = lp.Signal(unix.SIGKILL)
		_, _ = lp.Wait()
		p.io.close()
		return err
	}
	pid, err := lp.Pid()
	if err != nil {
		return err
	}
	p.lib = lp
	p.pid.Store(uint32(pid))
	return nil
}

// start lets the first process run what it is for.
func (c *container) start() error {
	c.life.Lock()
	defer c.life.Unlock()
	lib, err := c.created()
	if err != nil {
		return err
	}
	if c.first.hasEnded() {
		return fmt.Errorf("OCI runtime start failed: cannot start a container that has stopped: %w", errdefs.ErrFailedPrecondition)
	}
	if err := lib.Exec(); err != nil {
		return fmt.Errorf("OCI runtime start failed: %w", err)
	}
	c.mu.Lock()
	c.mu.started = true
	c.mu.Unlock()
	c.publish("/tasks/start", &events.TaskStart{ContainerID: c.key.id, Pid: c.first.pid.Load()})
	return nil
}

// awaitFirst waits for the end of the first process, which is the container's. The other processes end before it is told.
func (c *container) awaitFirst(lib *libcontainer.Container, private bool) {
	st, _ := c.first.lib.Wait()
	if !private {
		// Its processes are not alone in their PID namespace, so that they do not end with the first.
		if err := lib.Signal(unix.SIGKILL); err != nil && !errors.Is(err, libcontainer.ErrNotRunning) {
			c.svc.log.Warn("processes left", "container", c.key.id, "error", err)
		}
	}
	c.mu.Lock()
	for c.mu.running > 0 {
		c.mu.quiet.Wait()
	}
	c.mu.Unlock()
	c.tell(c.first, st)
}

func (c *container) tell(p *process, st *os.ProcessState) {
	c.life.Lock()
	defer c.life.Unlock()
	p.ended(exitCode(st), func() {
		c.publish("/tasks/exit", &events.TaskExit{
			ContainerID: c.key.id, ID: p.id, Pid: p.pid.Load(), ExitStatus: p.status(), ExitedAt: p.exitedAt(),
		})
	})
}

func (c *container) watchOOM(oom <-chan struct{}) {
	for range oom {
		c.publish("/tasks/oom", &events.TaskOOM{ContainerID: c.key.id})
	}
}

// delete takes away a container whose first process has ended.
func (c *container) delete() error {
	c.life.Lock()
	defer c.life.Unlock()
	lib, err := c.created()
	if err != nil {
		return err
	}
	if !c.first.hasEnded() {
		c.mu.Lock()
		started := c.mu.started
		c.mu.Unlock()
		if started {
			return fmt.Errorf("cannot delete a running process: %w", errdefs.ErrFailedPrecondition)
		}
		_ = lib.Signal(unix.SIGKILL) // made and never started
		c.life.Unlock()
		<-c.first.done
		c.life.Lock()
	}
	if err := lib.Destroy(); err != nil && !errors.Is(err, libcontainer.ErrNotExist) {
		return fmt.Errorf("OCI runtime delete failed: %w", err)
	}
	c.first.io.finish(10 * time.Second)
	c.unmount()
	c.svc.forget(c.key)
	c.publish("/tasks/delete", &events.TaskDelete{
		ContainerID: c.key.id, Pid: c.first.pid.Load(), ExitStatus: c.first.status(), ExitedAt: c.first.exitedAt(),
	})
	return nil
}

// exec announces a process that startExec is to start.
func (c *container) exec(r *taskAPI.ExecProcessRequest) error {
	spec := &specs.Process{}
	if err := json.Unmarshal(r.Spec.GetValue(), spec); err != nil { // specifications travel as JSON
		return fmt.Errorf("specification of a process: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	spec.Terminal = r.Terminal
	p := newProcess(r.ExecID, &stdio{stdin: r.Stdin, stdout: r.Stdout, stderr: r.Stderr, terminal: r.Terminal}, spec)
	c.mu.Lock()
	_, taken := c.mu.execs[p.id]
	if !taken {
		c.mu.execs[p.id] = p
	}
	c.mu.Unlock()
	if taken {
		return fmt.Errorf("id %s: %w", p.id, errdefs.ErrAlreadyExists)
	}
	c.publish("/tasks/exec-added", &events.TaskExecAdded{ContainerID: c.key.id, ExecID: p.id})
	return nil
}

func (c *container) startExec(p *process) error {
	lib, err := c.created()
	if err != nil || c.first.hasEnded() {
		return fmt.Errorf("container %s init process is not running: %w", c.key.id, errdefs.ErrFailedPrecondition)
	}
	if !p.begin() {
		return fmt.Errorf("process %s was started already: %w", p.id, errdefs.ErrFailedPrecondition)
	}
	// Not under life: many may start at once, and only what concerns this one has an order, which tell keeps.
	c.mu.Lock()
	c.mu.running++
	c.mu.Unlock()
	if err := c.launch(lib, p); err != nil {
		c.ran()
		p.ended(255, func() {})
		return fmt.Errorf("OCI runtime exec failed: exec failed: %w", err)
	}
	c.publish("/tasks/exec-started", &events.TaskExecStarted{ContainerID: c.key.id, ExecID: p.id, Pid: p.pid.Load()})
	go func() { // ends with the process
		st, _ := p.lib.Wait()
		c.tell(p, st)
		c.ran()
	}()
	return nil
}

// ran notes that an added process runs no more.
func (c *container) ran() {
	c.mu.Lock()
	c.mu.running--
	c.mu.quiet.Broadcast()
	c.mu.Unlock()
}

func (c *container) deleteExec(p *process) error {
	if p.hasBegun() && !p.hasEnded() {
		return fmt.Errorf("cannot delete a running process: %w", errdefs.ErrFailedPrecondition)
	}
	p.io.finish(2 * time.Second)
	c.mu.Lock()
	delete(c.mu.execs, p.id)
	c.mu.Unlock()
	return nil
}

func (c *container) process(exec string) (*process, error) {
	if exec == "" {
		return c.first, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.mu.execs[exec]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("process does not exist %s: %w", exec, errdefs.ErrNotFound)
}

// created returns libcontainer's side of the container, an error while there is none.
func (c *container) created() (*libcontainer.Container, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.lib == nil {
		return nil, fmt.Errorf("container not created: %w", errdefs.ErrFailedPrecondition)
	}
	return c.mu.lib, nil
}

func (c *container) state(p *process) tasktypes.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p.hasEnded():
		return tasktypes.Status_STOPPED
	case c.mu.frozen:
		return tasktypes.Status_PAUSED
	case p == c.first && c.mu.started, p != c.first && p.pid.Load() != 0:
		return tasktypes.Status_RUNNING
	}
	return tasktypes.Status_CREATED
}

func (c *container) kill(p *process, sig unix.Signal) error {
	lib, err := c.created()
	switch {
	case err != nil:
		return err
	case p.hasEnded():
		return fmt.Errorf("process already finished: %w", errdefs.ErrNotFound)
	case p != c.first:
		return p.signal(sig)
	}
	err = lib.Signal(sig)
	if errors.Is(err, libcontainer.ErrNotRunning) || errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process already finished: %w", errdefs.ErrNotFound)
	}
	return err
}

func (c *container) freeze(on bool) error {
	lib, err := c.created()
	if err != nil {
		return err
	}
	do, topic, event := lib.Resume, "/tasks/resumed", any(&events.TaskResumed{ContainerID: c.key.id})
	if on {
		do, topic, event = lib.Pause, "/tasks/paused", &events.TaskPaused{ContainerID: c.key.id}
	}
	if err := do(); err != nil {
		return err
	}
	c.mu.Lock()
	c.mu.frozen = on
	c.mu.Unlock()
	c.publish(topic, event)
	return nil
}

func (c *container) pids() ([]int, error) {
	lib, err := c.created()
	if err != nil {
		return nil, err
	}
	return lib.Processes()
}

// update changes limits by runc, which knows how the parts of a specification that is not complete are meant.
func (c *container) update(ctx context.Context, resources *anypb.Any) error {
	cmd := exec.CommandContext(ctx, c.runc(), "--root", c.stateRoot(), "update", "--resources", "-", c.key.id)
	cmd.Stdin = bytes.NewReader(resources.GetValue()) // as JSON
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("OCI runtime update failed: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (c *container) runc() string {
	if c.opts.BinaryName != "" {
		return c.opts.BinaryName
	}
	return "runc"
}

// stateRoot is the directory below which runc and libcontainer keep the states of containers.
func (c *container) stateRoot() string {
	root := c.opts.Root
	if root == "" {
		root = "/run/containerd/runc"
	}
	return filepath.Join(root, c.key.namespace)
}

func (c *container) readOptions(a *anypb.Any) error {
	if a.GetValue() != nil {
		v, err := typeurl.UnmarshalAny(a)
		if err != nil {
			return err
		}
		o, ok := v.(*runcoptions.Options)
		if !ok {
			return fmt.Errorf("options are a %T: %w", v, errdefs.ErrInvalidArgument)
		}
		c.opts = o
	}
	body, err := json.Marshal(c.opts)
	if err != nil {
		return err
	}
	c.write("options.json", string(body)) // for the stock shim, should it have to clean up
	c.write("runtime", c.opts.BinaryName)
	return nil
}

func (c *container) write(name, text string) {
	if err := os.WriteFile(filepath.Join(c.bundle, name), []byte(text), 0o600); err != nil {
		c.svc.log.Warn("bundle not written", "container", c.key.id, "error", err)
	}
}

func (c *container) readSpec() (*specs.Spec, error) {
	body, err := os.ReadFile(filepath.Join(c.bundle, "config.json"))
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
		spec.Root.Path = filepath.Join(c.bundle, spec.Root.Path)
	}
	p.Terminal = c.first.io.terminal
	c.first.spec = p
	return spec, nil
}

// config makes libcontainer's configuration of a specification.
func (c *container) config(spec *specs.Spec) (*configs.Config, error) {
	cfg, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{
		CgroupName: c.key.id, UseSystemdCgroup: c.opts.SystemdCgroup, Spec: spec,
		NoPivotRoot: c.opts.NoPivotRoot, NoNewKeyring: c.opts.NoNewKeyring,
		RootlessEUID: os.Geteuid() != 0,
	})
	if err != nil {
		return nil, err
	}
	for i, l := range cfg.Labels {
		if strings.HasPrefix(l, "bundle=") { // it took our working directory for it
			cfg.Labels[i] = "bundle=" + c.bundle
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

func (c *container) mount(r *taskAPI.CreateTaskRequest) error {
	if len(r.Rootfs) == 0 {
		return nil
	}
	c.rootfs = filepath.Join(c.bundle, "rootfs")
	if err := os.Mkdir(c.rootfs, 0o711); err != nil && !os.IsExist(err) {
		return err
	}
	mounts := make([]mount.Mount, len(r.Rootfs))
	for i, m := range r.Rootfs {
		mounts[i] = mount.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options}
	}
	if err := mount.All(mounts, c.rootfs); err != nil {
		c.unmount()
		return fmt.Errorf("failed to mount rootfs component: %w", err)
	}
	return nil
}

func (c *container) unmount() {
	if c.rootfs == "" {
		return
	}
	if err := mount.UnmountRecursive(c.rootfs, 0); err != nil {
		c.svc.log.Warn("root not unmounted", "container", c.key.id, "error", err)
	}
}

func (c *container) publish(topic string, event any) {
	c.svc.events.publish(c.key.namespace, topic, event)
}
