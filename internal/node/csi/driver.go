package csi

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/node/plugins"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	utilversion "k8s.io/apimachinery/pkg/util/version"
)

// driver is one that has registered.
type driver struct {
	name, endpoint string
	version        *utilversion.Version
	life           context.Context //nolint:containedctx // until its socket is gone
	counting       bool            // how many volumes it takes is asked again and again; Manager.mu
	conn           *grpc.ClientConn
	api            csipb.NodeClient

	asking sync.Mutex // held while the driver is asked what it can
	abled  bool
	able   []csipb.NodeServiceCapability_RPC_Type
}

var _ plugins.Handler = (*Manager)(nil)

// Validate implements plugins.Handler.
func (m *Manager) Validate(name, endpoint string, versions []string) error {
	if _, err := m.highest(name, versions); err != nil {
		return fmt.Errorf("validation failed for CSI Driver %s at endpoint %s: %w", name, endpoint, err)
	}
	return nil
}

// highest is the newest of a driver's versions that is worked with. A driver of the same name that is there must be older.
func (m *Manager) highest(name string, versions []string) (*utilversion.Version, error) {
	if len(versions) == 0 {
		return nil, fmt.Errorf("%s: driver %q failed. Plugin returned an empty list for supported versions", pluginName, name)
	}
	v, err := utilversion.HighestSupportedVersion(versions)
	if err != nil {
		return nil, fmt.Errorf("%s: driver %q failed. None of the versions specified %q are supported. err=%w", pluginName, name, versions, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if has := m.mu.drivers[name]; has != nil && !has.version.LessThan(v) {
		return nil, fmt.Errorf("%s: driver %q failed. Another driver with the same name is already registered with a higher supported version: %q", pluginName, name, has.version)
	}
	return v, nil
}

// Register implements plugins.Handler: it asks the driver what it calls this node and writes that to the hub.
func (m *Manager) Register(ctx context.Context, name, endpoint string, versions []string) error {
	version, err := m.highest(name, versions)
	if err != nil {
		return err
	}
	conn, err := plugins.Dial(endpoint)
	if err != nil {
		return err
	}
	d := &driver{name: name, endpoint: endpoint, version: version, life: ctx, conn: conn, api: csipb.NewNodeClient(timed{conn, name, m.cfg.Took})}
	asking, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	info, err := d.api.NodeGetInfo(asking, &csipb.NodeGetInfoRequest{}, grpc.WaitForReady(true))
	if err == nil {
		err = m.install(ctx, name, info)
	}
	if err != nil {
		conn.Close()
		return err
	}
	m.mu.Lock()
	old := m.mu.drivers[name]
	m.mu.drivers[name] = d
	m.mu.Unlock()
	if old != nil {
		old.conn.Close()
	}
	if obj, err := m.driverObject(ctx, name); err == nil {
		m.keepCount(ctx, d, obj)
	}
	m.tidy(ctx, name)
	if m.cfg.Registered != nil {
		m.cfg.Registered(name)
	}
	return nil
}

// Unregister implements plugins.Handler.
func (m *Manager) Unregister(ctx context.Context, name, endpoint string) {
	m.mu.Lock()
	d := m.mu.drivers[name]
	if d == nil || d.endpoint != endpoint {
		m.mu.Unlock()
		return
	}
	delete(m.mu.drivers, name)
	m.mu.Unlock()
	d.conn.Close()
	if err := m.uninstall(ctx, name); err != nil && ctx.Err() == nil {
		m.cfg.Log.Error("CSI driver stays in the CSINode", "driver", name, "error", err)
	}
}

// keepCount has a driver asked again, as often as its object says, how many volumes it takes on the node. It begins when that is first seen, and
// ends with the driver, or when the object says so no longer.
func (m *Manager) keepCount(ctx context.Context, d *driver, obj *storagev1.CSIDriver) {
	if countEvery(obj) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.counting || ctx.Err() != nil || d.life.Err() != nil {
		return
	}
	d.counting = true
	m.wg.Go(func() {
		for every := countEvery(obj); every > 0; {
			select {
			case <-d.life.Done():
				return
			case <-time.After(every):
			}
			if err := m.recount(d.life, d); err != nil && d.life.Err() == nil {
				m.cfg.Log.Warn("volumes that a CSI driver takes are not known", "driver", d.name, "error", err)
			}
			if obj, err := m.driverObject(d.life, d.name); err == nil {
				every = countEvery(obj)
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		d.counting = false
	})
}

// countEvery is how often a driver is to be asked how many volumes it takes; 0: never.
func countEvery(obj *storagev1.CSIDriver) time.Duration {
	if obj == nil || obj.Spec.NodeAllocatableUpdatePeriodSeconds == nil {
		return 0
	}
	return time.Duration(*obj.Spec.NodeAllocatableUpdatePeriodSeconds) * time.Second
}

// recount writes anew what a driver says of the node, if that has changed.
func (m *Manager) recount(ctx context.Context, d *driver) error {
	asking, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	info, err := d.api.NodeGetInfo(asking, &csipb.NodeGetInfoRequest{})
	if err != nil {
		return err
	}
	return m.setDriver(ctx, d.name, said(d.name, info))
}

// driver finds one that has registered.
func (m *Manager) driver(name string) (*driver, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.mu.drivers[name]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("driver name %s not found in the list of registered CSI drivers", name)
}

// can reports whether the driver has a capability. It is asked once.
func (d *driver) can(ctx context.Context, what csipb.NodeServiceCapability_RPC_Type) (bool, error) {
	d.asking.Lock()
	defer d.asking.Unlock()
	if !d.abled {
		r, err := d.api.NodeGetCapabilities(ctx, &csipb.NodeGetCapabilitiesRequest{})
		if err != nil {
			return false, err
		}
		for _, c := range r.GetCapabilities() {
			d.able = append(d.able, c.GetRpc().GetType())
		}
		d.abled = true
	}
	return slices.Contains(d.able, what), nil
}

// mode is what the interface calls an access mode. multi says that the driver tells several writers on a node from one.
func mode(m corev1.PersistentVolumeAccessMode, multi bool) csipb.VolumeCapability_AccessMode_Mode {
	switch {
	case m == corev1.ReadWriteOnce && multi:
		return csipb.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER
	case m == corev1.ReadWriteOncePod && multi:
		return csipb.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER
	case m == corev1.ReadWriteOnce, m == corev1.ReadWriteOncePod:
		return csipb.VolumeCapability_AccessMode_SINGLE_NODE_WRITER
	case m == corev1.ReadOnlyMany:
		return csipb.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY
	case m == corev1.ReadWriteMany:
		return csipb.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER
	}
	return csipb.VolumeCapability_AccessMode_UNKNOWN
}

// final reports whether a call that failed is over: else the driver may still be at it, and what it makes has to be undone.
func final(err error) bool {
	st, ok := status.FromError(err)
	if !ok {
		return false
	}
	switch st.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
		return false
	}
	return true
}
