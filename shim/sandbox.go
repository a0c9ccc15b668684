package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	sandboxAPI "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// sandboxes is containerd's sandbox service. A sandbox is the namespaces of a pod, one small process that holds them (pause), and
// the files that all containers of the pod mount: no container, and so no image, no root file system of its own and no start
// of a runtime's program.
type sandboxes struct {
	*service
	pause string // the program
	state string // containerd's directories
}

// sandbox is one of them.
type sandbox struct {
	id     string
	bundle string
	netns  string
	config *podConfig
	root   string        // of containerd's CRI plugin: below it are the pod's files
	done   chan struct{} // closed when the process has ended

	life sync.Mutex // held while it is started or stopped

	mu struct {
		sync.Mutex
		cmd          *exec.Cmd // nil before it is started
		lifeline     *os.File  // kept open, for the process ends when it is closed
		begun, ended time.Time
		code         uint32
	}
}

// shmSize is that of every pod's /dev/shm, as with every runtime.
const shmSize = 64 << 20

func (s *sandboxes) sandbox(ctx context.Context, id string) (*sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.mu.sandboxes[key{namespaceOf(ctx), id}]; b != nil {
		return b, nil
	}
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "sandbox %s", id)
}

// CreateSandbox notes what a sandbox is to be.
func (s *sandboxes) CreateSandbox(ctx context.Context, r *sandboxAPI.CreateSandboxRequest) (*sandboxAPI.CreateSandboxResponse, error) {
	config, err := readPodConfig(r.GetOptions().GetValue())
	if err != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "configuration of sandbox %s: %v", r.SandboxID, err)
	}
	if config.userNamespace {
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "user namespaces of pods")
	}
	b := &sandbox{id: r.SandboxID, bundle: r.BundlePath, netns: r.NetnsPath, config: config, done: make(chan struct{})}
	work, err := os.Readlink(filepath.Join(r.BundlePath, "work")) // ROOT/io.containerd.sandbox.controller.v1.shim/NAMESPACE/ID
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	b.root = filepath.Join(work, "../../..", "io.containerd.grpc.v1.cri")
	k := key{namespaceOf(ctx), r.SandboxID}
	s.mu.Lock()
	_, taken := s.mu.sandboxes[k]
	if !taken {
		s.mu.sandboxes[k] = b
	}
	s.mu.Unlock()
	if taken {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "sandbox %s", r.SandboxID)
	}
	s.took()
	return &sandboxAPI.CreateSandboxResponse{}, nil
}

// StartSandbox makes the sandbox.
func (s *sandboxes) StartSandbox(ctx context.Context, r *sandboxAPI.StartSandboxRequest) (*sandboxAPI.StartSandboxResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	b.life.Lock()
	defer b.life.Unlock()
	if b.pid() != 0 {
		return nil, errgrpc.ToGRPCf(errdefs.ErrFailedPrecondition, "sandbox %s was started already", b.id)
	}
	if err := s.makeFiles(b); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	if err := s.hold(b); err != nil {
		return nil, errgrpc.ToGRPC(fmt.Errorf("start sandbox: %w", err))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return &sandboxAPI.StartSandboxResponse{Pid: uint32(b.mu.cmd.Process.Pid), CreatedAt: timestamppb.New(b.mu.begun)}, nil
}

// hold starts the process that holds the namespaces.
func (s *sandboxes) hold(b *sandbox) error {
	ours, its, err := socketpair()
	if err != nil {
		return err
	}
	defer its.Close()
	flags := uintptr(unix.CLONE_NEWNS)
	netns, hostname := b.netns, b.config.hostname
	if b.config.network == nodeMode {
		netns, hostname = "", "" // of the host, as both are
	} else {
		flags |= unix.CLONE_NEWUTS
	}
	if b.config.ipc != nodeMode {
		flags |= unix.CLONE_NEWIPC
	}
	if b.config.pid != nodeMode {
		flags |= unix.CLONE_NEWPID
	}
	cmd := &exec.Cmd{
		Path: s.pause, Args: append([]string{"/pause", b.bundle, netns, hostname}, b.config.settings()...), Env: []string{},
		Dir: "/", ExtraFiles: []*os.File{its}, SysProcAttr: &syscall.SysProcAttr{Cloneflags: flags, Setsid: true},
	}
	parent := b.config.cgroupParent
	group, fd, err := ownCgroup(parent, b.id)
	if err != nil {
		ours.Close()
		return err
	}
	if fd != nil {
		defer fd.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(fd.Fd())
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		removeCgroup(group)
		return err
	}
	its.Close()
	said := make([]byte, 4096)
	n, _ := ours.Read(said)
	if group == "" {
		err = joinCgroups(parent, cmd.Process.Pid)
	}
	if string(said[:n]) != "." || err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		ours.Close()
		removeCgroup(group)
		if err == nil {
			err = errors.New(cmp.Or(string(said[:n]), "pause ended at once"))
		}
		return err
	}
	lowerScore(cmd.Process.Pid)
	b.mu.Lock()
	b.mu.cmd, b.mu.lifeline, b.mu.begun = cmd, ours, time.Now()
	b.mu.Unlock()
	go func() { // ends with the process
		_ = cmd.Wait()
		b.mu.Lock()
		b.mu.code, b.mu.ended = exitCode(cmd.ProcessState), time.Now()
		b.mu.Unlock()
		ours.Close()
		removeCgroup(group)
		close(b.done)
	}()
	return nil
}

// socketpair returns the two ends of the lifeline of a process, neither of which another process inherits.
func socketpair() (ours, its *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "lifeline"), os.NewFile(uintptr(fds[1]), "lifeline"), nil
}

// lowerScore keeps the process from being killed for want of memory before others, where we may.
func lowerScore(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("-998"), 0)
}

// sweep takes away the memory of sandboxes that ended with another monitor, as they do: their processes hold its lifeline.
func (s *sandboxes) sweep() {
	if len(monitorsOf(s.state)) > 0 {
		return // some may be another's that lives
	}
	dirs, _ := filepath.Glob(filepath.Join(s.state, "io.containerd.grpc.v1.cri", "sandboxes", "*"))
	for _, dir := range dirs {
		_ = unix.Unmount(filepath.Join(dir, "shm"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		_ = os.Remove(filepath.Join(dir, "shm"))
		_ = os.Remove(dir)
	}
}

// The directories of a sandbox, which containerd makes the containers' mounts of.
func (b *sandbox) files() string { return filepath.Join(b.root, "sandboxes", b.id) }
func (s *sandboxes) volatile(b *sandbox) string {
	return filepath.Join(s.state, "io.containerd.grpc.v1.cri", "sandboxes", b.id)
}

// makeFiles makes hostname, hosts, resolv.conf and the memory of /dev/shm.
func (s *sandboxes) makeFiles(b *sandbox) error {
	dir := b.files()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	hostname := b.config.hostname
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return err
		}
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	resolv, err := b.config.resolvConf()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"hostname": hostname + "\n", "hosts": string(hosts), "resolv.conf": resolv} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if b.config.ipc == nodeMode {
		return nil // the host's
	}
	shm := filepath.Join(s.volatile(b), "shm")
	if err := os.MkdirAll(shm, 0o700); err != nil {
		return err
	}
	return unix.Mount("shm", shm, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%d", shmSize))
}

func (c *podConfig) resolvConf() (string, error) {
	if !c.dns {
		text, err := os.ReadFile("/etc/resolv.conf")
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return string(text), err
	}
	var out strings.Builder
	if len(c.searches) > 0 {
		fmt.Fprintf(&out, "search %s\n", strings.Join(c.searches, " "))
	}
	for _, server := range c.servers {
		fmt.Fprintf(&out, "nameserver %s\n", server)
	}
	if len(c.options) > 0 {
		fmt.Fprintf(&out, "options %s\n", strings.Join(c.options, " "))
	}
	return out.String(), nil
}

func (b *sandbox) pid() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.cmd == nil {
		return 0
	}
	return b.mu.cmd.Process.Pid
}

// Platform says what containers of the sandbox must be made for.
func (s *sandboxes) Platform(ctx context.Context, r *sandboxAPI.PlatformRequest) (*sandboxAPI.PlatformResponse, error) {
	return &sandboxAPI.PlatformResponse{Platform: &types.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}}, nil
}

// StopSandbox ends the process, with all that runs in the sandbox's PID namespace, and takes the memory away.
func (s *sandboxes) StopSandbox(ctx context.Context, r *sandboxAPI.StopSandboxRequest) (*sandboxAPI.StopSandboxResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	if err := s.stop(b); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &sandboxAPI.StopSandboxResponse{}, nil
}

func (s *sandboxes) stop(b *sandbox) error {
	b.life.Lock()
	defer b.life.Unlock()
	b.mu.Lock()
	cmd := b.mu.cmd
	b.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill() // it has nothing to put in order
		<-b.done
	}
	err := unix.Unmount(filepath.Join(s.volatile(b), "shm"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("unmount shm of sandbox %s: %w", b.id, err)
	}
	return nil
}

// WaitSandbox answers when the process has ended.
func (s *sandboxes) WaitSandbox(ctx context.Context, r *sandboxAPI.WaitSandboxRequest) (*sandboxAPI.WaitSandboxResponse, error) {
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

// SandboxStatus says how the sandbox is, in the words of the CRI.
func (s *sandboxes) SandboxStatus(ctx context.Context, r *sandboxAPI.SandboxStatusRequest) (*sandboxAPI.SandboxStatusResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &sandboxAPI.SandboxStatusResponse{SandboxID: b.id, State: stateNotReady}
	if b.mu.cmd != nil {
		out.Pid, out.CreatedAt = uint32(b.mu.cmd.Process.Pid), timestamppb.New(b.mu.begun)
		if b.mu.ended.IsZero() {
			out.State = stateReady
		} else {
			out.ExitedAt = timestamppb.New(b.mu.ended)
		}
	}
	if r.Verbose {
		out.Info, err = b.infoLocked()
	}
	return out, errgrpc.ToGRPC(err)
}

// infoLocked is what containerd itself would tell of a sandbox besides its status, under its names, as far as we know it.
func (b *sandbox) infoLocked() (map[string]string, error) {
	info := struct {
		Pid         int    `json:"pid"`
		Status      string `json:"processStatus"`
		NetNSClosed bool   `json:"netNamespaceClosed"`
		RuntimeType string `json:"runtimeType"`
	}{Status: "created", RuntimeType: "io.containerd.runc.v2"}
	switch {
	case b.mu.cmd == nil:
	case b.mu.ended.IsZero():
		info.Pid, info.Status = b.mu.cmd.Process.Pid, "running"
	default:
		info.Status = "stopped"
	}
	if b.config.network != nodeMode {
		var st unix.Statfs_t
		info.NetNSClosed = unix.Statfs(b.netns, &st) != nil || st.Type != unix.NSFS_MAGIC && st.Type != unix.PROC_SUPER_MAGIC
	}
	text, err := json.Marshal(info)
	return map[string]string{"info": string(text)}, err
}

// PingSandbox answers.
func (s *sandboxes) PingSandbox(ctx context.Context, r *sandboxAPI.PingRequest) (*sandboxAPI.PingResponse, error) {
	_, err := s.sandbox(ctx, r.SandboxID)
	return &sandboxAPI.PingResponse{}, err
}

// ShutdownSandbox stops the sandbox if it is not, and takes away all that is left of it.
func (s *sandboxes) ShutdownSandbox(ctx context.Context, r *sandboxAPI.ShutdownSandboxRequest) (*sandboxAPI.ShutdownSandboxResponse, error) {
	b, err := s.sandbox(ctx, r.SandboxID)
	if err != nil {
		return nil, err
	}
	err = errors.Join(s.stop(b), os.RemoveAll(b.files()), os.RemoveAll(s.volatile(b)))
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	s.mu.Lock()
	delete(s.mu.sandboxes, key{namespaceOf(ctx), b.id})
	s.mu.Unlock()
	s.idle()
	return &sandboxAPI.ShutdownSandboxResponse{}, nil
}

// SandboxMetrics returns the numbers of the process's cgroup.
func (s *sandboxes) SandboxMetrics(ctx context.Context, r *sandboxAPI.SandboxMetricsRequest) (*sandboxAPI.SandboxMetricsResponse, error) {
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

// UpdateSandbox is told of new limits of the pod, which the node sets itself.
func (s *sandboxes) UpdateSandbox(ctx context.Context, r *sandboxAPI.UpdateSandboxRequest) (*sandboxAPI.UpdateSandboxResponse, error) {
	_, err := s.sandbox(ctx, r.SandboxID)
	return &sandboxAPI.UpdateSandboxResponse{}, err
}
