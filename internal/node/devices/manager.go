package devices

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/node/topology"

	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Config of a Manager.
type Config struct {
	Dir string // of the sockets and the checkpoint: /var/lib/kubelet/device-plugins
	// Nodes are the machine's NUMA nodes; asked only when a plugin's devices say where they are.
	Nodes func() []int
	// Affinity says on which NUMA nodes a container is to be.
	Affinity func(pod types.UID, container string) topology.Hint
	// Changed is told that the node's capacity may have changed, and of the pods that have devices whose health has.
	Changed func(pods []types.UID)
	Log     *slog.Logger
}

// Manager knows the devices of the node, and who has which.
//
// Invariant of mu: a device of given is in no second container but one that took it over from an init container of its pod. The
// checkpoint says the same once the call that changed it has returned. Plugins are called without the lock; Allocate is called for
// one container at a time, so that nothing is given out meanwhile.
type Manager struct {
	cfg  Config
	path string         // of the checkpoint
	wait sync.WaitGroup // goroutines of plugins

	mu struct {
		sync.Mutex
		offers map[string]*offer
		given  table
		reuse  map[types.UID]map[string]set // what init containers of the pod that is being admitted leave to later ones, by resource
	}
}

// offer is what plugins have under the name of one resource.
type offer struct {
	plugins []*plugin // the last one is asked; none: they are gone, or have not come back since the kubelet was started
	stopped time.Time // since when there are none
	devices map[string]*pluginapi.Device
	healthy set
}

// New makes a manager, and takes over what its checkpoint says. One that cannot be read is said and passed over: devices of containers
// that run may then be given out a second time, which plugins notice.
func New(cfg Config) *Manager {
	m := &Manager{cfg: cfg, path: filepath.Join(cfg.Dir, File)}
	m.mu.offers, m.mu.given, m.mu.reuse = map[string]*offer{}, table{}, map[types.UID]map[string]set{}
	if err := m.restore(); err != nil {
		cfg.Log.Error("checkpoint of devices not read: what they were given to is not known", "error", err)
	}
	return m
}

// add takes a plugin that has been reached.
func (m *Manager) add(p *plugin) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.mu.offers[p.resource]
	if r == nil {
		r = &offer{healthy: set{}}
		m.mu.offers[p.resource] = r
	}
	if slices.ContainsFunc(r.plugins, func(o *plugin) bool { return o.socket == p.socket }) {
		return fmt.Errorf("%w: %s", errConnected, p.socket)
	}
	r.plugins, r.stopped = append(r.plugins, p), time.Time{}
	m.cfg.Log.Info("device plugin registered", "resource", p.resource, "socket", p.socket)
	return nil
}

// remove drops a plugin that is gone. The devices of a resource without plugins are not healthy.
func (m *Manager) remove(p *plugin) {
	m.mu.Lock()
	r := m.mu.offers[p.resource]
	if r != nil {
		r.plugins = slices.DeleteFunc(r.plugins, func(o *plugin) bool { return o == p })
		if len(r.plugins) == 0 {
			r.healthy, r.stopped = set{}, time.Now()
		}
	}
	m.mu.Unlock()
	m.cfg.Changed(nil)
}

// listed takes over the devices that a plugin has now.
func (m *Manager) listed(name string, list []*pluginapi.Device) {
	m.mu.Lock()
	r := m.mu.offers[name]
	if r == nil {
		m.mu.Unlock()
		return
	}
	var told []types.UID
	old := r.devices
	r.devices, r.healthy = map[string]*pluginapi.Device{}, set{}
	for _, d := range list {
		r.devices[d.ID] = d
		if d.Health == pluginapi.Healthy {
			r.healthy[d.ID] = struct{}{}
		}
		if was, known := old[d.ID]; !known || was.Health != d.Health {
			if pod, has := m.mu.given.owner(name, d.ID); has {
				told = append(told, pod)
			}
		}
	}
	m.saveLocked()
	m.mu.Unlock()
	m.cfg.Changed(told)
}

// asked is the plugin of a resource that is called.
func (r *offer) asked() (*plugin, bool) {
	if r == nil || len(r.plugins) == 0 {
		return nil, false
	}
	return r.plugins[len(r.plugins)-1], true
}

// knownLocked reports whether a resource is one of device plugins.
func (m *Manager) knownLocked(name string) bool {
	return m.mu.offers[name] != nil || len(m.mu.given.taken(name)) > 0
}

// Idle reports whether no plugin has ever come.
func (m *Manager) Idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.offers) == 0 && len(m.mu.given) == 0
}

// Keep takes back the devices of all pods but those that keep names.
func (m *Manager) Keep(keep func(types.UID) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	for pod := range m.mu.given {
		if !keep(pod) {
			delete(m.mu.given, pod)
			changed = true
		}
	}
	if changed {
		m.saveLocked()
	}
}
