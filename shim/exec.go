package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/containerd/api/events"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// exec adds a process, which startExec starts.
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

// startExec starts a process that exec announced. It can be started once.
func (c *container) startExec(p *process) error {
	lib, err := c.created()
	if err != nil || c.first.hasEnded() {
		return fmt.Errorf("container %s init process is not running: %w", c.key.id, errdefs.ErrFailedPrecondition)
	}
	if !p.begin() {
		return fmt.Errorf("process %s was started already: %w", p.id, errdefs.ErrFailedPrecondition)
	}
	// Without life, so that many can start at once: the events of different processes have no order among them, and tell, which
	// takes life, comes after the event below.
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

// ran notes that a further process no longer runs.
func (c *container) ran() {
	c.mu.Lock()
	c.mu.running--
	c.mu.quiet.Broadcast()
	c.mu.Unlock()
}

// deleteExec takes away what is left of a process that has ended or was never started.
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
