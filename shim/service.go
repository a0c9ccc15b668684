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
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"
)

// service is containerd's task service: what a container's life is made of, by requests.
type service struct {
	events *publisher
	took   func() // a container was made
	idle   func() // there may be none left
	log    *slog.Logger

	mu struct {
		sync.Mutex
		containers map[key]*container
		sandboxes  map[key]*sandbox
	}
}

// key names a container: ids are unique in a namespace of containerd.
type key struct{ namespace, id string }

func newService(p *publisher, took, idle func(), log *slog.Logger) *service {
	s := &service{events: p, took: took, idle: idle, log: log}
	s.mu.containers, s.mu.sandboxes = map[key]*container{}, map[key]*sandbox{}
	return s
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.containers) + len(s.mu.sandboxes)
}

// namespaceOf is the namespace a request is made in.
func namespaceOf(ctx context.Context) string {
	if md, ok := ttrpc.GetMetadata(ctx); ok {
		if v, ok := md.Get("containerd-namespace-ttrpc"); ok && len(v) > 0 {
			return v[0]
		}
	}
	return "default"
}

func (s *service) container(ctx context.Context, id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.mu.containers[key{namespaceOf(ctx), id}]; c != nil {
		return c, nil
	}
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "container not created")
}

// process finds a container and one of its processes: the first when exec is "".
func (s *service) process(ctx context.Context, id, exec string) (*container, *process, error) {
	c, err := s.container(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.process(exec)
	return c, p, errgrpc.ToGRPC(err)
}

var empty = &emptypb.Empty{}

// do does something to a container that has no answer but that it was done.
func (s *service) do(ctx context.Context, id string, what func(*container) error) (*emptypb.Empty, error) {
	c, err := s.container(ctx, id)
	if err != nil {
		return nil, err
	}
	return empty, errgrpc.ToGRPC(what(c))
}

// Create makes a container whose first process waits to be started.
func (s *service) Create(ctx context.Context, r *taskAPI.CreateTaskRequest) (*taskAPI.CreateTaskResponse, error) {
	k := key{namespaceOf(ctx), r.ID}
	c := newContainer(k, r, s)
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

func (s *service) forget(k key) {
	s.mu.Lock()
	delete(s.mu.containers, k)
	s.mu.Unlock()
}

// Start lets the first process run, or starts another that Exec has announced.
func (s *service) Start(ctx context.Context, r *taskAPI.StartRequest) (*taskAPI.StartResponse, error) {
	c, p, err := s.process(ctx, r.ID, r.ExecID)
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

// Delete takes away what is left of a process that has ended; of the first, the container.
func (s *service) Delete(ctx context.Context, r *taskAPI.DeleteRequest) (*taskAPI.DeleteResponse, error) {
	c, p, err := s.process(ctx, r.ID, r.ExecID)
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

// Exec announces a process beside the first.
func (s *service) Exec(ctx context.Context, r *taskAPI.ExecProcessRequest) (*emptypb.Empty, error) {
	return s.do(ctx, r.ID, func(c *container) error { return c.exec(r) })
}

// ResizePty sets the size of a process's terminal.
func (s *service) ResizePty(ctx context.Context, r *taskAPI.ResizePtyRequest) (*emptypb.Empty, error) {
	_, p, err := s.process(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return empty, errgrpc.ToGRPC(p.io.resize(r.Width, r.Height))
}

// State says how a process is.
func (s *service) State(ctx context.Context, r *taskAPI.StateRequest) (*taskAPI.StateResponse, error) {
	c, p, err := s.process(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return &taskAPI.StateResponse{
		ID: p.id, Bundle: c.bundle, Pid: p.pid.Load(), Status: c.state(p),
		Stdin: p.io.stdin, Stdout: p.io.stdout, Stderr: p.io.stderr, Terminal: p.io.terminal,
		ExitStatus: p.status(), ExitedAt: p.exitedAt(),
	}, nil
}

// Pause freezes a container.
func (s *service) Pause(ctx context.Context, r *taskAPI.PauseRequest) (*emptypb.Empty, error) {
	return s.do(ctx, r.ID, func(c *container) error { return c.freeze(true) })
}

// Resume thaws a container.
func (s *service) Resume(ctx context.Context, r *taskAPI.ResumeRequest) (*emptypb.Empty, error) {
	return s.do(ctx, r.ID, func(c *container) error { return c.freeze(false) })
}

// Kill sends a signal to a process.
func (s *service) Kill(ctx context.Context, r *taskAPI.KillRequest) (*emptypb.Empty, error) {
	c, p, err := s.process(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	return empty, errgrpc.ToGRPC(c.kill(p, unix.Signal(r.Signal)))
}

// Pids lists the processes in a container.
func (s *service) Pids(ctx context.Context, r *taskAPI.PidsRequest) (*taskAPI.PidsResponse, error) {
	c, err := s.container(ctx, r.ID)
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

// CloseIO ends a process's standard input.
func (s *service) CloseIO(ctx context.Context, r *taskAPI.CloseIORequest) (*emptypb.Empty, error) {
	_, p, err := s.process(ctx, r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if r.Stdin {
		p.io.closeStdin()
	}
	return empty, nil
}

// Checkpoint would need CRIU, which is not part of sampan.
func (s *service) Checkpoint(context.Context, *taskAPI.CheckpointTaskRequest) (*emptypb.Empty, error) {
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "checkpoint: CRIU is not part of this runtime")
}

// Update changes the limits of a container.
func (s *service) Update(ctx context.Context, r *taskAPI.UpdateTaskRequest) (*emptypb.Empty, error) {
	return s.do(ctx, r.ID, func(c *container) error { return c.update(ctx, r.Resources) })
}

// Wait answers when a process has ended.
func (s *service) Wait(ctx context.Context, r *taskAPI.WaitRequest) (*taskAPI.WaitResponse, error) {
	_, p, err := s.process(ctx, r.ID, r.ExecID)
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
func (s *service) Stats(ctx context.Context, r *taskAPI.StatsRequest) (*taskAPI.StatsResponse, error) {
	c, err := s.container(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	stats, err := c.stats()
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &taskAPI.StatsResponse{Stats: stats}, nil
}

// Connect says who we are.
func (s *service) Connect(ctx context.Context, r *taskAPI.ConnectRequest) (*taskAPI.ConnectResponse, error) {
	out := &taskAPI.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if c, err := s.container(ctx, r.ID); err == nil {
		out.TaskPid = c.first.pid.Load()
	}
	return out, nil
}

// Shutdown says that the caller has no more use for us. Others may.
func (s *service) Shutdown(context.Context, *taskAPI.ShutdownRequest) (*emptypb.Empty, error) {
	s.idle()
	return empty, nil
}
