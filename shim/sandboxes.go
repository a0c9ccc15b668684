package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	sandboxAPI "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// sandboxService is containerd's sandbox service. A sandbox is no container: it needs no image, no root file system of its own and no
// start of the runtime.
//
// mu guards the map alone, which it owns. A sandbox is in it from CreateSandbox to ShutdownSandbox.
type sandboxService struct {
	pause string // path of the program that holds namespaces
	state string // of containerd's CRI plugin: its directory for what does not outlive a start of the machine
	took  func() // called after a sandbox was added
	idle  func() // called when there may be no sandbox left

	mu struct {
		sync.Mutex
		byKey map[key]*sandbox
	}
}

// criPlugin is the name of containerd's CRI plugin, which is that of its directories.
const criPlugin = "io.containerd.grpc.v1.cri"

// newSandboxService returns the service of the containerd whose state directory is state.
func newSandboxService(pause, state string, took, idle func()) *sandboxService {
	s := &sandboxService{pause: pause, state: filepath.Join(state, criPlugin), took: took, idle: idle}
	s.mu.byKey = map[key]*sandbox{}
	return s
}

// count returns how many sandboxes there are.
func (s *sandboxService) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.byKey)
}

// sandbox finds a sandbox by its id.
func (s *sandboxService) sandbox(ctx context.Context, id string) (*sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.mu.byKey[keyOf(ctx, id)]; b != nil {
		return b, nil
	}
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "sandbox %s", id)
}

// CreateSandbox notes what a sandbox is to be; StartSandbox makes it.
func (s *sandboxService) CreateSandbox(ctx context.Context, r *sandboxAPI.CreateSandboxRequest) (*sandboxAPI.CreateSandboxResponse, error) {
	pod, err := readPodConfig(r.GetOptions().GetValue())
	if err != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "configuration of sandbox %s: %v", r.SandboxID, err)
	}
	if pod.userNamespace && (pod.network == nodeMode || pod.pid == nodeMode || pod.ipc == nodeMode) {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "user namespaces of pods that share the host's other namespaces")
	}
	work, err := os.Readlink(filepath.Join(r.BundlePath, "work")) // ROOT/io.containerd.sandbox.controller.v1.shim/NAMESPACE/ID
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	b := &sandbox{
		id: r.SandboxID, bundle: r.BundlePath, netns: r.NetnsPath, pod: pod, done: make(chan struct{}),
		files: podFilesOf(filepath.Join(work, "../../..", criPlugin), s.state, r.SandboxID),
	}
	k := keyOf(ctx, r.SandboxID)
	s.mu.Lock()
	_, taken := s.mu.byKey[k]
	if !taken {
		s.mu.byKey[k] = b
	}
	s.mu.Unlock()
	if taken {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "sandbox %s", r.SandboxID)
	}
	s.took()
	return &sandboxAPI.CreateSandboxResponse{}, nil
}

// StartSandbox makes the sandbox.
func (s *sandboxService) StartSandbox(ctx context.Context, r *sandboxAPI.StartSandboxRequest) (*sandboxAPI.StartSandboxResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	if err := b.start(s.pause); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return &sandboxAPI.StartSandboxResponse{Pid: uint32(b.mu.process.Pid), CreatedAt: timestamppb.New(b.mu.begun)}, nil
}

// Platform says which operating system and processor the containers of a sandbox must be for.
func (s *sandboxService) Platform(ctx context.Context, r *sandboxAPI.PlatformRequest) (*sandboxAPI.PlatformResponse, error) {
	return &sandboxAPI.PlatformResponse{Platform: &types.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}}, nil
}

// StopSandbox stops the sandbox. Its files stay for containers that have not ended.
func (s *sandboxService) StopSandbox(ctx context.Context, r *sandboxAPI.StopSandboxRequest) (*sandboxAPI.StopSandboxResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	if err := b.stop(); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &sandboxAPI.StopSandboxResponse{}, nil
}

// WaitSandbox answers when the sandbox's process has ended.
func (s *sandboxService) WaitSandbox(ctx context.Context, r *sandboxAPI.WaitSandboxRequest) (*sandboxAPI.WaitSandboxResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return nil, errgrpc.ToGRPC(ctx.Err())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return &sandboxAPI.WaitSandboxResponse{ExitStatus: b.mu.code, ExitedAt: timestamppb.New(b.mu.ended)}, nil
}

// SandboxStatus says how the sandbox is.
func (s *sandboxService) SandboxStatus(ctx context.Context, r *sandboxAPI.SandboxStatusRequest) (*sandboxAPI.SandboxStatusResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	out, err := b.status(r.Verbose)
	return out, errgrpc.ToGRPC(err)
}

// PingSandbox answers if the sandbox exists.
func (s *sandboxService) PingSandbox(ctx context.Context, r *sandboxAPI.PingRequest) (*sandboxAPI.PingResponse, error) {
	_, err := s.sandbox(ctx, r.SandboxID)
	return &sandboxAPI.PingResponse{}, err
}

// ShutdownSandbox stops the sandbox if it runs, removes its files and forgets it.
func (s *sandboxService) ShutdownSandbox(ctx context.Context, r *sandboxAPI.ShutdownSandboxRequest) (*sandboxAPI.ShutdownSandboxResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	err = errors.Join(b.stop(), b.files.remove())
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	s.mu.Lock()
	delete(s.mu.byKey, keyOf(ctx, b.id))
	s.mu.Unlock()
	s.idle()
	return &sandboxAPI.ShutdownSandboxResponse{}, nil
}

// SandboxMetrics returns the numbers of the process's cgroup.
func (s *sandboxService) SandboxMetrics(ctx context.Context, r *sandboxAPI.SandboxMetricsRequest) (*sandboxAPI.SandboxMetricsResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	numbers, err := numbersOf(b.pid())
	if err != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrUnavailable, "cgroup of sandbox %s: %v", b.id, err)
	}
	data, err := measure(numbers)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &sandboxAPI.SandboxMetricsResponse{Metrics: &types.Metric{Timestamp: timestamppb.Now(), ID: b.id, Data: data}}, nil
}

// UpdateSandbox has nothing to do: new limits of a pod are set by the node itself.
func (s *sandboxService) UpdateSandbox(ctx context.Context, r *sandboxAPI.UpdateSandboxRequest) (*sandboxAPI.UpdateSandboxResponse, error) {
	_, err := s.sandbox(ctx, r.SandboxID)
	return &sandboxAPI.UpdateSandboxResponse{}, err
}
