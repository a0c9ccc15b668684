package claims

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// Config of a Manager.
type Config struct {
	Dir  string // the kubelet's root directory
	Node string
	Hub  client.Interface
	Wake func(types.UID) // a pod's devices have changed
	Log  *slog.Logger
}

// Manager is the node's. claims and drivers are guarded by mu; the checkpoint is written with it held, and no driver is called.
type Manager struct {
	cfg    Config
	path   string
	ctx    context.Context // of Run; ends connections and streams
	end    context.CancelFunc
	wait   sync.WaitGroup
	health health

	mu struct {
		sync.Mutex
		claims  map[string]*claim
		drivers map[string][]*driver // in the order in which they came
		wipes   map[string]*time.Timer
	}
}

// New makes a manager, and takes over what an earlier run prepared.
func New(cfg Config) (*Manager, error) {
	m := &Manager{cfg: cfg, path: filepath.Join(cfg.Dir, File)}
	all, err := load(m.path)
	if err != nil {
		return nil, err
	}
	m.mu.claims, m.mu.drivers, m.mu.wipes = all, map[string][]*driver{}, map[string]*time.Timer{}
	m.ctx, m.end = context.WithCancel(context.Background())
	return m, nil
}

// Run ends everything when ctx ends. At first it deletes the slices that drivers of an earlier run left: those that are there publish them
// again.
func (m *Manager) Run(ctx context.Context) {
	if !client.IsEmpty(m.cfg.Hub, client.ResourceSlices) {
		m.wipe(ctx, "")
	}
	<-ctx.Done()
	m.mu.Lock()
	for _, t := range m.mu.wipes {
		t.Stop()
	}
	m.mu.Unlock()
	m.end()
	m.wait.Wait()
}

// Has reports whether anything is prepared for a pod.
func (m *Manager) Has(pod types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.mu.claims {
		if c.PodUIDs.Has(string(pod)) {
			return true
		}
	}
	return false
}

// Keep takes back what pods have that keep does not name, until that is done or ctx ends.
func (m *Manager) Keep(ctx context.Context, keep func(types.UID) bool) {
	gone := map[types.UID]bool{}
	m.mu.Lock()
	for _, c := range m.mu.claims {
		for uid := range c.PodUIDs {
			if !keep(types.UID(uid)) {
				gone[types.UID(uid)] = true
			}
		}
	}
	m.mu.Unlock()
	for uid := range gone {
		m.wait.Go(func() {
			for pause := time.Second; ; pause = min(2*pause, time.Minute) {
				err := m.Unprepare(ctx, uid)
				if err == nil {
					return
				}
				m.cfg.Log.Info("devices of a pod that is gone not taken back, trying again", "uid", uid, "error", err)
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause):
				}
			}
		})
	}
}

// podClaims are a pod's claims by the names that its containers use; the one that was made for extended resources is last, under "".
func podClaims(pod *corev1.Pod) []corev1.PodResourceClaim {
	out := pod.Spec.ResourceClaims
	if s := pod.Status.ExtendedResourceClaimStatus; s != nil {
		out = append(out[:len(out):len(out)], corev1.PodResourceClaim{ResourceClaimName: &s.ResourceClaimName})
	}
	return out
}

// read gets a pod's claim from the hub, if it is one, and checks that the pod may use it.
func (m *Manager) read(ctx context.Context, pod *corev1.Pod, want *corev1.PodResourceClaim) (*resourcev1.ResourceClaim, error) {
	name, own, err := resourceclaim.Name(pod, want)
	if err != nil || name == nil {
		return nil, err
	}
	k, err := client.Get[*resourcev1.ResourceClaim](ctx, m.cfg.Hub, client.ResourceClaims, pod.Namespace, *name)
	if err != nil {
		return nil, fmt.Errorf("fetch ResourceClaim %s: %w", *name, err)
	}
	if own {
		if err := resourceclaim.IsForPod(pod, k, false); err != nil {
			return nil, err
		}
	}
	if !resourceclaim.IsReservedForPod(pod, k, false) {
		return nil, fmt.Errorf("pod %s (%s) is not allowed to use ResourceClaim %s (%s)", pod.Name, pod.UID, *name, k.UID)
	}
	return k, nil
}
