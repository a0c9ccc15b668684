package kubelet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/unbuilt"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/node/admit"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/claims"
	"sampan.dev/internal/node/csi"
	"sampan.dev/internal/node/event"
	"sampan.dev/internal/node/health"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/metrics"
	"sampan.dev/internal/node/object"
	"sampan.dev/internal/node/placement"
	"sampan.dev/internal/node/plugins"
	"sampan.dev/internal/node/podcert"
	"sampan.dev/internal/node/podhost"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstatus"
	"sampan.dev/internal/node/register"
	"sampan.dev/internal/node/resize"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/source"
	"sampan.dev/internal/node/stats"
	"sampan.dev/internal/node/users"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Kubelet runs the pods of one node.
type Kubelet struct {
	*base
	roster *roster
	pods   *cache.Informer[*corev1.Pod] // nil without a hub
	rates  *stats.Rates
	own    *podhost.OwnVolumes
	wg     sync.WaitGroup // workers

	removing sync.Mutex                               // one removal of volumes goes on at a time
	sweep    atomic.Pointer[func(uid types.UID) bool] // the pods that are known; nil until what an earlier run left was looked at
}

// New makes a kubelet; it does nothing until Run.
func New(cfg Config) (*Kubelet, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	cfg.Log = cfg.Log.With("node", cfg.NodeName)
	b := &base{cfg: cfg, rt: cfg.Runtime, machine: cfg.Machine, began: time.Now()}
	b.paths = podhost.Paths{Root: cfg.RootDir, Logs: cfg.LogDir, Links: cfg.ContainerLogs}
	k := &Kubelet{base: b, roster: newRoster(), rates: stats.NewRates(), own: &podhost.OwnVolumes{Dir: cfg.LocalVolumes}}
	k.events = event.New(cfg.Door, cfg.NodeName, cfg.Log)
	if cfg.Door != nil {
		k.pods = cache.New[*corev1.Pod](cfg.Door, client.Pods, cache.Options{FieldSelector: "spec.nodeName=" + cfg.NodeName}, cfg.Log)
	}
	k.writer = podstatus.New(cfg.Door, cfg.Log)
	k.objects = object.New(cfg.Door, cfg.Log, k.roster.wake)
	if cfg.Door != nil {
		k.certs = podcert.New(podcert.Config{Hub: cfg.Door, Node: cfg.NodeName, Wake: k.roster.wake, Events: k.events, Log: cfg.Log,
			NodeUID: func() types.UID { return k.node.Current().UID }})
	}
	k.images = image.New(k.imageConfig())
	var err error
	if k.cgroups, err = cgroup.New(cgroup.Mount, cfg.CgroupRoot, cfg.CgroupDriver, cfg.NoCgroups); err != nil {
		return nil, err
	}
	k.swappable = cfg.Machine == nil && k.cgroups.Swappable()
	k.health = health.New(k.rt, k.roster.wakeAll)
	k.collector = k.newCollector()
	k.fence = k.newFence()
	checkpoints := ""
	if cfg.Machine == nil {
		checkpoints = cfg.RootDir
	}
	if k.alloc, err = allocation.New(checkpoints); err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	k.roster.given = k.alloc.Given
	k.resizes, k.actuator = resize.New(k.resizeConfig()), k.newActuator()
	if cfg.Machine == nil && cfg.Door != nil {
		if k.csi, err = csi.New(k.csiConfig()); err != nil {
			return nil, fmt.Errorf("kubelet: %w", err)
		}
	}
	if cfg.Machine == nil {
		k.pageSizes = register.PageSizes()
	}
	if k.machine == nil {
		if k.machine, err = podhost.New(k.machineConfig()); err != nil {
			return nil, fmt.Errorf("kubelet: %w", err)
		}
	}
	if k.node, err = register.New(k.nodeConfig()); err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	k.shutdown = k.newShutdown()
	if cfg.Machine == nil {
		ids, err := users.Find(cfg.UserIDs, cfg.MaxPods)
		if err != nil {
			return nil, fmt.Errorf("kubelet: create user namespace manager: %w", err)
		}
		k.users = users.New(k.paths.Pods(), ids)
		if k.place, err = placement.New(k.placementConfig()); err != nil {
			return nil, fmt.Errorf("kubelet: %w", err)
		}
	}
	if cfg.Machine == nil && cfg.Door != nil {
		if k.dra, err = claims.New(claims.Config{Dir: cfg.RootDir, Node: cfg.NodeName, Hub: cfg.Door, Wake: k.roster.wake, Log: cfg.Log}); err != nil {
			return nil, fmt.Errorf("kubelet: %w", err)
		}
	}
	k.static = source.New(source.Config{
		Path: cfg.StaticPods, Shared: cfg.StaticShare, URL: cfg.ManifestURL, URLHeader: cfg.ManifestHeader, URLEvery: cfg.ManifestEvery, Node: cfg.NodeName, Kind: cfg.PodKind, Since: k.began, Log: cfg.Log,
		Upsert: k.upsert, Gone: k.goneFromFile,
	}, source.Showing{Hub: cfg.Door, Node: k.node.InHub, Writer: k.writer, Wake: k.roster.wake, Log: cfg.Log})
	return k, nil
}

// machineConfig describes the machine that pods run on.
func (k *Kubelet) machineConfig() podhost.Config {
	c := &k.cfg
	m := podhost.Config{
		Paths: k.paths, ClusterDomain: c.ClusterDomain, PodPids: c.PodPids, PageSizes: k.pageSizes, Memory: c.Memory, Evict: c.Eviction, Evictions: k.evictions(), PodMemory: k.podMemory, Collect: k.collector.Look,
		OwnCPUs:    func(uid types.UID) bool { return k.place != nil && k.place.OwnCPUs(uid) },
		Held:       func(pod *corev1.Pod) *corev1.Pod { return k.alloc.Actuated.Get(pod.UID).Apply(pod) },
		LogMaxSize: c.LogMaxSize, LogMaxFiles: c.LogMaxFiles, Log: c.Log,
		Runtime: k.rt, Cgroups: k.cgroups, Objects: k.objects,
		Volumes: volume.Sources{
			ConfigMap: k.objects.ConfigMap, Secret: k.objects.Secret, Token: k.objects.Token,
			Field: func(pod *corev1.Pod, path string) (string, error) {
				return podspec.FieldValue(pod, path, pods.IPs(pod), k.node.IPs())
			},
			Resource:   k.volumeResource,
			MemorySize: k.memoryVolumeSize,
			Claim:      k.claim, Volume: k.persistentVolume, Node: func() *corev1.Node { return k.node.Current() },
			Make: k.own.Ensure, CSI: k.csi,
			Event: func(pod *corev1.Pod, kind, reason, format string, args ...any) {
				k.events.Pod(pod, "", kind, reason, format, args...)
			},
		},
	}
	if k.certs != nil {
		m.Volumes.TrustBundles, m.Volumes.Certificate, m.Volumes.CertificateDue = k.objects.TrustBundles, k.certs.Get, k.certs.Due
	}
	return m
}

// claim and persistentVolume read the hub for a pod's volumes; a kubelet without one knows of neither.
func (k *Kubelet) claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	if k.cfg.Door == nil {
		return nil, errNoHub
	}
	return client.Get[*corev1.PersistentVolumeClaim](ctx, k.cfg.Door, client.PersistentVolumeClaims, namespace, name)
}

func (k *Kubelet) persistentVolume(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
	if k.cfg.Door == nil {
		return nil, errNoHub
	}
	return client.Get[*corev1.PersistentVolume](ctx, k.cfg.Door, client.PersistentVolumes, "", name)
}

var errNoHub = errors.New("this kubelet has no API server")

// nodeConfig describes the node to the room that registers it.
func (k *Kubelet) nodeConfig() register.Config {
	c := &k.cfg
	r := register.Config{
		Name: c.NodeName, Hostname: c.Hostname, IPs: c.NodeIPs, ExternalIP: c.ExternalIP, MachineID: c.MachineID, Version: c.Version, Port: c.Port,
		Create: c.Register, Labels: c.Labels, Annotations: k.promised(k.own.Announced(c.Annotations)), Taints: c.Taints, Unschedulable: c.Unschedulable,
		CloudProvider: c.CloudProvider, ProviderID: c.ProviderID, RuntimeEndpoint: c.RuntimeEndpoint, OwnNetwork: c.NetworkReady,
		Resources: register.Resources{MaxPods: c.MaxPods, RootDir: c.RootDir, Capacity: c.Capacity,
			SystemReserved: c.SystemReserved, KubeReserved: c.KubeReserved, EvictionHard: c.EvictionHard},
		StatusEvery: c.StatusEvery, ReportEvery: c.ReportEvery, LeaseDuration: c.LeaseDuration,
		Hub: c.Door, Runtime: k.rt, Health: k.health, Events: k.events, Log: c.Log,
		Trouble: func() error { return k.shutdown.Error() },
		Devices: k.devices, Pressure: k.machine.Pressure, AddressChanged: k.roster.wakeAll /* pods say it too */, PodChanged: k.roster.wake,
	}
	if k.csi != nil {
		r.VolumesInUse = k.csi.InUse
	}
	r.Renewal = c.Renewal
	if k.fence != nil {
		r.Renewal = k.fence.Begin
		if c.Renewal != nil {
			r.Renewal = func() func() {
				mine, theirs := k.fence.Begin(), c.Renewal()
				return func() { mine(); theirs() }
			}
		}
	}
	return r
}

// Run runs the node until ctx ends. It leaves containers running.
func (k *Kubelet) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	defer func() {
		cancel()
		loops.Wait()
		k.wg.Wait()
		k.health.Wait()
		k.static.Mirrors().Wait()
		k.writer.Wait()
		if k.fence != nil {
			k.withdraw()
		}
		k.objects.Wait()
		if k.certs != nil {
			k.certs.Wait()
		}
		if k.csi != nil {
			k.csi.Wait()
		}
	}()
	k.node.Locate()
	if err := k.health.Await(ctx, k.cfg.Log); err != nil {
		return nil // ctx ended
	}
	k.objects.Begin(ctx)
	if k.certs != nil {
		k.certs.Begin(ctx)
	}
	if k.csi != nil {
		k.csi.Begin(ctx)
		k.node.Handle(cache.Handler[*corev1.Node]{Add: k.csi.NodeChanged, Update: func(_, n *corev1.Node) { k.csi.NodeChanged(n) }})
	}
	start := func(fn func(context.Context)) { loops.Go(func() { fn(ctx) }) }
	if k.cfg.Door != nil {
		start(func(ctx context.Context) { k.events.Run(ctx) })
		k.node.Handle(cache.Handler[*corev1.Node]{
			Add:    func(n *corev1.Node) { k.removeVolumes(ctx, n) },
			Update: func(_, n *corev1.Node) { k.removeVolumes(ctx, n) },
		})
		start(k.node.Run)
		if k.fence != nil {
			start(k.fence.Run)
		}
		k.pods.Handle(cache.Handler[*corev1.Pod]{
			Add:    func(p *corev1.Pod) { k.fromHub(ctx, p) },
			Update: func(_, p *corev1.Pod) { k.fromHub(ctx, p) },
			Delete: func(p *corev1.Pod) { k.goneFromHub(ctx, p) },
		})
		start(func(ctx context.Context) { k.pods.Run(ctx) })
	} else {
		start(k.node.Alone)
	}
	if k.static.Any() {
		k.static.Begin(ctx)
		start(k.static.Run)
	}
	start(func(ctx context.Context) { k.rt.Events(ctx, k.fromRuntime) })
	start(k.machine.Run)
	if k.shutdown != nil {
		start(k.shutdown.Run)
	}
	if k.place != nil {
		start(k.place.Run)
	}
	if k.dra != nil {
		start(k.dra.Run)
	}
	if handlers := k.pluginHandlers(); len(handlers) > 0 {
		start((&plugins.Watcher{Dir: filepath.Join(k.cfg.RootDir, plugins.Folder), Handlers: handlers, Log: k.cfg.Log}).Run)
	}
	if k.pods != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-k.pods.Synced():
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case <-k.static.Read(): // until then a pod of a source that does not answer would look like an orphan
	}
	k.adopt(ctx)
	k.resizes.Begin(ctx)
	defer k.resizes.End()
	<-ctx.Done()
	return nil
}

// adopt takes care of what an earlier run left: pods of the runtime that nobody wants any more are stopped, and
// directories and control groups of pods that are gone are removed. Until then a pod that nobody has named yet is no orphan.
func (k *Kubelet) adopt(ctx context.Context) {
	list, err := k.rt.List(ctx)
	for err != nil {
		k.cfg.Log.Warn("runtime not listed, looking for orphans later", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}
		list, err = k.rt.List(ctx)
	}
	kept := map[types.UID]bool{}
	for _, p := range list {
		kept[p.UID] = true
		if k.roster.get(p.UID) == nil {
			k.cfg.Log.Info("stopping a pod that is gone from the hub", "pod", p.Namespace+"/"+p.Name, "uid", p.UID)
			k.orphan(ctx, p)
		}
	}
	k.roster.setAdopted()
	k.alloc.Keep(func(uid types.UID) bool { return k.roster.get(uid) != nil })
	if k.users != nil {
		k.users.Keep(func(uid types.UID) bool { return kept[uid] || k.roster.get(uid) != nil })
	}
	if k.place != nil {
		k.place.Keep(func(uid types.UID) bool { return k.roster.get(uid) != nil })
	}
	known := func(uid types.UID) bool { return kept[uid] || k.roster.get(uid) != nil }
	if k.dra != nil {
		k.dra.Keep(ctx, known)
	}
	k.sweep.Store(&known)
	k.machine.Sweep(known)
}

// sweepAgain looks once more at what an earlier run left of pods that are gone: the CSI driver that has to unmount it may have come only now.
func (k *Kubelet) sweepAgain() {
	if known := k.sweep.Load(); known != nil {
		k.machine.Sweep(*known)
	}
}

// orphan runs a worker for a pod of which only the runtime knows, to end it.
func (k *Kubelet) orphan(ctx context.Context, p *runtime.Pod) {
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace, pod.UID = p.Name, p.Namespace, p.UID
	for i := range p.Containers {
		c := &p.Containers[i]
		pod.Spec.TerminationGracePeriodSeconds = c.Grace
		if pods.FindContainer(pod.Spec.Containers, c.Name) == nil {
			spec := corev1.Container{Name: c.Name, Image: c.Image, Ports: c.Ports, TerminationMessagePath: c.TerminationPath}
			if c.PreStop != nil {
				spec.Lifecycle = &corev1.Lifecycle{PreStop: c.PreStop}
			}
			pod.Spec.Containers = append(pod.Spec.Containers, spec)
		}
	}
	rec, _, fresh := k.roster.add(pod)
	if !fresh {
		return
	}
	rec.update(pod, true)
	k.work(ctx, rec)
}

// fromRuntime takes an event of the runtime.
func (k *Kubelet) fromRuntime(e runtime.Event) {
	if e.UID == "" {
		k.roster.wakeAll()
		return
	}
	k.roster.wake(e.UID)
}

// HostChanged makes the kubelet look again at the host's addresses.
func (k *Kubelet) HostChanged() { k.node.HostChanged() }

// fromHub takes a pod as the hub has it now.
func (k *Kubelet) fromHub(ctx context.Context, pod *corev1.Pod) {
	if pods.IsMirror(pod) {
		k.static.Mirrors().Seen(ctx, pod)
		return
	}
	k.upsert(ctx, pod)
}

// goneFromHub takes the last state of a pod that the hub has no longer.
func (k *Kubelet) goneFromHub(ctx context.Context, pod *corev1.Pod) {
	if pods.IsMirror(pod) {
		k.static.Mirrors().Gone(pod)
		return
	}
	if rec := k.roster.get(pod.UID); rec != nil {
		rec.update(pod, true)
	}
}

// goneFromFile ends a static pod whose manifest is gone.
func (k *Kubelet) goneFromFile(uid types.UID) {
	if rec := k.roster.get(uid); rec != nil {
		rec.update(rec.current(), true)
	}
}

// upsert hands a pod to its worker, which is made for a new pod.
func (k *Kubelet) upsert(ctx context.Context, pod *corev1.Pod) {
	rec, others, fresh := k.roster.add(pod)
	if !fresh {
		rec.update(pod, false)
		k.resizes.Changed(rec)
		return
	}
	// A pod that runs already was admitted by an earlier run of ours.
	if pod.DeletionTimestamp == nil && (pod.Status.Phase == corev1.PodPending || pod.Status.Phase == "") {
		if why := k.admit(ctx, pod, others); why != nil {
			rec.reject(why)
		}
	}
	if !rec.Ends() {
		k.alloc.Admit(pod)
		k.resizes.Changed(rec)
	}
	k.work(ctx, rec)
}

// work runs the worker of a pod.
func (k *Kubelet) work(ctx context.Context, rec *record) {
	k.wg.Go(func() { newWorker(k.base, k.roster, rec).run(ctx) })
}

// admit checks whether the node takes a pod beside the others, gives it what its containers ask for, and records why not.
func (k *Kubelet) admit(ctx context.Context, pod *corev1.Pod, others []*corev1.Pod) *admit.Rejection {
	pod = k.alloc.Given(pod)
	why := k.admitPressed(pod)
	if why == nil {
		why = k.admitPlaced(ctx, pod)
	}
	if why == nil {
		why = k.admitFitting(pod, others)
	}
	if why == nil {
		why = admit.Sysctls(pod, k.cfg.AllowedUnsafeSysctls)
	}
	if why == nil {
		why = k.admitNow()
	}
	if why == nil {
		admit.Unbuilt(pod, func(what string) {
			k.events.Pod(pod, "", corev1.EventTypeWarning, unbuilt.Reason, "%s", what)
		})
		return nil
	}
	k.release(pod.UID)
	k.counts.Add(metrics.AdmissionRejections, why.Reason)
	k.cfg.Log.Info("pod rejected", "pod", pods.Describe(pod), "reason", why.Reason, "message", why.Message)
	k.events.Pod(pod, "", corev1.EventTypeWarning, why.Reason, "%s", why.Message)
	return &admit.Rejection{Reason: why.Reason, Message: "Pod was rejected: " + why.Message}
}
