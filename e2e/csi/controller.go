package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// controller is the driver's part that makes, attaches, grows and copies volumes.
type controller struct {
	csipb.UnimplementedControllerServer
	*driver
}

// ControllerGetCapabilities implements the interface.
func (c *controller) ControllerGetCapabilities(context.Context, *csipb.ControllerGetCapabilitiesRequest) (*csipb.ControllerGetCapabilitiesResponse, error) {
	out := &csipb.ControllerGetCapabilitiesResponse{}
	for _, t := range []csipb.ControllerServiceCapability_RPC_Type{csipb.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csipb.ControllerServiceCapability_RPC_PUBLISH_UNPUBLISH_VOLUME, csipb.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csipb.ControllerServiceCapability_RPC_GET_CAPACITY, csipb.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csipb.ControllerServiceCapability_RPC_CLONE_VOLUME} {
		out.Capabilities = append(out.Capabilities, &csipb.ControllerServiceCapability{Type: &csipb.ControllerServiceCapability_Rpc{Rpc: &csipb.ControllerServiceCapability_RPC{Type: t}}})
	}
	return out, nil
}

// sized is the size that is asked for.
func sized(r *csipb.CapacityRange) (int64, error) {
	size := r.GetRequiredBytes()
	if size == 0 {
		size = defaultSize
		if l := r.GetLimitBytes(); l > 0 && l < size {
			size = l
		}
	}
	if size > largest || r.GetLimitBytes() > 0 && size > r.GetLimitBytes() {
		return 0, status.Error(codes.OutOfRange, "no volume can be of that size")
	}
	return size, nil
}

// CreateVolume implements the interface.
func (c *controller) CreateVolume(ctx context.Context, r *csipb.CreateVolumeRequest) (*csipb.CreateVolumeResponse, error) {
	if r.Name == "" || len(r.VolumeCapabilities) == 0 {
		return nil, status.Error(codes.InvalidArgument, "name or capabilities are missing")
	}
	size, err := sized(r.CapacityRange)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &volume{ID: idOf(r.Name), Name: r.Name, Size: size}
	for _, one := range r.VolumeCapabilities {
		v.Block = v.Block || one.GetBlock() != nil
	}
	if have, err := c.find(v.ID); err == nil {
		if l := r.CapacityRange.GetLimitBytes(); have.Size < r.CapacityRange.GetRequiredBytes() || l > 0 && have.Size > l {
			return nil, status.Errorf(codes.AlreadyExists, "%s is there, with another size", r.Name)
		}
		v = have
	} else {
		if r.VolumeContentSource != nil {
			err = c.fill(ctx, v, r.VolumeContentSource)
		} else {
			err = c.make(v)
		}
		if err == nil {
			err = c.save(v)
		}
		if err != nil {
			return nil, err
		}
	}
	return &csipb.CreateVolumeResponse{Volume: &csipb.Volume{VolumeId: v.ID, CapacityBytes: v.Size, VolumeContext: r.Parameters, AccessibleTopology: []*csipb.Topology{c.topology()}, ContentSource: r.VolumeContentSource}}, nil
}

// make makes the directory of a volume, or the file under its device.
func (c *controller) make(v *volume) error {
	if !v.Block {
		if err := os.Mkdir(c.data(v.ID), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return os.Chmod(c.data(v.ID), 0o777)
	}
	f, err := os.OpenFile(c.data(v.ID), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(v.Size)
}

// DeleteVolume implements the interface.
func (c *controller) DeleteVolume(_ context.Context, r *csipb.DeleteVolumeRequest) (*csipb.DeleteVolumeResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.find(r.VolumeId)
	switch {
	case status.Code(err) == codes.NotFound:
		return &csipb.DeleteVolumeResponse{}, nil
	case err != nil:
		return nil, err
	case v.Node != "":
		return nil, status.Errorf(codes.FailedPrecondition, "%s is attached to %s", v.ID, v.Node)
	}
	if err := errors.Join(os.RemoveAll(c.data(v.ID)), os.Remove(c.file(v.ID))); err != nil {
		return nil, err
	}
	return &csipb.DeleteVolumeResponse{}, nil
}

// ControllerPublishVolume implements the interface.
func (c *controller) ControllerPublishVolume(_ context.Context, r *csipb.ControllerPublishVolumeRequest) (*csipb.ControllerPublishVolumeResponse, error) {
	if r.VolumeId == "" || r.NodeId == "" || r.VolumeCapability == nil {
		return nil, status.Error(codes.InvalidArgument, "volume, node or capability is missing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.find(r.VolumeId)
	switch {
	case err != nil:
		return nil, err
	case r.NodeId != c.node:
		return nil, status.Errorf(codes.NotFound, "no node %s", r.NodeId)
	case v.Node != "" && v.Node != r.NodeId:
		return nil, status.Errorf(codes.FailedPrecondition, "%s is attached to %s", v.ID, v.Node)
	}
	v.Node = r.NodeId
	return &csipb.ControllerPublishVolumeResponse{PublishContext: map[string]string{"attached": "yes"}}, c.save(v)
}

// ControllerUnpublishVolume implements the interface.
func (c *controller) ControllerUnpublishVolume(_ context.Context, r *csipb.ControllerUnpublishVolumeRequest) (*csipb.ControllerUnpublishVolumeResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.find(r.VolumeId)
	if status.Code(err) == codes.NotFound {
		return &csipb.ControllerUnpublishVolumeResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if r.NodeId == "" || r.NodeId == v.Node {
		v.Node = ""
	}
	return &csipb.ControllerUnpublishVolumeResponse{}, c.save(v)
}

// ValidateVolumeCapabilities implements the interface.
func (c *controller) ValidateVolumeCapabilities(_ context.Context, r *csipb.ValidateVolumeCapabilitiesRequest) (*csipb.ValidateVolumeCapabilitiesResponse, error) {
	if len(r.VolumeCapabilities) == 0 {
		return nil, status.Error(codes.InvalidArgument, "capabilities are missing")
	}
	if _, err := c.find(r.VolumeId); err != nil {
		return nil, err
	}
	return &csipb.ValidateVolumeCapabilitiesResponse{Confirmed: &csipb.ValidateVolumeCapabilitiesResponse_Confirmed{VolumeCapabilities: r.VolumeCapabilities}}, nil
}

// ControllerExpandVolume implements the interface.
func (c *controller) ControllerExpandVolume(_ context.Context, r *csipb.ControllerExpandVolumeRequest) (*csipb.ControllerExpandVolumeResponse, error) {
	if r.VolumeId == "" || r.CapacityRange == nil {
		return nil, status.Error(codes.InvalidArgument, "volume or size is missing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v, err := c.find(r.VolumeId)
	if err != nil {
		return nil, err
	}
	size, err := sized(r.CapacityRange)
	if err != nil {
		return nil, err
	}
	if v.Size = max(v.Size, size); v.Block {
		if err := os.Truncate(c.data(v.ID), v.Size); err != nil {
			return nil, err
		}
	}
	return &csipb.ControllerExpandVolumeResponse{CapacityBytes: v.Size, NodeExpansionRequired: true}, c.save(v)
}

// GetCapacity implements the interface.
func (c *controller) GetCapacity(context.Context, *csipb.GetCapacityRequest) (*csipb.GetCapacityResponse, error) {
	return &csipb.GetCapacityResponse{AvailableCapacity: largest}, nil
}
