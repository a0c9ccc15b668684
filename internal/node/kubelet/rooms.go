package kubelet

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/admit"
	"sampan.dev/internal/node/csi"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/image/provider"
	"sampan.dev/internal/node/metrics"
	"sampan.dev/internal/node/placement"
	"sampan.dev/internal/node/plugins"
	"sampan.dev/internal/node/resize"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/shutdown"
	"sampan.dev/internal/node/stats"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"
	statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// placementConfig describes the node to the room that gives out CPUs, memory and devices.
func (k *Kubelet) placementConfig() placement.Config {
	return placement.Config{
		Settings: k.cfg.Placement, Dir: k.cfg.RootDir, Machine: k.cfg.Hardware, Reserved: k.node.Reserved(), Runtime: k.rt, Log: k.cfg.Log,
		Pods: func() (out []*corev1.Pod) {
			for _, rec := range k.roster.all() {
				if pod, active := rec.active(); active {
					out = append(out, k.roster.given(pod))
				}
			}
			return out
		},
		Claims: func(pod *corev1.Pod, c *corev1.Container) []*podresourcesv1.DynamicResource {
			if k.dra == nil {
				return nil
			}
			return k.dra.Resources(pod, c)
		},
		Changed: func(pods []types.UID) {
			k.node.Look()
			for _, uid := range pods {
				k.roster.wake(uid)
			}
		},
	}
}

// devices is what device plugins add to the node.
func (k *Kubelet) devices() (capacity, allocatable corev1.ResourceList, gone []string) {
	if k.place == nil {
		return nil, nil, nil
	}
	return k.place.Capacity()
}

// admitPlaced gives a pod's containers their CPUs, memory and devices, before anything else is checked, as upstream does: a pod that lies
// apart is refused for that, even where it would not fit at all.
func (k *Kubelet) admitPlaced(ctx context.Context, pod *corev1.Pod) *admit.Rejection {
	if k.place == nil {
		return nil
	}
	if reason, message := k.place.Admit(ctx, pod); reason != "" {
		return &admit.Rejection{Reason: reason, Message: message}
	}
	return nil
}

// withRoom is the node with at least what has been given out, for a pod that has been placed.
func (k *Kubelet) withRoom(pod *corev1.Pod, node *corev1.Node) *corev1.Node {
	if k.place == nil {
		return node
	}
	roomy := *node
	roomy.Status.Allocatable = k.place.Room(pod.UID, node.Status.Allocatable)
	return &roomy
}

// release takes back what a pod was given.
func (b *base) release(uid types.UID) {
	if b.place != nil {
		b.place.Release(uid)
	}
}

// resizeConfig describes the node to the room that answers pods that ask for other resources.
func (k *Kubelet) resizeConfig() resize.Config {
	c := resize.Config{Alloc: k.alloc, Events: k.events, Log: k.cfg.Log,
		Pod: func(uid types.UID) resize.Pod {
			if rec := k.roster.get(uid); rec != nil {
				return rec
			}
			return nil
		},
		Fits: func(pod *corev1.Pod) (reason, message string) {
			if why := admit.Fits(pod, k.roster.others(pod.UID), k.withRoom(pod, k.node.Current())); why != nil {
				return why.Reason, why.Message
			}
			return "", ""
		},
	}
	if k.cfg.Machine == nil {
		c.Exclusive.CPUs, c.Exclusive.Memory = k.cfg.Placement.Exclusive()
	}
	return c
}

func (k *Kubelet) newActuator() *resize.Actuator {
	return &resize.Actuator{Runtime: k.rt, Cgroups: k.cgroups, Alloc: k.alloc, Memory: k.memory, Rules: k.cfg.Memory, Host: k.memoryHost,
		OwnCPUs: func(uid types.UID) bool { return k.place != nil && k.place.OwnCPUs(uid) }}
}

// evictions says who may be evicted, and how.
func (k *Kubelet) evictions() evict.Config {
	return evict.Config{
		Active: func() (out []*corev1.Pod) {
			for _, rec := range k.roster.all() {
				if pod, active := rec.active(); active && pod.DeletionTimestamp == nil {
					out = append(out, k.roster.given(pod))
				}
			}
			return out
		},
		Evict: func(uid types.UID, signal, message string, grace int64, disruption bool) {
			if rec := k.roster.get(uid); rec != nil {
				k.counts.Add(metrics.Evictions, signal)
				k.events.Pod(rec.current(), "", corev1.EventTypeWarning, evict.Reason, "%s", message)
				rec.evict(message, grace, disruption)
			}
		},
		Gone: func(uid types.UID) bool {
			rec := k.roster.get(uid)
			return rec == nil || rec.over()
		},
		Reclaim: k.reclaim,
		Tell:    func(reason, message string) { k.events.Node(corev1.EventTypeWarning, reason, message) },
	}
}

// addClaims adds how full the volumes of a pod's claims are, which are not on the node's disk.
func (k *Kubelet) addClaims(ctx context.Context, pod *corev1.Pod, ps *statsv1.PodStats) {
	for _, u := range k.machine.ClaimedVolumes(ctx, pod) {
		v := statsv1.VolumeStats{Name: u.Volume, FsStats: stats.Volume(u.At, u.Total, u.Used, u.Free, u.Inodes, u.InodesUsed, u.InodesFree)}
		if u.Claim != "" {
			v.PVCRef = &statsv1.PVCReference{Name: u.Claim, Namespace: pod.Namespace}
		}
		ps.VolumeStats = append(ps.VolumeStats, v)
	}
}

// pluginHandlers are who takes the plugins that put a socket below plugins_registry, by the type that they say. A kubelet without any, as
// that of a hollow node, does not look there.
func (k *Kubelet) pluginHandlers() map[string]plugins.Handler {
	out := map[string]plugins.Handler{}
	if k.dra != nil {
		out["DRAPlugin"] = k.dra
	}
	if k.csi != nil {
		out["CSIPlugin"] = k.csi
	}
	return out
}

// csiConfig describes the node to the room that calls CSI drivers.
func (k *Kubelet) csiConfig() csi.Config {
	return csi.Config{Root: k.cfg.RootDir, Node: k.cfg.NodeName, Hub: k.cfg.Door, Log: k.cfg.Log,
		Current:    func() (*corev1.Node, bool) { return k.node.InHub() },
		Look:       func() { k.node.Look() },
		Registered: func(string) { k.sweepAgain() },
		Took: func(driver, method, code string, d time.Duration) {
			k.counts.Took(metrics.CSIOperations, d, driver, method, code, "false") // in-tree volumes are not handed to drivers
		},
		PodEvent: func(pod *corev1.Pod, kind, reason, format string, args ...any) {
			k.events.Pod(pod, "", kind, reason, format, args...)
		},
		ClaimEvent: k.events.Claim,
	}
}

// podMemory is what all pods together may use: what the machine has, less what is kept for others.
func (k *Kubelet) podMemory() int64 {
	return k.memory() - k.cfg.SystemReserved.Memory().Value() - k.cfg.KubeReserved.Memory().Value()
}

// admitPressed refuses a pod while the node is short of something.
func (k *Kubelet) admitPressed(pod *corev1.Pod) *admit.Rejection {
	text := k.machine.Pressure().Refuses(pods.IsCritical(pod), pods.QoS(pod) == corev1.PodQOSBestEffort, func(key string) bool {
		return admit.Tolerates(pod, &corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	})
	if text == "" {
		return nil
	}
	return &admit.Rejection{Reason: evict.Reason, Message: text}
}

// admitFitting checks whether the node has room for a pod. For a critical one others give way, if that is all that is in its way.
func (k *Kubelet) admitFitting(pod *corev1.Pod, others []*corev1.Pod) *admit.Rejection {
	node := k.withRoom(pod, k.node.Current())
	why := admit.Fits(pod, others, node)
	if why == nil || !pods.IsCritical(pod) || !strings.HasPrefix(why.Reason, "OutOf") {
		return why
	}
	victims, err := admit.Victims(pod, others, node.Status.Allocatable, func(o *corev1.Pod) bool { return !pods.IsCritical(o) })
	if err != nil {
		return &admit.Rejection{Reason: "UnexpectedAdmissionError",
			Message: "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to preempt: " + err.Error()}
	}
	left := slices.DeleteFunc(slices.Clone(others), func(o *corev1.Pod) bool {
		return slices.ContainsFunc(victims, func(v *corev1.Pod) bool { return v.UID == o.UID })
	})
	if why := admit.Fits(pod, left, node); why != nil {
		return why
	}
	for _, v := range victims {
		if rec := k.roster.get(v.UID); rec != nil {
			k.counts.Add(metrics.Preemptions, strings.TrimPrefix(why.Reason, "OutOf"))
			k.events.Pod(v, "", corev1.EventTypeWarning, admit.Preempting, "%s", admit.PreemptedMessage)
			rec.preempt()
		}
	}
	return nil
}

// reclaim frees disk space without evicting anybody: it removes dead containers of pods that are over, and images that no container uses.
func (k *Kubelet) reclaim(ctx context.Context) {
	list, err := k.rt.List(ctx)
	if err != nil {
		k.cfg.Log.Warn("nothing reclaimed", "error", err)
		return
	}
	for _, p := range list {
		rec := k.roster.get(p.UID)
		for i := range p.Containers {
			if c := &p.Containers[i]; c.State == runtime.Exited && rec != nil && rec.over() {
				if err := k.removeContainer(ctx, rec.current(), c); err != nil {
					k.cfg.Log.Debug("dead container stays", "container", c.Name, "error", err)
				}
			}
		}
	}
	k.collector.All(ctx)
}

// newShutdown makes what ends pods before the machine shuts down; nil where they are not to be ended.
func (k *Kubelet) newShutdown() *shutdown.Manager {
	periods := k.cfg.Shutdown.Periods()
	if len(periods) == 0 {
		return nil
	}
	c := shutdown.Config{Periods: periods, Connect: k.cfg.Logind, Active: k.evictions().Active, Changed: k.node.Look, Log: k.cfg.Log,
		End: func(uid types.UID, grace int64) {
			if rec := k.roster.get(uid); rec != nil {
				rec.shutDown(grace)
			}
		},
		Gone: func(uid types.UID) bool {
			rec := k.roster.get(uid)
			return rec == nil || rec.dismantled()
		},
		Tell: func(reason, message string) { k.events.Node(corev1.EventTypeNormal, reason, message) },
	}
	if k.cfg.Machine == nil {
		c.Dir = k.cfg.RootDir
	}
	return shutdown.New(c)
}

// admitNow refuses a pod while the machine shuts down.
func (k *Kubelet) admitNow() *admit.Rejection {
	if k.shutdown.Error() == nil {
		return nil
	}
	return &admit.Rejection{Reason: shutdown.NotAdmitted, Message: shutdown.NotNow}
}

// imageConfig describes the node to the room that pulls images.
func (k *Kubelet) imageConfig() image.Config {
	c := image.Config{Runtime: k.rt, Secret: k.objects.Secret, Events: k.events, Verify: k.cfg.Verify, Limits: k.cfg.Pulls, Log: k.cfg.Log}
	if len(k.cfg.Providers) > 0 {
		c.Providers = provider.New(k.cfg.Providers, k.cfg.ProviderBin, provider.Hub{Account: k.serviceAccount, Token: k.objects.Token}, k.cfg.Log)
	}
	if k.cfg.Machine == nil {
		c.Dir = filepath.Join(k.cfg.RootDir, "image_manager")
	}
	return c
}

// serviceAccount reads the service account of a pod, for programs that know credentials of registries.
func (k *Kubelet) serviceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	if k.cfg.Door == nil {
		return nil, errNoHub
	}
	return client.Get[*corev1.ServiceAccount](ctx, k.cfg.Door, client.ServiceAccounts, namespace, name)
}

// newCollector makes what removes images.
func (k *Kubelet) newCollector() *image.Collector {
	return &image.Collector{Policy: k.cfg.Images, Runtime: k.rt, Log: k.cfg.Log, Seen: k.images.Forget,
		Removed: func(reason string) { k.counts.Add(metrics.ImagesCollected, reason) },
		Space: func() (available, capacity int64, ok bool) {
			s, ok := k.machine.ImageSpace()
			return s.Available, s.Capacity, ok
		},
		Used: func(ctx context.Context) (func(string) bool, error) {
			list, err := k.rt.List(ctx)
			if err != nil {
				return nil, err
			}
			used := map[string]bool{}
			for _, p := range list {
				for i := range p.Containers {
					c := &p.Containers[i]
					used[c.ImageID], used[c.ImageRef], used[c.Image] = true, true, true
				}
			}
			for _, rec := range k.roster.all() { // images that are volumes, which the runtime does not name
				pod, active := rec.active()
				for i := range pod.Spec.Volumes {
					if v := pod.Spec.Volumes[i].Image; v != nil && active {
						if img, err := k.rt.Image(ctx, v.Reference); err == nil && img != nil {
							used[img.ID] = true
						}
					}
				}
			}
			delete(used, "")
			return func(name string) bool { return used[name] }, nil
		},
		Tell: func(reason, message string) { k.events.Node(corev1.EventTypeWarning, reason, message) },
	}
}

// addFiles adds what a pod takes of the node's disk to its figures.
func (k *Kubelet) addFiles(ctx context.Context, pod *corev1.Pod, ps *statsv1.PodStats) {
	disk := stats.FS(k.cfg.RootDir)
	var sum evict.FS
	for i := range ps.Containers {
		c := &ps.Containers[i]
		logs := k.machine.Logs(pod, c.Name)
		c.Logs = stats.Used(disk, logs.Bytes, logs.Inodes)
		sum.Bytes, sum.Inodes = sum.Bytes+logs.Bytes, sum.Inodes+logs.Inodes
		if r := c.Rootfs; r != nil && r.UsedBytes != nil && r.InodesUsed != nil {
			sum.Bytes, sum.Inodes = sum.Bytes+int64(*r.UsedBytes), sum.Inodes+int64(*r.InodesUsed)
			c.Rootfs = stats.Used(disk, int64(*r.UsedBytes), int64(*r.InodesUsed))
		}
	}
	volumes := k.machine.Volumes(pod)
	for _, name := range slices.Sorted(maps.Keys(volumes)) {
		v := volumes[name]
		ps.VolumeStats = append(ps.VolumeStats, statsv1.VolumeStats{Name: name, FsStats: *stats.Used(disk, v.Bytes, v.Inodes)})
		sum.Bytes, sum.Inodes = sum.Bytes+v.Bytes, sum.Inodes+v.Inodes
	}
	ps.EphemeralStorage = stats.Used(disk, sum.Bytes, sum.Inodes)
	k.addClaims(ctx, pod, ps)
}
