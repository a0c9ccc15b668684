package csi

import (
	"context"
	"time"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"k8s.io/apimachinery/pkg/types"
)

// Usage is how full a volume is: bytes and inodes.
type Usage struct {
	Total, Used, Free              int64
	Inodes, InodesUsed, InodesFree int64
	At                             time.Time
}

// statsEvery is how long a driver's figures are kept.
const statsEvery = time.Minute

// Usage asks the driver how full a pod's volume is; spec is the name of the persistent volume, or of an inline one in the pod. ok is false
// where there is none, or the driver does not say.
func (m *Manager) Usage(ctx context.Context, uid types.UID, spec string) (u Usage, ok bool) {
	m.mu.Lock()
	p := m.mu.published[user{uid, escaped(spec)}]
	if p == nil || p.stats != nil && time.Since(p.read) < statsEvery {
		defer m.mu.Unlock()
		if p == nil {
			return u, false
		}
		return *p.stats, true
	}
	k, path := p.key, p.result.Path+p.result.Device
	m.mu.Unlock()
	d, err := m.driver(k.driver)
	if err != nil {
		return u, false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if tells, err := d.can(ctx, csipb.NodeServiceCapability_RPC_GET_VOLUME_STATS); err != nil || !tells {
		return u, false
	}
	r, err := d.api.NodeGetVolumeStats(ctx, &csipb.NodeGetVolumeStatsRequest{VolumeId: k.handle, VolumePath: path})
	if err != nil || len(r.GetUsage()) == 0 {
		return u, false
	}
	u = usage(r.Usage)
	u.At = time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	p.stats, p.read = &u, u.At
	return u, true
}

func usage(list []*csipb.VolumeUsage) (u Usage) {
	for _, one := range list {
		switch one.GetUnit() {
		case csipb.VolumeUsage_BYTES:
			u.Total, u.Used, u.Free = one.Total, one.Used, one.Available
		case csipb.VolumeUsage_INODES:
			u.Inodes, u.InodesUsed, u.InodesFree = one.Total, one.Used, one.Available
		}
	}
	return u
}
