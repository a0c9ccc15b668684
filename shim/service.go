package main

import (
	"context"
	"log/slog"
	"os"
	"sync"

	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"
)

// taskService is containerd's task service: each request is one step in the life of a container or of one of its processes.
//
// mu guards the map alone. A container is in it from before its creation until it has been deleted, or until its creation failed;
// the service owns the map, and containers look after themselves (container.go).
type taskService struct {
	events *publisher
	took   func() // called after a container was added
	idle   func() // called when there may be no container left
	log    *slog.Logger

	mu struct {
		sync.Mutex
		containers map[key]*container
	}
}

func newTaskService(p *publisher, took, idle func(), log *slog.Logger) *taskService {
	s := &taskService{events: p, took: took, idle: idle, log: log}
	s.mu.containers = map[key]*container{}
	return s
}

// count returns how many containers there are.
func (s *taskService) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.containers)
}

// find finds a container by its id.
func (s *taskService) find(ctx context.Context, id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.mu.containers[keyOf(ctx, id)]; c != nil {
		return c, nil
	}
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "container not created")
}

// findProcess finds a container and one of its processes: the first where exec is "".
func (s *taskService) findProcess(ctx context.Context, id, exec string) (*container, *process, error) {
	c, err := s.find(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.process(exec)
	return c, p, errgrpc.ToGRPC(err)
}

var nothing = &emptypb.Empty{}

// change does something to a container whose answer says no more than that it was done.
func (s *taskService) change(ctx context.Context, id string, what func(*container) error) (*emptypb.Empty, error) {
	c, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return nothing, errgrpc.ToGRPC(what(c))
}

// Create makes a container; its first process waits for Start.
func (s *taskService) Create(ctx context.Context, r *taskAPI.CreateTaskRequest) (*taskAPI.CreateTaskResponse, error) {
	k := keyOf(ctx, r.ID)
	c := newContainer(k, r, func() { s.forget(k) }, s.events, s.log)
	s.mu.Lock()
	if s.mu.containers[k] != nil {
		s.mu.Unlock()
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "container %s", r.ID)
	}
	s.mu.containers[k] = c
	s.mu.Unlock()
	s.took()
	if err := c.create(r); err != nil {
		s.forget(k)
		return nil, errgrpc.ToGRPC(err)
	}
	return &taskAPI.CreateTaskResponse{Pid: c.first.pid.Load()}, nil
}

// forget takes a container out of the map; its id may be used again.
func (s *taskService) forget(k key) {
	s.mu.Lock()
	delete(s.mu.containers, k)
	s.mu.Unlock()
}

// Start lets the first process run its program, or starts a process that Exec added.
func (s *taskService) Start(ctx context.Context, r *taskAPI.StartRequest) (*taskAPI.StartResponse, error) {
	c, p, err := s.findProcess(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if p == c.first {
		err = c.start()
	} else {
		err = c.startExec(p)
	}
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &taskAPI.StartResponse{Pid: p.pid.Load()}, nil
}

// Delete removes what is left of a process that has ended; with the first process, the container.
func (s *taskService) Delete(ctx context.Context, r *taskAPI.DeleteRequest) (*taskAPI.DeleteResponse, error) {
	c, p, err := s.findProcess(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if p == c.first {
		err = c.delete()
	} else {
		err = c.deleteExec(p)
	}
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &taskAPI.DeleteResponse{Pid: p.pid.Load(), ExitStatus: p.status(), ExitedAt: p.exitedAt()}, nil
}

// Exec adds a process to a container; Start starts it.
func (s *taskService) Exec(ctx context.Context, r *taskAPI.ExecProcessRequest) (*emptypb.Empty, error) {
	return s.change(ctx, r.ID, func(c *container) error { return c.exec(r) })
}

// ResizePty sets the size of a process's terminal.
func (s *taskService) ResizePty(ctx context.Context, r *taskAPI.ResizePtyRequest) (*emptypb.Empty, error) {
	_, p, err := s.findProcess(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return nothing, errgrpc.ToGRPC(p.io.resize(r.Width, r.Height))
}

// State says how a process is.
func (s *taskService) State(ctx context.Context, r *taskAPI.StateRequest) (*taskAPI.StateResponse, error) {
	c, p, err := s.findProcess(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return &taskAPI.StateResponse{
		ID: p.id, Bundle: c.bundle.dir, Pid: p.pid.Load(), Status: c.state(p),
		Stdin: p.io.stdin, Stdout: p.io.stdout, Stderr: p.io.stderr, Terminal: p.io.terminal,
		ExitStatus: p.status(), ExitedAt: p.exitedAt(),
	}, nil
}

// Pause freezes a container.
func (s *taskService) Pause(ctx context.Context, r *taskAPI.PauseRequest) (*emptypb.Empty, error) {
	return s.change(ctx, r.ID, func(c *container) error { return c.freeze(true) })
}

// Resume thaws a container.
func (s *taskService) Resume(ctx context.Context, r *taskAPI.ResumeRequest) (*emptypb.Empty, error) {
	return s.change(ctx, r.ID, func(c *container) error { return c.freeze(false) })
}

// Kill sends a signal to a process.
func (s *taskService) Kill(ctx context.Context, r *taskAPI.KillRequest) (*emptypb.Empty, error) {
	c, p, err := s.findProcess(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return nothing, errgrpc.ToGRPC(c.kill(p, unix.Signal(r.Signal)))
}

// Pids lists the processes in a container.
func (s *taskService) Pids(ctx context.Context, r *taskAPI.PidsRequest) (*taskAPI.PidsResponse, error) {
	c, err := s.find(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	pids, err := c.pids()
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	out := &taskAPI.PidsResponse{}
	for _, pid := range pids {
		out.Processes = append(out.Processes, &tasktypes.ProcessInfo{Pid: uint32(pid)})
	}
	return out, nil
}

// CloseIO closes a process's standard input on our side.
func (s *taskService) CloseIO(ctx context.Context, r *taskAPI.CloseIORequest) (*emptypb.Empty, error) {
	_, p, err := s.findProcess(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if r.Stdin {
		p.io.closeStdin()
	}
	return nothing, nil
}

// Checkpoint would need CRIU, which is not part of sampan.
func (s *taskService) Checkpoint(context.Context, *taskAPI.CheckpointTaskRequest) (*emptypb.Empty, error) {
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "checkpoint: CRIU is not part of this runtime")
}

// Update changes the limits of a container.
func (s *taskService) Update(ctx context.Context, r *taskAPI.UpdateTaskRequest) (*emptypb.Empty, error) {
	return s.change(ctx, r.ID, func(c *container) error { return c.update(ctx, r.Resources) })
}

// Wait answers when a process has ended.
func (s *taskService) Wait(ctx context.Context, r *taskAPI.WaitRequest) (*taskAPI.WaitResponse, error) {
	_, p, err := s.findProcess(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
		return &taskAPI.WaitResponse{ExitStatus: p.status(), ExitedAt: p.exitedAt()}, nil
	case <-ctx.Done():
		return nil, errgrpc.ToGRPC(ctx.Err())
	}
}

// Stats returns the numbers of a container's cgroup, as containerd's metrics of version 1 or 2.
func (s *taskService) Stats(ctx context.Context, r *taskAPI.StatsRequest) (*taskAPI.StatsResponse, error) {
	c, err := s.find(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	stats, err := c.stats()
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &taskAPI.StatsResponse{Stats: stats}, nil
}

// Connect answers with the process ids of the monitor and of the container.
func (s *taskService) Connect(ctx context.Context, r *taskAPI.ConnectRequest) (*taskAPI.ConnectResponse, error) {
	out := &taskAPI.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if c, err := s.find(ctx, r.ID); err == nil {
		out.TaskPid = c.first.pid.Load()
	}
	return out, nil
}

// Shutdown does not end the process, since other containers may need it; it ends with the last (monitor.go).
func (s *taskService) Shutdown(context.Context, *taskAPI.ShutdownRequest) (*emptypb.Empty, error) {
	s.idle()
	return nothing, nil
}
