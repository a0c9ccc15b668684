package evict

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How often the machine is looked at, and how long an evicted pod is waited for before the next may be (upstream's numbers).
const (
	Every       = 10 * time.Second
	cleanupWait = 30 * time.Second
)

// Config is what the manager needs.
type Config struct {
	Settings
	// Read reads the machine's signals.
	Read func() Observed
	// Disks says how the machine's file systems are used.
	Disks func() Disks
	// Active are the pods that run or are to run, as the node has agreed to them.
	Active func() []*corev1.Pod
	// Measure is what a pod uses; disks are walked only when they are asked for.
	Measure func(ctx context.Context, pod *corev1.Pod, disk bool) Usage
	// Reclaim frees disk space without evicting anybody: dead containers and unused images.
	Reclaim func(ctx context.Context)
	// Evict ends a pod for what signal tells of. Grace is in seconds.
	Evict func(uid types.UID, signal, message string, grace int64, disruption bool)
	// Gone reports whether nothing of a pod runs any more.
	Gone func(uid types.UID) bool
	// Tell records an event about the node.
	Tell func(reason, message string)
	Log  *slog.Logger
}

// Manager looks at the machine, tells of its pressure and evicts pods. Look is called by one goroutine; Pressure by any.
type Manager struct {
	cfg   Config
	state *State

	evicted types.UID // the pod that is waited for
	until   time.Time

	mu       sync.Mutex
	pressure Pressure
}

// NewManager reads the thresholds.
func NewManager(cfg Config) (*Manager, error) {
	thresholds, err := cfg.Thresholds()
	if err != nil {
		return nil, err
	}
	if cfg.Transition == 0 {
		cfg.Transition = hold
	}
	return &Manager{cfg: cfg, state: NewState(thresholds, cfg.Transition)}, nil
}

// Pressure is what the machine was short of at the last look.
func (m *Manager) Pressure() Pressure {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pressure
}

// Look looks at the machine and acts: first upon pods that have exceeded limits of their own, then upon what the node is short of, for which
// it evicts one pod at a time.
func (m *Manager) Look(ctx context.Context) {
	now := time.Now()
	seen := m.cfg.Read()
	met, pressure := m.state.Look(now, seen)
	m.mu.Lock()
	m.pressure = pressure
	m.mu.Unlock()
	active := m.cfg.Active()
	if m.limits(ctx, active) || len(met) == 0 || m.waits(now) {
		return
	}
	t := met[0]
	name := resourceOf[t.Signal]
	m.cfg.Tell("EvictionThresholdMet", "Attempting to reclaim "+string(name))
	disk := name == corev1.ResourceEphemeralStorage || name == inodes
	if disk && m.reclaims(t.Signal) {
		m.cfg.Reclaim(ctx)
		if m.state.Relieved(m.cfg.Read()) {
			return
		}
	}
	list := make([]Pod, 0, len(active))
	for _, pod := range active {
		list = append(list, Pod{pod, m.cfg.Measure(ctx, pod, disk)})
	}
	Rank(list, t.Signal, m.cfg.Disks())
	for i := range list {
		if pods.IsCritical(list[i].Pod) {
			continue
		}
		grace := int64(1)
		if t.Grace > 0 {
			grace = m.cfg.MaxGrace
			if own := list[i].Spec.TerminationGracePeriodSeconds; own != nil {
				grace = min(grace, *own)
			}
		}
		m.evict(&list[i], t.Signal, message(&list[i], t, met, seen), grace, true)
		m.evicted, m.until = list[i].UID, now.Add(cleanupWait)
		return
	}
}

// reclaims reports whether there is something to reclaim on the file system of a signal.
func (m *Manager) reclaims(signal string) bool {
	rootfs, _ := m.cfg.Disks().parts(signal)
	return rootfs
}

// waits reports whether an evicted pod still runs, so that what it gives back is not known yet.
func (m *Manager) waits(now time.Time) bool {
	if m.evicted == "" || m.cfg.Gone(m.evicted) || now.After(m.until) {
		m.evicted = ""
		return false
	}
	return true
}

// limits evicts pods that have exceeded limits of local storage, and reports whether there were any.
func (m *Manager) limits(ctx context.Context, active []*corev1.Pod) (any bool) {
	for _, pod := range active {
		if !Limited(pod) || pods.IsCritical(pod) {
			continue
		}
		p := Pod{pod, m.cfg.Measure(ctx, pod, true)}
		if signal, text := Exceeds(&p, m.cfg.Disks()); text != "" {
			m.evict(&p, signal, text, 1, false)
			any = true
		}
	}
	return any
}

func (m *Manager) evict(p *Pod, signal, text string, grace int64, disruption bool) {
	m.cfg.Log.Info("evicting a pod", "pod", pods.Describe(p.Pod), "message", text)
	m.cfg.Evict(p.UID, signal, text, grace, disruption)
}
