package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// snapshot is what a file says of one. Its data is a copy, so that neither it nor the volume it was taken of needs the other afterwards.
type snapshot struct {
	ID, Name, Of string
	Size         int64
	Block        bool
	Taken        time.Time
}

func (s *snapshot) wire() *csipb.Snapshot {
	return &csipb.Snapshot{SnapshotId: s.ID, SourceVolumeId: s.Of, SizeBytes: s.Size, CreationTime: timestamppb.New(s.Taken), ReadyToUse: true}
}

// snapshotOf makes a snapshot's ID of the name that it is asked for with.
func snapshotOf(name string) string { return "snap-" + strings.TrimPrefix(idOf(name), "vol-") }

func (d *driver) findSnapshot(id string) (*snapshot, error) {
	text, err := os.ReadFile(d.file(id))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrInvalid) || len(id) > 200 || !strings.HasPrefix(id, "snap-") {
		return nil, status.Errorf(codes.NotFound, "no snapshot %s", id)
	}
	if err != nil {
		return nil, err
	}
	s := &snapshot{}
	return s, json.Unmarshal(text, s)
}

// clone copies the data of a volume or a snapshot to where there is none yet; what an earlier try left is replaced.
func (d *driver) clone(ctx context.Context, from, to string) error {
	half := d.data(to) + ".half"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", d.data(from), half).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	return os.Rename(half, d.data(to))
}

// CreateSnapshot implements the interface.
func (c *controller) CreateSnapshot(ctx context.Context, r *csipb.CreateSnapshotRequest) (*csipb.CreateSnapshotResponse, error) {
	if r.Name == "" || r.SourceVolumeId == "" {
		return nil, status.Error(codes.InvalidArgument, "name or volume is missing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if have, err := c.findSnapshot(snapshotOf(r.Name)); err == nil {
		if have.Of != r.SourceVolumeId {
			return nil, status.Errorf(codes.AlreadyExists, "%s is there, of another volume", r.Name)
		}
		return &csipb.CreateSnapshotResponse{Snapshot: have.wire()}, nil
	}
	v, err := c.find(r.SourceVolumeId)
	if err != nil {
		return nil, err
	}
	s := &snapshot{ID: snapshotOf(r.Name), Name: r.Name, Of: v.ID, Size: v.Size, Block: v.Block, Taken: time.Now()}
	if err := c.clone(ctx, v.ID, s.ID); err != nil {
		return nil, err
	}
	return &csipb.CreateSnapshotResponse{Snapshot: s.wire()}, c.write(s.ID, s)
}

// DeleteSnapshot implements the interface.
func (c *controller) DeleteSnapshot(_ context.Context, r *csipb.DeleteSnapshotRequest) (*csipb.DeleteSnapshotResponse, error) {
	if r.SnapshotId == "" {
		return nil, status.Error(codes.InvalidArgument, "snapshot ID is missing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.findSnapshot(r.SnapshotId)
	if status.Code(err) == codes.NotFound {
		return &csipb.DeleteSnapshotResponse{}, nil
	}
	if err == nil {
		err = errors.Join(os.RemoveAll(c.data(s.ID)), os.Remove(c.file(s.ID)))
	}
	return &csipb.DeleteSnapshotResponse{}, err
}

// fill gives a volume that is made from a snapshot, or from another volume, what is in that.
func (c *controller) fill(ctx context.Context, v *volume, source *csipb.VolumeContentSource) error {
	var id string
	var size int64
	var block bool
	switch {
	case source.GetSnapshot() != nil:
		s, err := c.findSnapshot(source.GetSnapshot().SnapshotId)
		if err != nil {
			return err
		}
		id, size, block = s.ID, s.Size, s.Block
	case source.GetVolume() != nil:
		from, err := c.find(source.GetVolume().VolumeId)
		if err != nil {
			return err
		}
		id, size, block = from.ID, from.Size, from.Block
	default:
		return status.Error(codes.InvalidArgument, "a source of neither kind")
	}
	if size > v.Size {
		return status.Errorf(codes.OutOfRange, "%s holds %d bytes, %d are asked for", filepath.Base(id), size, v.Size)
	}
	if block != v.Block {
		return status.Error(codes.InvalidArgument, "a device and a directory cannot be made from one another")
	}
	if err := c.clone(ctx, id, v.ID); err != nil || !v.Block {
		return err
	}
	return os.Truncate(c.data(v.ID), v.Size)
}
