package csitest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Driver is one driver. Its fields are set before Start.
type Driver struct {
	csipb.UnimplementedNodeServer
	Info *csipb.NodeGetInfoResponse
	Can  []csipb.NodeServiceCapability_RPC_Type
	Fail func(call string) error // what a call answers; nil: it goes on

	mu struct {
		sync.Mutex
		calls     []string
		staged    map[string]bool
		published map[string]map[string]bool
		last      *csipb.NodePublishVolumeRequest
	}
}

// Start serves on a socket of a folder of its own until the test ends, and returns the socket's path.
func (d *Driver) Start(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "csi") // t.TempDir's names are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "csi.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	d.mu.staged, d.mu.published = map[string]bool{}, map[string]map[string]bool{}
	s := grpc.NewServer()
	csipb.RegisterNodeServer(s, d)
	go s.Serve(l) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { s.Stop(); os.RemoveAll(dir) })
	return path
}

// Calls are those that came since the last time it was asked, with the last part of the path that they name.
func (d *Driver) Calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.mu.calls
	d.mu.calls = nil
	return out
}

// Left is what is staged or published.
func (d *Driver) Left() (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for v := range d.mu.staged {
		out = append(out, "staged "+v)
	}
	for v, at := range d.mu.published {
		for path := range at {
			out = append(out, "published "+v+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

// Published is the last request to publish a volume.
func (d *Driver) Published() *csipb.NodePublishVolumeRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.last
}

// called notes a call, with the lock held.
func (d *Driver) called(parts ...string) error {
	call := strings.Join(parts, " ")
	d.mu.calls = append(d.mu.calls, call)
	if d.Fail != nil {
		return d.Fail(call)
	}
	return nil
}

// NodeGetInfo implements the interface.
func (d *Driver) NodeGetInfo(context.Context, *csipb.NodeGetInfoRequest) (*csipb.NodeGetInfoResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Info, nil
}

// Count changes how many volumes the driver takes on the node.
func (d *Driver) Count(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := &csipb.NodeGetInfoResponse{NodeId: d.Info.NodeId, AccessibleTopology: d.Info.AccessibleTopology, MaxVolumesPerNode: n}
	d.Info = info
}

// NodeGetCapabilities implements the interface.
func (d *Driver) NodeGetCapabilities(context.Context, *csipb.NodeGetCapabilitiesRequest) (*csipb.NodeGetCapabilitiesResponse, error) {
	out := &csipb.NodeGetCapabilitiesResponse{}
	for _, c := range d.Can {
		out.Capabilities = append(out.Capabilities, &csipb.NodeServiceCapability{Type: &csipb.NodeServiceCapability_Rpc{Rpc: &csipb.NodeServiceCapability_RPC{Type: c}}})
	}
	return out, nil
}

// NodeStageVolume implements the interface.
func (d *Driver) NodeStageVolume(_ context.Context, r *csipb.NodeStageVolumeRequest) (*csipb.NodeStageVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("stage", r.VolumeId, filepath.Base(r.StagingTargetPath)); err != nil {
		return nil, err
	}
	if _, err := os.Stat(r.StagingTargetPath); err != nil {
		return nil, err
	}
	d.mu.staged[r.VolumeId] = true
	return &csipb.NodeStageVolumeResponse{}, nil
}

// NodeUnstageVolume implements the interface.
func (d *Driver) NodeUnstageVolume(_ context.Context, r *csipb.NodeUnstageVolumeRequest) (*csipb.NodeUnstageVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("unstage", r.VolumeId, filepath.Base(r.StagingTargetPath)); err != nil {
		return nil, err
	}
	if n := len(d.mu.published[r.VolumeId]); n > 0 {
		return nil, status.Error(codes.FailedPrecondition, fmt.Sprintf("%s is published %d times", r.VolumeId, n))
	}
	delete(d.mu.staged, r.VolumeId)
	return &csipb.NodeUnstageVolumeResponse{}, nil
}

// NodePublishVolume implements the interface.
func (d *Driver) NodePublishVolume(_ context.Context, r *csipb.NodePublishVolumeRequest) (*csipb.NodePublishVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("publish", r.VolumeId, filepath.Base(r.TargetPath)); err != nil {
		return nil, err
	}
	d.mu.last = r
	if slices.Contains(d.Can, csipb.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME) && r.StagingTargetPath != "" && !d.mu.staged[r.VolumeId] {
		return nil, status.Error(codes.FailedPrecondition, r.VolumeId+" is not staged")
	}
	if d.mu.published[r.VolumeId] == nil {
		d.mu.published[r.VolumeId] = map[string]bool{}
	}
	d.mu.published[r.VolumeId][r.TargetPath] = true
	if r.GetVolumeCapability().GetBlock() != nil {
		return &csipb.NodePublishVolumeResponse{}, os.WriteFile(r.TargetPath, nil, 0o600)
	}
	return &csipb.NodePublishVolumeResponse{}, os.MkdirAll(r.TargetPath, 0o750)
}

// NodeUnpublishVolume implements the interface.
func (d *Driver) NodeUnpublishVolume(_ context.Context, r *csipb.NodeUnpublishVolumeRequest) (*csipb.NodeUnpublishVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("unpublish", r.VolumeId, filepath.Base(r.TargetPath)); err != nil {
		return nil, err
	}
	delete(d.mu.published[r.VolumeId], r.TargetPath)
	return &csipb.NodeUnpublishVolumeResponse{}, os.RemoveAll(r.TargetPath)
}

// NodeExpandVolume implements the interface.
func (d *Driver) NodeExpandVolume(_ context.Context, r *csipb.NodeExpandVolumeRequest) (*csipb.NodeExpandVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &csipb.NodeExpandVolumeResponse{CapacityBytes: r.CapacityRange.RequiredBytes}, d.called("expand", r.VolumeId, fmt.Sprint(r.CapacityRange.RequiredBytes))
}

// NodeGetVolumeStats implements the interface.
func (d *Driver) NodeGetVolumeStats(_ context.Context, r *csipb.NodeGetVolumeStatsRequest) (*csipb.NodeGetVolumeStatsResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &csipb.NodeGetVolumeStatsResponse{Usage: []*csipb.VolumeUsage{{Unit: csipb.VolumeUsage_BYTES, Total: 100, Used: 30, Available: 70}}},
		d.called("stats", r.VolumeId, filepath.Base(r.VolumePath))
}
