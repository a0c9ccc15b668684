package evict

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// FS is what something takes of a file system.
type FS struct{ Bytes, Inodes int64 }

func (a FS) plus(b FS) FS { return FS{a.Bytes + b.Bytes, a.Inodes + b.Inodes} }

// Usage is what a pod uses. Known is false for one of which nothing can be measured: such pods are evicted first.
type Usage struct {
	Known      bool
	Memory     int64 // working set
	Processes  int64
	Containers []ContainerUsage
	Volumes    map[string]FS // those that live on the node's disk: emptyDir, configMap …, hostPath not
}

// ContainerUsage is what a container uses.
type ContainerUsage struct {
	Name         string
	Memory       int64 // working set
	Rootfs, Logs FS
}

// Pod is a pod that may be evicted.
type Pod struct {
	*corev1.Pod
	Usage Usage
}

// Disks says which of a pod's files count against which file system.
type Disks struct {
	Images bool // images and containers' writable layers are on a file system of their own
}

// parts says what of a pod a signal is about.
func (d Disks) parts(signal string) (rootfs, logsAndVolumes bool) {
	if !d.Images {
		return true, true
	}
	switch signal {
	case ImageFSAvailable, ImageFSInodesFree, ContainerFSAvailable, ContainerFSInodesFree:
		return true, false
	}
	return false, true
}

func (p *Pod) disk(rootfs, logsAndVolumes bool) (sum FS) {
	for _, c := range p.Usage.Containers {
		if rootfs {
			sum = sum.plus(c.Rootfs)
		}
		if logsAndVolumes {
			sum = sum.plus(c.Logs)
		}
	}
	if logsAndVolumes {
		for _, v := range p.Usage.Volumes {
			sum = sum.plus(v)
		}
	}
	return sum
}

// Rank sorts pods by which is to be evicted first when a signal's threshold is crossed, as upstream does
// (pkg/kubelet/eviction/helpers.go): for memory and disk those that use more than they ask for, then by priority, then by how much they use
// beyond what they ask for; for processes by priority and by how many they have.
func Rank(pods []Pod, signal string, d Disks) {
	resource := resourceOf[signal]
	rootfs, rest := d.parts(signal)
	usage := func(p *Pod) int64 {
		switch resource {
		case corev1.ResourceMemory:
			return p.Usage.Memory
		case processes:
			return p.Usage.Processes
		case inodes:
			return p.disk(rootfs, rest).Inodes
		}
		return p.disk(rootfs, rest).Bytes
	}
	asks := func(p *Pod, name corev1.ResourceName) int64 {
		list := resourcehelper.PodRequests(p.Pod, resourcehelper.PodResourcesOptions{})
		q := list[name]
		return q.Value()
	}
	beyond := resource // of inodes nobody can ask for any, so that the storage that is asked for counts
	if resource == inodes {
		beyond = corev1.ResourceEphemeralStorage
	}
	type entry struct {
		pod      Pod
		exceeds  bool
		priority int32
		over     int64
	}
	list := make([]entry, len(pods))
	for i := range pods {
		p := &pods[i]
		e := entry{pod: *p, priority: priority(p.Pod)}
		if resource == processes {
			e.over = usage(p)
		} else {
			e.exceeds, e.over = usage(p) > asks(p, resource), usage(p)-asks(p, beyond)
		}
		list[i] = e
	}
	slices.SortStableFunc(list, func(a, b entry) int {
		if a.pod.Usage.Known != b.pod.Usage.Known {
			return first(!a.pod.Usage.Known)
		}
		if a.exceeds != b.exceeds {
			return first(a.exceeds)
		}
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(b.over, a.over))
	})
	for i := range list {
		pods[i] = list[i].pod
	}
}

// first is the comparison of two of which one goes first.
func first(a bool) int {
	if a {
		return -1
	}
	return 1
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}
