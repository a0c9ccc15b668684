package devices

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	dialLimit = 10 * time.Second // for a plugin that has registered to answer
	// callLimit bounds the calls that admission waits for, so that a plugin that hangs does not stop the node.
	callLimit = time.Minute
	// graceAfterStop is how long the resource of a plugin that is gone keeps its capacity: the plugin may come back.
	graceAfterStop = 5 * time.Minute
)

// plugin is a device plugin that has registered.
type plugin struct {
	resource, socket string
	api              pluginapi.DevicePluginClient
	options          *pluginapi.DevicePluginOptions
}

// connect calls a plugin back, and follows its devices until life ends or the plugin does.
func (m *Manager) connect(ctx, life context.Context, resource, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+socket, grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig(),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return fmt.Errorf("failed to dial device plugin: %w", err)
	}
	p := &plugin{resource: resource, socket: socket, api: pluginapi.NewDevicePluginClient(conn)}
	if p.options, err = p.api.GetDevicePluginOptions(ctx, &pluginapi.Empty{}, grpc.WaitForReady(true)); err != nil {
		conn.Close()
		return fmt.Errorf("failed to get device plugin options: %w", err)
	}
	if err := m.add(p); err != nil {
		conn.Close()
		return err
	}
	m.wait.Go(func() {
		defer conn.Close()
		err := m.follow(life, p)
		m.cfg.Log.Info("device plugin gone", "resource", resource, "error", err)
		m.remove(p)
	})
	return nil
}

// follow takes over the plugin's lists of devices.
func (m *Manager) follow(ctx context.Context, p *plugin) error {
	stream, err := p.api.ListAndWatch(ctx, &pluginapi.Empty{})
	for err == nil {
		var list *pluginapi.ListAndWatchResponse
		if list, err = stream.Recv(); err == nil {
			m.listed(p.resource, list.Devices)
		}
	}
	return err
}

// allocate tells a plugin that a container is given devices, and returns what it needs for them.
func (p *plugin) allocate(ctx context.Context, ids []string) (*pluginapi.ContainerAllocateResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := p.api.Allocate(ctx, &pluginapi.AllocateRequest{ContainerRequests: []*pluginapi.ContainerAllocateRequest{{DevicesIds: ids}}})
	if err != nil {
		return nil, err
	}
	if len(r.ContainerResponses) == 0 {
		return nil, fmt.Errorf("no containers return in allocation response %v", r)
	}
	return r.ContainerResponses[0], nil
}

// prefers asks a plugin that has an opinion which of its devices to take: n, of the available ones, those in must among them. It
// returns nothing when the plugin has none.
func (p *plugin) prefers(ctx context.Context, available, must set, n int) (set, error) {
	if !p.options.GetGetPreferredAllocationAvailable() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := p.api.GetPreferredAllocation(ctx, &pluginapi.PreferredAllocationRequest{ContainerRequests: []*pluginapi.ContainerPreferredAllocationRequest{
		{AvailableDeviceIDs: available.list(), MustIncludeDeviceIDs: must.list(), AllocationSize: int32(n)}}})
	if err != nil {
		return nil, fmt.Errorf("device plugin GetPreferredAllocation rpc failed with err: %w", err)
	}
	if len(r.ContainerResponses) == 0 {
		return nil, nil
	}
	return setOf(r.ContainerResponses[0].DeviceIDs...), nil
}

// started tells a plugin that wants to know that a container with its devices is about to start.
func (p *plugin) started(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, pluginapi.KubeletPreStartContainerRPCTimeoutInSecs*time.Second)
	defer cancel()
	if _, err := p.api.PreStartContainer(ctx, &pluginapi.PreStartContainerRequest{DevicesIds: ids}); err != nil {
		return fmt.Errorf("device plugin PreStartContainer rpc failed with err: %w", err)
	}
	return nil
}

var errConnected = errors.New("device plugin already connected")
