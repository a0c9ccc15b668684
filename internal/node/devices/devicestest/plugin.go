package devicestest

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Plugin offers devices. Its fields are set before Start.
type Plugin struct {
	pluginapi.UnimplementedDevicePluginServer
	Resource string
	Options  *pluginapi.DevicePluginOptions
	// Needs says what a container needs for devices; by default a variable that names them.
	Needs func(ids []string) (*pluginapi.ContainerAllocateResponse, error)
	// Prefer chooses among devices, when Options say that it can.
	Prefer func(*pluginapi.ContainerPreferredAllocationRequest) []string

	server *grpc.Server
	mu     struct {
		sync.Mutex
		devices   []*pluginapi.Device
		changed   chan struct{} // closed when devices change
		allocated [][]string
		started   [][]string
	}
}

// Device makes a healthy device at the given NUMA nodes.
func Device(id string, nodes ...int64) *pluginapi.Device {
	d := &pluginapi.Device{ID: id, Health: pluginapi.Healthy}
	for _, n := range nodes {
		if d.Topology == nil {
			d.Topology = &pluginapi.TopologyInfo{}
		}
		d.Topology.Nodes = append(d.Topology.Nodes, &pluginapi.NUMANode{ID: n})
	}
	return d
}

// Set changes the devices, and tells the kubelet.
func (p *Plugin) Set(devices ...*pluginapi.Device) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.devices = devices
	if p.mu.changed != nil {
		close(p.mu.changed)
	}
	p.mu.changed = make(chan struct{})
}

// Start waits for the kubelet's socket in dir, which removes all others when it begins, serves beside it, and registers. It tries for as long
// as ctx lasts.
func (p *Plugin) Start(ctx context.Context, dir string) error {
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, "kubelet.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.Connect()
	for s := conn.GetState(); s != connectivity.Ready; s = conn.GetState() {
		if s == connectivity.Idle {
			conn.Connect()
		}
		if !conn.WaitForStateChange(ctx, s) {
			return ctx.Err()
		}
	}
	name := fmt.Sprintf("%s.sock", filepath.Base(p.Resource))
	l, err := net.Listen("unix", filepath.Join(dir, name))
	if err != nil {
		return err
	}
	p.server = grpc.NewServer()
	pluginapi.RegisterDevicePluginServer(p.server, p)
	go p.server.Serve(l) //nolint:errcheck // it ends with Stop
	_, err = pluginapi.NewRegistrationClient(conn).Register(ctx, &pluginapi.RegisterRequest{
		Version: pluginapi.Version, Endpoint: name, ResourceName: p.Resource, Options: p.Options}, grpc.WaitForReady(true))
	return err
}

// Stop ends the plugin, as when it crashes.
func (p *Plugin) Stop() { p.server.Stop() }

// Allocated are the devices of each allocation that the kubelet has asked for, and Started of each start that it has told.
func (p *Plugin) Allocated() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([][]string{}, p.mu.allocated...)
}

// Started: see Allocated.
func (p *Plugin) Started() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([][]string{}, p.mu.started...)
}

// GetDevicePluginOptions implements the plugin's service.
func (p *Plugin) GetDevicePluginOptions(context.Context, *pluginapi.Empty) (*pluginapi.DevicePluginOptions, error) {
	if p.Options == nil {
		return &pluginapi.DevicePluginOptions{}, nil
	}
	return p.Options, nil
}

// ListAndWatch implements the plugin's service.
func (p *Plugin) ListAndWatch(_ *pluginapi.Empty, stream grpc.ServerStreamingServer[pluginapi.ListAndWatchResponse]) error {
	for {
		p.mu.Lock()
		devices, changed := p.mu.devices, p.mu.changed
		if changed == nil {
			changed = make(chan struct{})
			p.mu.changed = changed
		}
		p.mu.Unlock()
		if err := stream.Send(&pluginapi.ListAndWatchResponse{Devices: devices}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// GetPreferredAllocation implements the plugin's service.
func (p *Plugin) GetPreferredAllocation(_ context.Context, r *pluginapi.PreferredAllocationRequest) (*pluginapi.PreferredAllocationResponse, error) {
	out := &pluginapi.PreferredAllocationResponse{}
	for _, c := range r.ContainerRequests {
		out.ContainerResponses = append(out.ContainerResponses, &pluginapi.ContainerPreferredAllocationResponse{DeviceIDs: p.Prefer(c)})
	}
	return out, nil
}

// Allocate implements the plugin's service.
func (p *Plugin) Allocate(_ context.Context, r *pluginapi.AllocateRequest) (*pluginapi.AllocateResponse, error) {
	out := &pluginapi.AllocateResponse{}
	for _, c := range r.ContainerRequests {
		p.mu.Lock()
		p.mu.allocated = append(p.mu.allocated, c.DevicesIds)
		p.mu.Unlock()
		needs := &pluginapi.ContainerAllocateResponse{Envs: map[string]string{"DEVICES": fmt.Sprint(c.DevicesIds)}}
		if p.Needs != nil {
			var err error
			if needs, err = p.Needs(c.DevicesIds); err != nil {
				return nil, err
			}
		}
		out.ContainerResponses = append(out.ContainerResponses, needs)
	}
	return out, nil
}

// PreStartContainer implements the plugin's service.
func (p *Plugin) PreStartContainer(_ context.Context, r *pluginapi.PreStartContainerRequest) (*pluginapi.PreStartContainerResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.started = append(p.mu.started, r.DevicesIds)
	return &pluginapi.PreStartContainerResponse{}, nil
}

// Within bounds what a test waits for; it is long, for machines that have much else to do.
const Within = 2 * time.Minute
