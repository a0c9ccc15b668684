package csi

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Config of a Manager.
type Config struct {
	Root string // of the kubelet: /var/lib/kubelet
	Node string // its name
	Hub  client.Interface

	Current func() (*corev1.Node, bool) // the node as the hub has it
	Look    func()                      // has the node's status looked at: which volumes are in use has changed
	// Registered is told of each driver that has come: what failed for want of it is to be tried again.
	Registered func(driver string)
	// Took is told of each call of a driver: the method's full name, how it ended, and how long that took. It may be nil.
	Took       func(driver, method, code string, d time.Duration)
	PodEvent   func(pod *corev1.Pod, kind, reason, format string, args ...any)
	ClaimEvent func(claim *corev1.PersistentVolumeClaim, kind, reason, format string, args ...any)
	Log        *slog.Logger
}

const (
	callLimit   = 2 * time.Minute               // for one call of a driver
	attachLimit = 2*time.Minute + 3*time.Second // for the control plane to attach a volume
)

// Manager makes volumes of drivers present.
//
// Invariant of mu: a volume is in volumes from before the first call of a driver about it until it is unstaged and nobody has it. Who is
// among its users has, or may have, a mount of it on this node; files on the disk say the same to the next kubelet. Drivers are called
// without the lock: one call goes on for each volume at a time, by its gate.
type Manager struct {
	cfg  Config
	at   layout
	life context.Context //nolint:containedctx // the kubelet's: unmounting goes on when the pod's own has ended

	mu struct {
		sync.Mutex
		drivers   map[string]*driver
		volumes   map[key]*volume
		published map[user]*publication
		changed   chan struct{} // closed when the node has changed in the hub
		csiNode   types.UID     // of the node for which there is a CSINode
	}
	announcing sync.Mutex // one write of the CSINode and the node goes on at a time
	wg         sync.WaitGroup
}

// key names a volume.
type key struct{ driver, handle string }

// unique is the volume's name in the status of nodes.
func (k key) unique() corev1.UniqueVolumeName {
	return volumes.CSIName(k.driver, k.handle)
}

// user is a volume of a pod, by the name of its folder.
type user struct {
	pod  types.UID
	spec string
}

// volume is one that pods of the node have. Fields before gate belong to Manager.mu, those after it to who has put the one element into gate and
// so may call the driver.
type volume struct {
	users    map[user]bool
	attach   bool // the control plane attaches it
	restored bool // an earlier run left it: whether it is attached is as the node's status says

	gate   chan struct{}
	staged bool  // by this run
	size   int64 // in bytes, that it is known to have on this node; 0: not known
}

// publication is what this run has published for a pod.
type publication struct {
	result Result
	key    key
	again  time.Time // when to look at the volume again; zero: never
	stats  *Usage
	read   time.Time // when stats were
}

// New makes a manager that knows who has which volume, of what an earlier run left on the disk.
func New(cfg Config) (*Manager, error) {
	m := &Manager{cfg: cfg, at: layout(cfg.Root), life: context.Background()}
	m.mu.drivers, m.mu.volumes, m.mu.published = map[string]*driver{}, map[key]*volume{}, map[user]*publication{}
	m.mu.changed = make(chan struct{})
	return m, m.restore()
}

// Begin says how long the manager lives.
func (m *Manager) Begin(ctx context.Context) { m.life = ctx }

// Wait waits for the manager's goroutines, and closes the connections to drivers.
func (m *Manager) Wait() {
	m.wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.mu.drivers {
		d.conn.Close()
	}
}

// use notes that a pod is about to have a volume.
func (m *Manager) use(k key, u user, attach bool) *volume {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.mu.volumes[k]
	if v == nil {
		v = &volume{gate: make(chan struct{}, 1), users: map[user]bool{}}
		m.mu.volumes[k] = v
	}
	v.users[u] = true
	if attach && (!v.attach || v.restored) {
		defer m.cfg.Look()
	}
	v.attach, v.restored = attach, false
	return v
}

// enter waits for the right to call the driver about a volume; leave gives it back.
func (v *volume) enter(ctx context.Context) error {
	select {
	case v.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *volume) leave() { <-v.gate }

// InUse are the volumes that the control plane must not detach, in order; last are those of the node's status.
func (m *Manager) InUse(last []corev1.UniqueVolumeName) []corev1.UniqueVolumeName {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []corev1.UniqueVolumeName
	for k, v := range m.mu.volumes {
		if name := k.unique(); v.attach || v.restored && slices.Contains(last, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Due is when the first of a pod's volumes is to be looked at again; ok is false when none is.
func (m *Manager) Due(uid types.UID) (at time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for u, p := range m.mu.published {
		if u.pod == uid && !p.again.IsZero() && (!ok || p.again.Before(at)) {
			at, ok = p.again, true
		}
	}
	return at, ok
}

// NodeChanged is to be called when the node has changed in the hub. It makes the CSINode of a node that is new.
func (m *Manager) NodeChanged(node *corev1.Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.mu.changed)
	m.mu.changed = make(chan struct{})
	if node.UID == m.mu.csiNode || m.life.Err() != nil {
		return
	}
	m.mu.csiNode = node.UID
	m.wg.Go(func() { m.makeCSINode(m.life, node.UID) })
}

// change is closed at the next change of the node.
func (m *Manager) change() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.changed
}
