package podhost

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/volume"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// figures are the runtime's of all containers, by pod, and when it gave them. They belong to the goroutine of Run.
type figures struct {
	at    time.Time
	byPod map[types.UID][]*cri.ContainerStats
}

// measure is what a pod uses, its files only where disk asks for them: walking them takes a while.
func (m *Machine) measure(ctx context.Context, pod *corev1.Pod, disk bool) evict.Usage {
	u, ok := m.cfg.Cgroups.Usage(podspec.Cgroup(pod))
	out := evict.Usage{Known: ok, Memory: int64(u.WorkingSet), Processes: int64(u.Pids)}
	for _, s := range m.figuresOf(ctx, pod.UID) {
		c := evict.ContainerUsage{Name: s.GetAttributes().GetMetadata().GetName(), Memory: int64(s.GetMemory().GetWorkingSetBytes().GetValue())}
		if disk {
			l := s.GetWritableLayer()
			c.Rootfs = evict.FS{Bytes: int64(l.GetUsedBytes().GetValue()), Inodes: int64(l.GetInodesUsed().GetValue())}
			c.Logs = m.Logs(pod, c.Name)
		}
		out.Containers = append(out.Containers, c)
	}
	if disk {
		out.Volumes = m.Volumes(pod)
	}
	return out
}

// Logs is what the logs of a container take of the disk.
func (m *Machine) Logs(pod *corev1.Pod, container string) evict.FS {
	return du(filepath.Join(m.cfg.PodLogs(pod), container))
}

// Volumes are what a pod's volumes take of the node's disk, those that live there with the pod.
func (m *Machine) Volumes(pod *corev1.Pod) map[string]evict.FS {
	out := map[string]evict.FS{}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		dir := ""
		switch {
		case v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumDefault:
			dir = "empty-dir"
		case v.ConfigMap != nil:
			dir = "configmap"
		default:
			continue // not on the node's disk, or not the pod's
		}
		out[v.Name] = du(filepath.Join(m.cfg.pod(pod.UID), "volumes", "kubernetes.io~"+dir, v.Name))
	}
	return out
}

// ClaimedVolumes says how full the volumes are that a pod's claims have, and those of CSI drivers.
func (m *Machine) ClaimedVolumes(ctx context.Context, pod *corev1.Pod) []volume.Usage {
	return m.volumes.Usage(ctx, pod)
}

// figuresOf asks the runtime once for each look at the pods.
func (m *Machine) figuresOf(ctx context.Context, uid types.UID) []*cri.ContainerStats {
	if now := time.Now(); now.Sub(m.figures.at) > evict.Every/2 {
		list, err := m.cfg.Runtime.Stats(ctx)
		if err != nil {
			return nil
		}
		m.figures = figures{at: now, byPod: map[types.UID][]*cri.ContainerStats{}}
		for _, s := range list {
			pod := types.UID(s.GetAttributes().GetLabels()[runtime.LabelPodUID])
			m.figures.byPod[pod] = append(m.figures.byPod[pod], s)
		}
	}
	return m.figures.byPod[uid]
}

// du is what a folder takes of the disk it is on. Files with several names count once; what is mounted in it does not.
func du(dir string) (sum evict.FS) {
	top, err := os.Lstat(dir)
	if err != nil {
		return sum
	}
	disk := top.Sys().(*syscall.Stat_t).Dev
	seen := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has gone meanwhile
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case !ok:
			return nil
		case st.Dev != disk && d.IsDir():
			return fs.SkipDir
		case st.Dev != disk:
			return nil
		case st.Nlink > 1 && !d.IsDir():
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
		}
		sum.Bytes += st.Blocks * 512
		sum.Inodes++
		return nil
	})
	return sum
}

// observe reads the machine's signals.
func (m *Machine) observe() evict.Observed {
	out := evict.Observed{}
	images := m.imageFS()
	for signal, path := range map[string]string{
		evict.MemoryAvailable: "", evict.PIDAvailable: "", evict.NodeFSAvailable: m.cfg.Root, evict.NodeFSInodesFree: m.cfg.Root,
		evict.ImageFSAvailable: images, evict.ImageFSInodesFree: images, evict.ContainerFSAvailable: images, evict.ContainerFSInodesFree: images,
	} {
		if s, ok := evict.Read(signal, path); ok {
			out[signal] = s
		}
	}
	if m.cfg.PodMemory != nil {
		if u, ok := m.cfg.Cgroups.AllPods(); ok {
			all := m.cfg.PodMemory()
			out[evict.AllocatableMemoryAvailable] = evict.Signals{Available: all - int64(u.WorkingSet), Capacity: all}
		}
	}
	return out
}

// imageFS is a path on the file system of images, asked of the runtime until it says.
func (m *Machine) imageFS() string {
	if m.images == "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		list, err := m.cfg.Runtime.ImageFS(ctx)
		if err != nil || len(list) == 0 || list[0].GetFsId().GetMountpoint() == "" {
			return m.cfg.Root
		}
		m.images = list[0].GetFsId().GetMountpoint()
	}
	return m.images
}

// disks says whether images have a file system of their own.
func (m *Machine) disks() evict.Disks {
	var a, b unix.Stat_t
	apart := unix.Stat(m.cfg.Root, &a) == nil && unix.Stat(m.imageFS(), &b) == nil && a.Dev != b.Dev
	return evict.Disks{Images: apart}
}
