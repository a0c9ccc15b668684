package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// node is the driver's part that mounts. Its calls may be repeated and change nothing then.
type node struct {
	csipb.UnimplementedNodeServer
	*driver
}

// NodeGetInfo implements the interface.
func (n *node) NodeGetInfo(context.Context, *csipb.NodeGetInfoRequest) (*csipb.NodeGetInfoResponse, error) {
	return &csipb.NodeGetInfoResponse{NodeId: n.node, MaxVolumesPerNode: n.limit, AccessibleTopology: n.topology()}, nil
}

// NodeGetCapabilities implements the interface.
func (n *node) NodeGetCapabilities(context.Context, *csipb.NodeGetCapabilitiesRequest) (*csipb.NodeGetCapabilitiesResponse, error) {
	out := &csipb.NodeGetCapabilitiesResponse{}
	for _, t := range []csipb.NodeServiceCapability_RPC_Type{csipb.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csipb.NodeServiceCapability_RPC_GET_VOLUME_STATS, csipb.NodeServiceCapability_RPC_EXPAND_VOLUME} {
		out.Capabilities = append(out.Capabilities, &csipb.NodeServiceCapability{Type: &csipb.NodeServiceCapability_Rpc{Rpc: &csipb.NodeServiceCapability_RPC{Type: t}}})
	}
	return out, nil
}

// mounts are the places of the machine where something is mounted.
func mounts() (map[string]int, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	out := map[string]int{}
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); len(f) > 4 {
			out[f[4]]++
		}
	}
	return out, err
}

// bind shows from at to, once.
func bind(from, to string, readOnly bool) error {
	is, err := mounts()
	if err != nil || is[to] > 0 {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return &fs.PathError{Op: "mount", Path: to, Err: err}
	}
	if readOnly {
		return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil
}

// unbind takes away what bind did.
func unbind(at string) error {
	is, err := mounts()
	if err != nil || is[at] == 0 {
		return err
	}
	return unix.Unmount(at, unix.UMOUNT_NOFOLLOW)
}

// NodeStageVolume implements the interface.
func (n *node) NodeStageVolume(_ context.Context, r *csipb.NodeStageVolumeRequest) (*csipb.NodeStageVolumeResponse, error) {
	if r.VolumeId == "" || r.StagingTargetPath == "" || r.VolumeCapability == nil {
		return nil, status.Error(codes.InvalidArgument, "volume, path or capability is missing")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	v, err := n.find(r.VolumeId)
	if err != nil {
		return nil, err
	}
	if v.Block {
		_, err = n.device(v)
		return &csipb.NodeStageVolumeResponse{}, err
	}
	return &csipb.NodeStageVolumeResponse{}, bind(n.data(v.ID), r.StagingTargetPath, false)
}

// device is the loop device over a volume's file, which is made when there is none.
func (n *node) device(v *volume) (string, error) {
	out, err := exec.Command("losetup", "-j", n.data(v.ID)).Output()
	if err != nil {
		return "", err
	}
	if name, _, ok := strings.Cut(string(out), ":"); ok {
		return name, nil
	}
	out, err = exec.Command("losetup", "-f", "--show", n.data(v.ID)).Output()
	return strings.TrimSpace(string(out)), err
}

// NodeUnstageVolume implements the interface.
func (n *node) NodeUnstageVolume(_ context.Context, r *csipb.NodeUnstageVolumeRequest) (*csipb.NodeUnstageVolumeResponse, error) {
	if r.VolumeId == "" || r.StagingTargetPath == "" {
		return nil, status.Error(codes.InvalidArgument, "volume or path is missing")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	v, err := n.find(r.VolumeId)
	if err != nil {
		return nil, err
	}
	if v.Block {
		name, err := n.device(v)
		if err == nil {
			err = exec.Command("losetup", "-d", name).Run()
		}
		return &csipb.NodeUnstageVolumeResponse{}, err
	}
	return &csipb.NodeUnstageVolumeResponse{}, unbind(r.StagingTargetPath)
}

// NodePublishVolume implements the interface.
func (n *node) NodePublishVolume(_ context.Context, r *csipb.NodePublishVolumeRequest) (*csipb.NodePublishVolumeResponse, error) {
	if r.VolumeId == "" || r.TargetPath == "" || r.VolumeCapability == nil {
		return nil, status.Error(codes.InvalidArgument, "volume, path or capability is missing")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.VolumeContext["csi.storage.k8s.io/ephemeral"] == "true" {
		return &csipb.NodePublishVolumeResponse{}, n.ephemeral(r)
	}
	if r.StagingTargetPath == "" {
		return nil, status.Error(codes.InvalidArgument, "staging path is missing")
	}
	v, err := n.find(r.VolumeId)
	if err != nil {
		return nil, err
	}
	if r.VolumeCapability.GetBlock() != nil {
		dev, err := n.device(v)
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(r.TargetPath, os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		f.Close()
		return &csipb.NodePublishVolumeResponse{}, bind(dev, r.TargetPath, false)
	}
	if err := os.MkdirAll(r.TargetPath, 0o750); err != nil {
		return nil, err
	}
	return &csipb.NodePublishVolumeResponse{}, bind(r.StagingTargetPath, r.TargetPath, r.Readonly)
}

// ephemeral makes and shows a volume of a pod's own, with what the driver was told of the pod in a file.
func (n *node) ephemeral(r *csipb.NodePublishVolumeRequest) error {
	dir := n.data(r.VolumeId)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	told := r.VolumeContext["csi.storage.k8s.io/pod.namespace"] + "/" + r.VolumeContext["csi.storage.k8s.io/pod.name"] + "\n"
	for _, f := range []struct{ name, text string }{{"pod", told}, {"tokens", r.VolumeContext["csi.storage.k8s.io/serviceAccount.tokens"]}, {"secret", r.Secrets["key"]}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(r.TargetPath, 0o750); err != nil {
		return err
	}
	return bind(dir, r.TargetPath, r.Readonly)
}

// NodeUnpublishVolume implements the interface.
func (n *node) NodeUnpublishVolume(_ context.Context, r *csipb.NodeUnpublishVolumeRequest) (*csipb.NodeUnpublishVolumeResponse, error) {
	if r.VolumeId == "" || r.TargetPath == "" {
		return nil, status.Error(codes.InvalidArgument, "volume or path is missing")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err := n.find(r.VolumeId)
	inline := status.Code(err) == codes.NotFound && strings.HasPrefix(r.VolumeId, "csi-")
	if err != nil && !inline {
		return nil, err
	}
	if err := unbind(r.TargetPath); err != nil {
		return nil, err
	}
	if err := os.Remove(r.TargetPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if inline {
		return &csipb.NodeUnpublishVolumeResponse{}, os.RemoveAll(n.data(r.VolumeId))
	}
	return &csipb.NodeUnpublishVolumeResponse{}, nil
}

// NodeGetVolumeStats implements the interface.
func (n *node) NodeGetVolumeStats(_ context.Context, r *csipb.NodeGetVolumeStatsRequest) (*csipb.NodeGetVolumeStatsResponse, error) {
	if r.VolumeId == "" || r.VolumePath == "" {
		return nil, status.Error(codes.InvalidArgument, "volume or path is missing")
	}
	v, err := n.find(r.VolumeId)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(r.VolumePath); err != nil {
		return nil, status.Errorf(codes.NotFound, "nothing at %s", r.VolumePath)
	}
	var used int64
	_ = filepath.WalkDir(n.data(v.ID), func(_ string, e fs.DirEntry, err error) error {
		if info, err2 := e.Info(); err == nil && err2 == nil && !e.IsDir() {
			used += info.Size()
		}
		return nil
	})
	return &csipb.NodeGetVolumeStatsResponse{Usage: []*csipb.VolumeUsage{{Unit: csipb.VolumeUsage_BYTES, Total: v.Size, Used: used, Available: v.Size - used}}}, nil
}

// NodeExpandVolume implements the interface. What it is grown to stands in a file beside the volume, for tests to look at.
func (n *node) NodeExpandVolume(_ context.Context, r *csipb.NodeExpandVolumeRequest) (*csipb.NodeExpandVolumeResponse, error) {
	if r.VolumeId == "" || r.VolumePath == "" {
		return nil, status.Error(codes.InvalidArgument, "volume or path is missing")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	v, err := n.find(r.VolumeId)
	if err != nil {
		return nil, err
	}
	if v.Block {
		name, err := n.device(v)
		if err == nil {
			err = exec.Command("losetup", "-c", name).Run()
		}
		if err != nil {
			return nil, err
		}
	}
	size := max(v.Size, r.GetCapacityRange().GetRequiredBytes())
	return &csipb.NodeExpandVolumeResponse{CapacityBytes: size}, os.WriteFile(n.data(v.ID)+".grown", []byte(strconv.FormatInt(size, 10)), 0o644)
}
