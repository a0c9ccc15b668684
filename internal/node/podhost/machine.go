package podhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/object"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Config describes what a machine gives to pods.
type Config struct {
	Paths
	ClusterDomain string
	PodPids       int64   // of a pod's control group; -1: no limit
	PageSizes     []int64 // of huge pages that the kernel knows, in bytes
	Memory        podspec.MemoryRules
	// OwnCPUs reports whether any container of a pod has CPUs to itself; nil: none has. Such a pod has no limit of CPU.
	OwnCPUs func(uid types.UID) bool
	// Held is a pod with what its containers are held to, which differs from what it was given while it is resized; nil: it never does.
	Held  func(pod *corev1.Pod) *corev1.Pod
	Evict evict.Settings
	// Evictions are who may be evicted, and how; its settings and what it reads are the machine's own.
	Evictions evict.Config
	// Collect removes images where there are too many; it is called every five minutes.
	Collect     func(ctx context.Context)
	PodMemory   func() int64 // that all pods together may use, in bytes; nil: it is not known
	LogMaxSize  int64        // a larger log file is rotated
	LogMaxFiles int          // of a container, the current one among them
	Log         *slog.Logger

	Runtime runtime.Interface
	Cgroups *cgroup.Manager
	Objects *object.Reader // registers the objects that a pod's volumes show
	Volumes volume.Sources
}

// Machine is a real machine. Calls for one pod must not overlap; all else every goroutine may call.
type Machine struct {
	cfg       Config
	volumes   *volume.Manager
	evictions *evict.Manager
	figures   figures
	images    string // a path on the file system of images, once it is known
}

// New makes the root directory if there is none.
func New(cfg Config) (*Machine, error) {
	if err := os.MkdirAll(cfg.Root, 0o750); err != nil {
		return nil, err
	}
	root, err := filepath.EvalSymlinks(cfg.Root) // mountinfo names real paths
	if err != nil {
		return nil, err
	}
	cfg.Root = root
	m := &Machine{cfg: cfg, volumes: volume.New(cfg.Pods(), cfg.Volumes)}
	e := cfg.Evictions
	e.Settings, e.Read, e.Disks, e.Measure, e.Log = cfg.Evict, m.observe, m.disks, m.measure, cfg.Log
	if m.evictions, err = evict.NewManager(e); err != nil {
		return nil, err
	}
	return m, nil
}

// Pressure is what the machine is short of.
func (m *Machine) Pressure() evict.Pressure { return m.evictions.Pressure() }

// ImageSpace is what the file system of images has, in bytes.
func (m *Machine) ImageSpace() (evict.Signals, bool) {
	return evict.Read(evict.ImageFSAvailable, m.imageFS())
}

// Failure says what of a pod could not be made, with the reason of the event that tells so.
type Failure struct {
	Reason string
	Err    error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Prepare makes what a pod needs before its sandbox: its control group, directories and volumes, which it returns by name. An
// error is a *Failure.
func (m *Machine) Prepare(ctx context.Context, pod *corev1.Pod) (map[string]volume.Mounted, error) {
	group := podspec.Cgroup(pod)
	if m.cfg.Held != nil { // who was killed while it resized the pod left containers that are yet to be narrowed, and the group after them
		group = group.Widened(podspec.Cgroup(m.cfg.Held(pod)))
	}
	group.Pids, group.HugePages = m.cfg.PodPids, podspec.PodHugePages(pod, m.cfg.PageSizes)
	m.cfg.Memory.Reserve(&group, pod)
	if m.cfg.OwnCPUs != nil && m.cfg.OwnCPUs(pod.UID) {
		group.CPULimitMilli = 0 // it cannot use more than its CPUs
	}
	if err := m.cfg.Cgroups.Ensure(group); err != nil {
		return nil, &Failure{"FailedCreatePodContainer", fmt.Errorf("unable to ensure pod container exists: %w", err)}
	}
	dir := m.cfg.pod(pod.UID)
	for _, d := range []string{dir, filepath.Join(dir, "volumes"), filepath.Join(dir, "plugins")} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return nil, &Failure{"Failed", fmt.Errorf("error making pod data directories: %w", err)}
		}
	}
	m.cfg.Objects.Register(pod)
	m.cfg.Objects.Changed(pod.UID, pod.ResourceVersion)
	mounted, err := m.volumes.Mount(ctx, pod)
	if err != nil {
		return nil, &Failure{"FailedMount", err}
	}
	return mounted, nil
}

// Stale reports whether the contents of a pod's volumes are to be renewed at now, because an object that they show, the pod itself
// or a token's age calls for it. Else it returns when to ask again though nothing has changed; zero: never.
func (m *Machine) Stale(pod *corev1.Pod, now time.Time) (again time.Time, stale bool) {
	at, ok := m.volumes.Refresh(pod.UID)
	if m.cfg.Objects.Changed(pod.UID, pod.ResourceVersion) || ok && !now.Before(at) {
		return time.Time{}, true
	}
	return at, false
}

// Renew renews the contents of a pod's volumes. After an error they are stale again.
func (m *Machine) Renew(ctx context.Context, pod *corev1.Pod) error {
	_, err := m.volumes.Mount(ctx, pod)
	if err != nil && ctx.Err() == nil {
		m.cfg.Objects.Again(pod.UID)
	}
	return err
}

// Dismantle takes away the volumes and the control group of a pod of which nothing runs.
func (m *Machine) Dismantle(pod *corev1.Pod) error {
	if err := errors.Join(m.volumes.Unmount(pod.UID), m.cfg.Cgroups.Remove(podspec.Cgroup(pod))); err != nil {
		return err
	}
	m.cfg.Objects.Unregister(pod.UID)
	return nil
}

// Clear removes the directories and logs of a pod that was dismantled.
func (m *Machine) Clear(pod *corev1.Pod) error {
	return errors.Join(m.clear(pod.UID), os.RemoveAll(m.cfg.PodLogs(pod)))
}

func (m *Machine) clear(uid types.UID) error {
	if err := m.volumes.Unmount(uid); err != nil {
		return err
	}
	return os.RemoveAll(m.cfg.pod(uid))
}

// Sweep removes the control groups and directories of all pods but those that are known: an earlier run of the kubelet left
// them. What cannot be removed stays, with a line in the log.
func (m *Machine) Sweep(known func(uid types.UID) bool) {
	for _, g := range m.cfg.Cgroups.Pods() { // with their processes, which may have the volumes open
		if uid := types.UID(g.UID); !known(uid) {
			if err := m.cfg.Cgroups.Remove(g); err != nil {
				m.cfg.Log.Warn("orphaned control group stays", "uid", uid, "error", err)
			}
		}
	}
	dirs, err := os.ReadDir(m.cfg.Pods())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.cfg.Log.Warn("pod directories not listed", "error", err)
	}
	for _, d := range dirs {
		if uid := types.UID(d.Name()); !known(uid) {
			if err := m.clear(uid); err != nil {
				m.cfg.Log.Warn("orphaned pod directory stays", "uid", uid, "error", err)
			}
		}
	}
}
