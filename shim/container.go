package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/api/events"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"
)

// container is one container and its processes.
//
// The requests of the task service and one goroutine for each process that waits for its end (awaitFirst, startExec) share it.
// Containerd hears of each step after it was taken and in the order of the steps: who makes, starts or deletes the first process,
// and who reports an end, holds life from the step until its event is queued. mu guards the fields below it and is never held
// during a call that may block. Once mu.lib is set it stays, and what create wrote before (bundle, first, numbers) no longer changes.
type container struct {
	key    key
	bundle *bundle
	first  *process
	forget func() // takes it out of the task service
	events *publisher
	log    *slog.Logger

	numbers func() (any, error) // reads the numbers of its cgroup; nil where that was not found

	life sync.Mutex

	mu struct {
		sync.Mutex
		lib     *libcontainer.Container // nil until the container is made
		started bool                    // the first process runs its program, or ran it
		frozen  bool
		execs   map[string]*process // the further processes by id, from exec until deleteExec
		running int                 // how many of execs run
		quiet   *sync.Cond          // signalled when running has decreased
	}
}

func newContainer(k key, r *taskAPI.CreateTaskRequest, forget func(), events *publisher, log *slog.Logger) *container {
	c := &container{key: k, bundle: newBundle(k, r.Bundle, log), forget: forget, events: events, log: log}
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
	if err := c.bundle.readOptions(r.Options); err != nil {
		return err
	}
	spec, err := c.bundle.readSpec()
	if err != nil {
		return err
	}
	spec.Process.Terminal = c.first.io.terminal
	c.first.spec = spec.Process
	if err := c.bundle.mount(r.Rootfs); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.bundle.unmount()
		}
	}()
	cfg, err := c.bundle.libConfig(spec)
	if err != nil {
		return createFailed(err)
	}
	lib, err := libcontainer.Create(c.bundle.stateRoot(), c.key.id, cfg)
	if err != nil {
		return createFailed(err)
	}
	if err := c.launch(lib, c.first); err != nil {
		_ = lib.Destroy()
		return createFailed(err)
	}
	if c.numbers, err = numbersOf(int(c.first.pid.Load())); err != nil { // noted now: they count to the container's end
		c.log.Warn("no numbers of the container's cgroup", "container", c.key.id, "error", err)
	}
	c.mu.Lock()
	c.mu.lib = lib
	c.mu.Unlock()
	c.bundle.write("init.pid", strconv.Itoa(int(c.first.pid.Load())))
	c.publish("/tasks/create", &events.TaskCreate{
		ContainerID: c.key.id, Bundle: c.bundle.dir, Rootfs: r.Rootfs, Pid: c.first.pid.Load(),
		IO: &events.TaskIO{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	go c.awaitFirst(lib, privatePIDs(spec)) // ends with the container
	if oom, err := lib.NotifyOOM(); err != nil {
		c.log.Warn("out of memory will not be noticed", "container", c.key.id, "error", err)
	} else {
		go c.watchOOM(oom) // ends with the container's cgroup
	}
	return nil
}

// launch starts a process of the container: the first one up to the point where it waits for start, any other one completely.
func (c *container) launch(lib *libcontainer.Container, p *process) error {
	lp, err := toLib(p.spec)
	if err != nil {
		return err
	}
	cfg := lib.Config()
	if p.io.uid, err = cfg.HostRootUID(); err != nil {
		return err
	}
	if p.io.gid, err = cfg.HostRootGID(); err != nil {
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

// start lets the first process run its program.
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

// awaitFirst waits until the first process and all further ones have ended, and reports the end of the first, which is the
// container's, last.
func (c *container) awaitFirst(lib *libcontainer.Container, private bool) {
	st, _ := c.first.lib.Wait()
	if !private {
		// Its processes are not alone in their PID namespace, so that they do not end with the first.
		if err := lib.Signal(unix.SIGKILL); err != nil && !errors.Is(err, libcontainer.ErrNotRunning) {
			c.log.Warn("processes left", "container", c.key.id, "error", err)
		}
	}
	c.mu.Lock()
	for c.mu.running > 0 {
		c.mu.quiet.Wait()
	}
	c.mu.Unlock()
	c.tell(c.first, st)
}

// tell notes and reports the end of a process.
func (c *container) tell(p *process, st *os.ProcessState) {
	c.life.Lock()
	defer c.life.Unlock()
	p.ended(exitCode(st), func() {
		c.publish("/tasks/exit", &events.TaskExit{
			ContainerID: c.key.id, ID: p.id, Pid: p.pid.Load(), ExitStatus: p.status(), ExitedAt: p.exitedAt(),
		})
	})
}

// watchOOM reports each time that the kernel killed a process of the container for want of memory.
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
	c.bundle.unmount()
	c.forget()
	c.publish("/tasks/delete", &events.TaskDelete{
		ContainerID: c.key.id, Pid: c.first.pid.Load(), ExitStatus: c.first.status(), ExitedAt: c.first.exitedAt(),
	})
	return nil
}

// process returns a process by its id: the first where exec is "".
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

// created returns libcontainer's container, or an error until it is made.
func (c *container) created() (*libcontainer.Container, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.lib == nil {
		return nil, fmt.Errorf("container not created: %w", errdefs.ErrFailedPrecondition)
	}
	return c.mu.lib, nil
}

// state is how a process is, in containerd's words.
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

// kill sends a signal to a process.
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

// freeze freezes the container, or thaws it.
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

// pids lists the processes in the container's cgroup.
func (c *container) pids() ([]int, error) {
	lib, err := c.created()
	if err != nil {
		return nil, err
	}
	return lib.Processes()
}

// stats reads the numbers of the container's cgroup.
func (c *container) stats() (*anypb.Any, error) {
	if _, err := c.created(); err != nil || c.numbers == nil {
		return nil, fmt.Errorf("cgroup does not exist: %w", errdefs.ErrNotFound)
	}
	return measure(c.numbers)
}

// update changes limits. It runs runc, which knows how resources that are given in part are merged with those there are.
func (c *container) update(ctx context.Context, resources *anypb.Any) error {
	cmd := exec.CommandContext(ctx, c.bundle.runc(), "--root", c.bundle.stateRoot(), "update", "--resources", "-", c.key.id)
	cmd.Stdin = bytes.NewReader(resources.GetValue()) // as JSON
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("OCI runtime update failed: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// publish queues an event about the container.
func (c *container) publish(topic string, event any) {
	c.events.publish(c.key.namespace, topic, event)
}
