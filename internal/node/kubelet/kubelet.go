package kubelet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/event"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/object"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstatus"
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

	pods *cache.Informer[*corev1.Pod] // nil without a door
	node *cache.Informer[*corev1.Node]

	runtimeName atomic.Value // string
	rro         atomic.Bool
	netReady    atomic.Value // error text, "" when pods may be started on the pod network
	lastLoop    atomic.Int64 // unix nanoseconds of the last event loop turn, for Healthy
	hostIPs     atomic.Value // []string
	health      health
	moved       chan struct{} // the host's addresses may have changed

	rates        *stats.Rates
	pressures    *evict.Watcher // nil for hollow nodes
	capacityOnce sync.Once
	capacityList corev1.ResourceList
	infoOnce     sync.Once
	info         corev1.NodeSystemInfo
	registered   *corev1.Node         // as this run has made it, until that is told; runNode's own
	listing      map[types.UID]string // the pods of the last relist; runNode's own

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
		k.node = cache.New[*corev1.Node](cfg.Door, client.Nodes, cache.Options{FieldSelector: "metadata.name=" + cfg.NodeName}, cfg.Log)
	}
	k.writer = podstatus.New(cfg.Door, cfg.Log)
	k.objects = object.New(cfg.Door, cfg.Log, k.wake)
	k.images = image.New(k.rt, k.objects.Secret, k.events)
	k.cgroups = cgroup.New("/sys/fs/cgroup", cfg.CgroupRoot, cfg.CgroupDriver, cfg.NoCgroups || cfg.Hollow)
	k.volumes = volume.New(cfg.podsDir(), volume.Sources{
		ConfigMap: k.objects.ConfigMap, Secret: k.objects.Secret, Token: k.objects.Token,
		Field: func(pod *corev1.Pod, path string) (string, error) {
			return podspec.FieldValue(pod, path, pods.IPs(pod), k.ips())
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
	if err := k.checkReserved(); err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	k.runtimeName.Store("containerd")
	k.netReady.Store("")
	k.hostIPs.Store([]string(nil))
	k.moved = make(chan struct{}, 1)
	k.mu.workers = map[types.UID]*worker{}
	k.static = source.New(source.Config{
		Path: cfg.StaticPods, URL: cfg.ManifestURL, Node: cfg.NodeName, Kind: cfg.PodKind, Since: k.began, Log: cfg.Log,
		Upsert: k.upsert, Gone: k.goneFromFile,
	}, source.Showing{Hub: cfg.Door, Node: k.nodeInHub, Writer: k.writer, Wake: k.wake, Log: cfg.Log})
	return k, nil
}

// Run runs the node until ctx ends. It leaves containers running.
func (k *Kubelet) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	defer func() {
		cancel()
		loops.Wait()
		k.wg.Wait()
		k.static.Mirrors().Wait()
		k.writer.Wait()
		k.objects.Wait()
	}()
	k.hostIPs.Store(k.findIPs())
	if err := k.waitRuntime(ctx); err != nil {
		return nil // ctx ended
	}
	k.objects.Begin(ctx)
	start := func(fn func(context.Context)) { loops.Go(func() { fn(ctx) }) }
	if k.cfg.Door != nil {
		start(func(ctx context.Context) { k.events.Run(ctx) })
		start(func(ctx context.Context) { k.node.Run(ctx) })
		start(k.runNode)
		start(k.runLease)
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

// waitRuntime waits until the container runtime answers.
func (k *Kubelet) waitRuntime(ctx context.Context) error {
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		v, err := k.rt.Version(ctx)
		if err == nil {
			k.runtimeName.Store(v.Name)
			k.lookRuntime(ctx)
			return nil
		}
		if delay > 500*time.Millisecond {
			k.cfg.Log.Warn("container runtime does not answer", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
	}
}

// fromRuntime takes an event of the runtime.
func (k *Kubelet) fromRuntime(e runtime.Event) {
	k.lastLoop.Store(time.Now().UnixNano())
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

// ips are the node's addresses, primary first.
func (k *Kubelet) ips() []string { return k.hostIPs.Load().([]string) }

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

// nodeInHub is the node as the hub has it.
func (k *Kubelet) nodeInHub() (*corev1.Node, bool) { return k.node.Get("", k.cfg.NodeName) }

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
