package kubelet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/event"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/health"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/object"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstatus"
	"sampan.dev/internal/node/register"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/source"
	"sampan.dev/internal/node/stats"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Kubelet runs the pods of one node.
type Kubelet struct {
	cfg     Config
	rt      runtime.Interface
	events  *event.Recorder
	writer  *podstatus.Writer
	objects *object.Reader
	volumes *volume.Manager
	cgroups *cgroup.Manager
	images  *image.Puller
	static  *source.Static
	began   time.Time
	wg      sync.WaitGroup // workers

	pods   *cache.Informer[*corev1.Pod] // nil without a door
	node   *register.Node
	health *health.Runtime

	rates     *stats.Rates
	pressures *evict.Watcher // nil for hollow nodes

	mu struct {
		sync.Mutex
		workers map[types.UID]*worker
		adopted bool // what an earlier run left has workers
	}
}

// New makes a kubelet; it does nothing until Run.
func New(cfg Config) (*Kubelet, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	cfg.Log = cfg.Log.With("node", cfg.NodeName)
	if !cfg.Hollow {
		if err := os.MkdirAll(cfg.RootDir, 0o750); err != nil {
			return nil, fmt.Errorf("kubelet: %w", err)
		}
		root, err := filepath.EvalSymlinks(cfg.RootDir) // mountinfo names real paths
		if err != nil {
			return nil, fmt.Errorf("kubelet: %w", err)
		}
		cfg.RootDir = root
	}
	k := &Kubelet{cfg: cfg, rt: cfg.Runtime, began: time.Now(), rates: stats.NewRates()}
	k.events = event.New(cfg.Door, cfg.NodeName, cfg.Log)
	if cfg.Door != nil {
		k.pods = cache.New[*corev1.Pod](cfg.Door, client.Pods, cache.Options{FieldSelector: "spec.nodeName=" + cfg.NodeName}, cfg.Log)
	}
	k.writer = podstatus.New(cfg.Door, cfg.Log)
	k.objects = object.New(cfg.Door, cfg.Log, k.wake)
	k.images = image.New(k.rt, k.objects.Secret, k.events)
	k.cgroups = cgroup.New("/sys/fs/cgroup", cfg.CgroupRoot, cfg.CgroupDriver, cfg.NoCgroups || cfg.Hollow)
	k.volumes = volume.New(cfg.podsDir(), volume.Sources{
		ConfigMap: k.objects.ConfigMap, Secret: k.objects.Secret, Token: k.objects.Token,
		Field: func(pod *corev1.Pod, path string) (string, error) {
			return podspec.FieldValue(pod, path, pods.IPs(pod), k.node.IPs())
		},
		Resource:   k.volumeResource,
		MemorySize: k.memoryVolumeSize,
	})
	if !cfg.Hollow {
		var err error
		if k.pressures, err = evict.New(cfg.EvictionHard, cfg.RootDir); err != nil {
			return nil, fmt.Errorf("kubelet: %w", err)
		}
	}
	k.health = health.New(k.rt, k.wakeAll)
	var err error
	if k.node, err = register.New(k.nodeConfig()); err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	k.mu.workers = map[types.UID]*worker{}
	k.static = source.New(source.Config{
		Path: cfg.StaticPods, URL: cfg.ManifestURL, Node: cfg.NodeName, Kind: cfg.PodKind, Since: k.began, Log: cfg.Log,
		Upsert: k.upsert, Gone: k.goneFromFile,
	}, source.Showing{Hub: cfg.Door, Node: k.node.InHub, Writer: k.writer, Wake: k.wake, Log: cfg.Log})
	return k, nil
}

// nodeConfig describes the node to the room that registers it.
func (k *Kubelet) nodeConfig() register.Config {
	c := &k.cfg
	return register.Config{
		Name: c.NodeName, Hostname: c.Hostname, IPs: c.NodeIPs, ExternalIP: c.ExternalIP, MachineID: c.MachineID, Version: c.Version, Port: c.Port,
		Create: c.Register, Labels: c.Labels, Annotations: c.Annotations, Taints: c.Taints, Unschedulable: c.Unschedulable,
		CloudProvider: c.CloudProvider, ProviderID: c.ProviderID, RuntimeEndpoint: c.RuntimeEndpoint, OwnNetwork: c.NetworkReady,
		Resources: register.Resources{MaxPods: c.MaxPods, RootDir: c.RootDir, Capacity: c.Capacity,
			SystemReserved: c.SystemReserved, KubeReserved: c.KubeReserved, EvictionHard: c.EvictionHard},
		StatusEvery: c.StatusEvery, ReportEvery: c.ReportEvery, LeaseDuration: c.LeaseDuration,
		Hub: c.Door, Runtime: k.rt, Health: k.health, Events: k.events, Log: c.Log,
		Pressure: k.pressure, AddressChanged: k.wakeAll /* pods say it too */, PodChanged: k.wake,
	}
}

// pressure is what the machine is short of.
func (k *Kubelet) pressure() evict.Pressure {
	if k.pressures == nil {
		return evict.Pressure{}
	}
	return k.pressures.Look(time.Now())
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
		k.objects.Wait()
	}()
	k.node.Locate()
	if err := k.health.Await(ctx, k.cfg.Log); err != nil {
		return nil // ctx ended
	}
	k.objects.Begin(ctx)
	start := func(fn func(context.Context)) { loops.Go(func() { fn(ctx) }) }
	if k.cfg.Door != nil {
		start(func(ctx context.Context) { k.events.Run(ctx) })
		start(k.node.Run)
		k.pods.Handle(cache.Handler[*corev1.Pod]{
			Add:    func(p *corev1.Pod) { k.fromHub(ctx, p) },
			Update: func(_, p *corev1.Pod) { k.fromHub(ctx, p) },
			Delete: func(p *corev1.Pod) { k.goneFromHub(ctx, p) },
		})
		start(func(ctx context.Context) { k.pods.Run(ctx) })
	}
	if k.static.Any() {
		k.static.Begin(ctx)
		start(k.static.Run)
	}
	start(func(ctx context.Context) { k.rt.Events(ctx, k.fromRuntime) })
	start(k.housekeep)
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
	<-ctx.Done()
	return nil
}

// fromRuntime takes an event of the runtime.
func (k *Kubelet) fromRuntime(e runtime.Event) {
	if e.UID == "" {
		k.wakeAll()
		return
	}
	k.wake(e.UID)
}

// wake makes a pod's worker look again.
func (k *Kubelet) wake(uid types.UID) {
	k.mu.Lock()
	w := k.mu.workers[uid]
	k.mu.Unlock()
	if w != nil {
		w.poke()
	}
}

func (k *Kubelet) wakeAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.mu.workers {
		w.poke()
	}
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
	k.mu.Lock()
	w := k.mu.workers[pod.UID]
	k.mu.Unlock()
	if w != nil {
		w.update(pod, true)
	}
}

// goneFromFile ends a static pod whose manifest is gone.
func (k *Kubelet) goneFromFile(uid types.UID) {
	k.mu.Lock()
	w := k.mu.workers[uid]
	k.mu.Unlock()
	if w != nil {
		w.update(w.current(), true)
	}
}

// upsert hands a pod to its worker, which is made for a new pod.
func (k *Kubelet) upsert(ctx context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	w := k.mu.workers[pod.UID]
	if w == nil {
		w = newWorker(k, pod)
		others := make([]*corev1.Pod, 0, len(k.mu.workers))
		for _, o := range k.mu.workers {
			if p, active := o.active(); active {
				others = append(others, p)
			}
		}
		k.mu.workers[pod.UID] = w
		k.wg.Add(1)
		k.mu.Unlock()
		// A pod that runs already was admitted by an earlier run of ours.
		if pod.DeletionTimestamp == nil && (pod.Status.Phase == corev1.PodPending || pod.Status.Phase == "") {
			if r := k.admit(pod, others); r != nil {
				w.reject(r)
			}
		}
		go func() {
			defer k.wg.Done()
			w.run(ctx)
		}()
		return
	}
	k.mu.Unlock()
	w.update(pod, false)
}

// drop forgets a worker that has ended.
func (k *Kubelet) drop(uid types.UID) {
	k.mu.Lock()
	delete(k.mu.workers, uid)
	k.mu.Unlock()
	k.writer.Forget(uid)
}
