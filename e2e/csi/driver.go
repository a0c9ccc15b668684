package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	defaultSize = 1 << 30
	largest     = 1 << 40
)

// driver is what the services share. What it knows of volumes is in files below state, so that it may be ended at any time.
type driver struct {
	csipb.UnimplementedIdentityServer
	name, node, state string
	limit             int64

	mu sync.Mutex // one call at a time
}

// volume is what a file says of one.
type volume struct {
	ID, Name string
	Size     int64
	Block    bool
	Node     string // that it is attached to
}

func (d *driver) topology() *csipb.Topology {
	return &csipb.Topology{Segments: map[string]string{"topology." + d.name + "/node": d.node}}
}

func (d *driver) file(id string) string { return filepath.Join(d.state, filepath.Base(id)+".json") }

// data is the directory, or the file under the loop device, of a volume.
func (d *driver) data(id string) string { return filepath.Join(d.state, filepath.Base(id)) }

// idOf makes a volume's ID of the name that it is asked for with, so that asking again finds it.
func idOf(name string) string { return fmt.Sprintf("vol-%x", sha256.Sum256([]byte(name)))[:24] }

// find reads a volume; one that is not there is NotFound.
func (d *driver) find(id string) (*volume, error) {
	if id == "" {
		return nil, status.Error(codes.InvalidArgument, "volume ID is missing")
	}
	text, err := os.ReadFile(d.file(id))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrInvalid) || len(id) > 200 || strings.HasPrefix(id, "snap-") {
		return nil, status.Errorf(codes.NotFound, "no volume %s", id)
	}
	if err != nil {
		return nil, err
	}
	v := &volume{}
	return v, json.Unmarshal(text, v)
}

func (d *driver) save(v *volume) error { return d.write(v.ID, v) }

// write keeps what is known of a volume or a snapshot.
func (d *driver) write(id string, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.file(id)+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(d.file(id)+".new", d.file(id))
}

// GetPluginInfo implements the interface.
func (d *driver) GetPluginInfo(context.Context, *csipb.GetPluginInfoRequest) (*csipb.GetPluginInfoResponse, error) {
	return &csipb.GetPluginInfoResponse{Name: d.name, VendorVersion: "1"}, nil
}

// GetPluginCapabilities implements the interface.
func (d *driver) GetPluginCapabilities(context.Context, *csipb.GetPluginCapabilitiesRequest) (*csipb.GetPluginCapabilitiesResponse, error) {
	service := func(t csipb.PluginCapability_Service_Type) *csipb.PluginCapability {
		return &csipb.PluginCapability{Type: &csipb.PluginCapability_Service_{Service: &csipb.PluginCapability_Service{Type: t}}}
	}
	return &csipb.GetPluginCapabilitiesResponse{Capabilities: []*csipb.PluginCapability{
		service(csipb.PluginCapability_Service_CONTROLLER_SERVICE), service(csipb.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS),
		{Type: &csipb.PluginCapability_VolumeExpansion_{VolumeExpansion: &csipb.PluginCapability_VolumeExpansion{Type: csipb.PluginCapability_VolumeExpansion_ONLINE}}},
	}}, nil
}

// Probe implements the interface.
func (d *driver) Probe(context.Context, *csipb.ProbeRequest) (*csipb.ProbeResponse, error) {
	return &csipb.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}
