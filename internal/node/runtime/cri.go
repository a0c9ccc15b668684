package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// callTimeout bounds every call that is not expected to take long (upstream's runtimeRequestTimeout).
const callTimeout = 2 * time.Minute

// CRI is a runtime behind a CRI v1 socket.
type CRI struct {
	conn *grpc.ClientConn
	rt   cri.RuntimeServiceClient
	img  cri.ImageServiceClient
	log  *slog.Logger

	// BeforePull is called before an image is pulled from a registry, and its error is the pull's; nil: nothing is to be done.
	BeforePull func() error

	endpoint string            // where images are imported, see Offer
	offers   map[string]string // image: archive
}

// Dial makes a client of the CRI socket at endpoint ("unix:///run/containerd/containerd.sock", or a bare path). It does
// not wait for the socket: calls fail with Unavailable until the runtime answers.
func Dial(endpoint string, log *slog.Logger) (*CRI, error) {
	conn, err := dialUnix(endpoint)
	if err != nil {
		return nil, err
	}
	return &CRI{conn: conn, rt: cri.NewRuntimeServiceClient(conn), img: cri.NewImageServiceClient(conn), log: log}, nil
}

func dialUnix(endpoint string) (*grpc.ClientConn, error) {
	path := strings.TrimPrefix(strings.TrimPrefix(endpoint, "unix://"), "unix:")
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("container runtime endpoint %q: want unix:///path/to/socket", endpoint)
	}
	bo := backoff.DefaultConfig
	bo.BaseDelay, bo.MaxDelay = 20*time.Millisecond, 3*time.Second
	conn, err := grpc.NewClient("passthrough:///"+path,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: bo, MinConnectTimeout: 3 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)),
		grpc.WithDisableServiceConfig())
	if err != nil {
		return nil, fmt.Errorf("container runtime endpoint %q: %w", endpoint, err)
	}
	return conn, nil
}

// Close ends the connection.
func (c *CRI) Close() error { return c.conn.Close() }

// IsNotFound reports whether err says that the named container, sandbox or image is not there.
func IsNotFound(err error) bool { return code(err) == codes.NotFound }

// IsUnavailable reports whether err says that the runtime itself does not answer.
func IsUnavailable(err error) bool {
	return code(err) == codes.Unavailable || errors.Is(err, context.DeadlineExceeded)
}

func code(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Code()
	}
	return codes.Unknown
}

// ErrorText is what the API shows of a runtime's error: the message without gRPC's frame, as upstream shows it.
func ErrorText(err error) string {
	s, _ := status.FromError(err)
	return s.Message()
}

// gone turns "not found" into success, for calls that make something gone.
func gone(err error) error {
	if IsNotFound(err) {
		return nil
	}
	return err
}

// Version implements Interface.
func (c *CRI) Version(ctx context.Context) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rt.Version(ctx, &cri.VersionRequest{Version: "v1"})
	if err != nil {
		return Version{}, err
	}
	return Version{Name: r.RuntimeName, Version: r.RuntimeVersion, API: r.RuntimeApiVersion}, nil
}

// Status implements Interface.
func (c *CRI) Status(ctx context.Context) (*Status, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rt.Status(ctx, &cri.StatusRequest{})
	if err != nil {
		return nil, err
	}
	out := &Status{SupplementalGroupPolicy: r.GetFeatures().GetSupplementalGroupsPolicy()}
	for _, cond := range r.GetStatus().GetConditions() {
		switch cond.Type {
		case cri.RuntimeReady:
			out.Ready, out.Reason, out.Message = cond.Status, cond.Reason, cond.Message
		case cri.NetworkReady:
			out.NetworkReady, out.NetReason, out.NetMessage = cond.Status, cond.Reason, cond.Message
		}
	}
	for _, h := range r.GetRuntimeHandlers() {
		rro, userns := h.GetFeatures().GetRecursiveReadOnlyMounts(), h.GetFeatures().GetUserNamespaces()
		out.Handlers = append(out.Handlers, corev1.NodeRuntimeHandler{Name: h.Name,
			Features: &corev1.NodeRuntimeHandlerFeatures{RecursiveReadOnlyMounts: &rro, UserNamespaces: &userns}})
	}
	return out, nil
}

// SetPodCIDR implements Interface.
func (c *CRI) SetPodCIDR(ctx context.Context, cidr string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rt.UpdateRuntimeConfig(ctx, &cri.UpdateRuntimeConfigRequest{
		RuntimeConfig: &cri.RuntimeConfig{NetworkConfig: &cri.NetworkConfig{PodCidr: cidr}}})
	return err
}

// RunSandbox implements Interface. It has twice the usual time, as upstream gives it.
func (c *CRI) RunSandbox(ctx context.Context, cfg *cri.PodSandboxConfig, handler string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	r, err := c.rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: cfg, RuntimeHandler: handler})
	return r.GetPodSandboxId(), err
}

// StopSandbox implements Interface.
func (c *CRI) StopSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rt.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id})
	return gone(err)
}

// RemoveSandbox implements Interface.
func (c *CRI) RemoveSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rt.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	return gone(err)
}

// CreateContainer implements Interface.
func (c *CRI) CreateContainer(ctx context.Context, sandbox string, cfg *cri.ContainerConfig, sandboxCfg *cri.PodSandboxConfig) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rt.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: sandbox, Config: cfg, SandboxConfig: sandboxCfg})
	return r.GetContainerId(), err
}

// StartContainer implements Interface.
func (c *CRI) StartContainer(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: id})
	return err
}

// StopContainer implements Interface.
func (c *CRI) StopContainer(ctx context.Context, id string, grace int64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout+time.Duration(grace)*time.Second)
	defer cancel()
	_, err := c.rt.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: grace})
	return gone(err)
}

// RemoveContainer implements Interface.
func (c *CRI) RemoveContainer(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rt.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: id})
	return gone(err)
}

// UpdateContainer implements Interface.
func (c *CRI) UpdateContainer(ctx context.Context, id string, res *cri.LinuxContainerResources) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rt.UpdateContainerResources(ctx, &cri.UpdateContainerResourcesRequest{ContainerId: id, Linux: res})
	return err
}

// UpdateSandbox implements Interface.
func (c *CRI) UpdateSandbox(ctx context.Context, id string, res *cri.LinuxContainerResources) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rt.UpdatePodSandboxResources(ctx, &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: id, Resources: res})
	// containerd 2.2 says Unknown with these words where it means Unimplemented.
	if code(err) == codes.Unimplemented || code(err) == codes.Unknown && err != nil && strings.Contains(err.Error(), "not implemented") {
		return nil
	}
	return err
}

// ReopenLog implements Interface.
func (c *CRI) ReopenLog(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rt.ReopenContainerLog(ctx, &cri.ReopenContainerLogRequest{ContainerId: id})
	return err
}

// ExecSync implements Interface.
func (c *CRI) ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (stdout, stderr []byte, exit int32, err error) {
	if timeout > 0 { // the runtime is to time out first; this is for a runtime that hangs
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout+timeout)
		defer cancel()
	}
	r, err := c.rt.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: cmd, Timeout: int64(timeout / time.Second)})
	if err != nil {
		return nil, nil, 0, err
	}
	return r.Stdout, r.Stderr, r.ExitCode, nil
}

// Exec implements Interface.
func (c *CRI) Exec(ctx context.Context, id string, cmd []string, s Stdio) (*url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rt.Exec(ctx, &cri.ExecRequest{ContainerId: id, Cmd: cmd, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr, Tty: s.TTY})
	if err != nil {
		return nil, err
	}
	return url.Parse(r.Url)
}

// Attach implements Interface.
func (c *CRI) Attach(ctx context.Context, id string, s Stdio) (*url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rt.Attach(ctx, &cri.AttachRequest{ContainerId: id, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr, Tty: s.TTY})
	if err != nil {
		return nil, err
	}
	return url.Parse(r.Url)
}

// PortForward implements Interface.
func (c *CRI) PortForward(ctx context.Context, sandbox string, ports []int32) (*url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rt.PortForward(ctx, &cri.PortForwardRequest{PodSandboxId: sandbox, Port: ports})
	if err != nil {
		return nil, err
	}
	return url.Parse(r.Url)
}

// ContainerMemory implements Interface.
func (c *CRI) ContainerMemory(ctx context.Context, id string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rt.ContainerStats(ctx, &cri.ContainerStatsRequest{ContainerId: id})
	if err != nil {
		return 0, err
	}
	if u := r.GetStats().GetMemory().GetUsageBytes(); u != nil {
		return u.Value, nil
	}
	return r.GetStats().GetMemory().GetWorkingSetBytes().GetValue(), nil
}

// Stats implements Interface.
func (c *CRI) Stats(ctx context.Context) ([]*cri.ContainerStats, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rt.ListContainerStats(ctx, &cri.ListContainerStatsRequest{})
	return r.GetStats(), err
}
