package placement

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"sampan.dev/internal/node/cpus"
	"sampan.dev/internal/node/devices"
	"sampan.dev/internal/node/hardware"
	"sampan.dev/internal/node/memorymap"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"
	"k8s.io/utils/cpuset"
)

// Config of a Placement.
type Config struct {
	Settings
	Dir     string // the kubelet's root directory
	Machine fs.FS  // whose /sys and /proc say how the machine is built
	// Reserved is what the node keeps from pods in sum.
	Reserved corev1.ResourceList
	Runtime  runtime.Interface
	// Pods are those on the node that have not ended.
	Pods func() []*corev1.Pod
	// Claims are the devices that a container has by claims, as the pod resources API tells of them; nil: there are none.
	Claims func(pod *corev1.Pod, c *corev1.Container) []*podresourcesv1.DynamicResource
	// Changed is told of pods with devices whose health has changed, and that the node's capacity may have.
	Changed func(pods []types.UID)
	Log     *slog.Logger
}

// Placement is the node's. The managers are made once; those of policies that are off are nil.
type Placement struct {
	cfg      Config
	machine  func() (*hardware.Machine, error) // read when first asked for
	topology *topology.Manager
	devices  *devices.Manager
	cpus     *cpus.Manager
	memory   *memorymap.Manager
	kick     chan struct{}

	admitting sync.Mutex // one pod at a time; held while plugins are asked
}

// New makes the managers, and takes over what an earlier run gave out.
func New(cfg Config) (*Placement, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	p := &Placement{cfg: cfg, kick: make(chan struct{}, 1)}
	p.machine = sync.OnceValues(func() (*hardware.Machine, error) { return hardware.Read(cfg.Machine) })
	machine := &hardware.Machine{}
	var err error
	if !cfg.plain() {
		if machine, err = p.machine(); err != nil {
			return nil, err
		}
	}
	if err := p.makeTopology(machine); err != nil {
		return nil, err
	}
	p.devices = devices.New(devices.Config{Dir: filepath.Join(cfg.Dir, "device-plugins"), Nodes: p.nodes, Affinity: p.topology.Affinity, Changed: cfg.Changed, Log: cfg.Log})
	p.topology.Use(p.devices)
	if err := p.makeCPUs(machine); err != nil {
		return nil, err
	}
	return p, p.makeMemory(machine)
}

func (p *Placement) makeTopology(m *hardware.Machine) error {
	options, err := topology.ReadOptions(p.cfg.TopologyOptions)
	if err != nil {
		return err
	}
	policy, err := topology.NewPolicy(cmp.Or(p.cfg.TopologyPolicy, topology.None), options, m)
	if err != nil {
		return err
	}
	p.topology, err = topology.New(policy, p.cfg.TopologyScope)
	return err
}

func (p *Placement) makeCPUs(m *hardware.Machine) error {
	reserved, err := cpuset.Parse(p.cfg.ReservedCPUs)
	if err != nil {
		return err
	}
	online := cpuset.New()
	for cpu := range m.CPUs {
		online = online.Union(cpuset.New(cpu))
	}
	if !reserved.IsSubsetOf(online) {
		return fmt.Errorf("reserved-cpus: %s is not a subset of online-cpus: %s", p.cfg.ReservedCPUs, online)
	}
	if !p.cfg.static() {
		return cpus.Idle(p.cfg.Dir)
	}
	options, err := cpus.ReadOptions(p.cfg.CPUOptions, p.cfg.AlphaOptions)
	if err != nil {
		return fmt.Errorf("new static policy error: %w", err)
	}
	p.cpus, err = cpus.New(cpus.Config{Machine: m, Options: options, Reserved: reserved, ReservedMilli: p.cfg.Reserved.Cpu().MilliValue(), Dir: p.cfg.Dir,
		Topology: p.topology.Policy(), Affinity: p.topology.Affinity, Log: p.cfg.Log})
	if err != nil {
		return err
	}
	p.topology.Use(p.cpus)
	return nil
}

func (p *Placement) makeMemory(m *hardware.Machine) (err error) {
	if p.cfg.MemoryPolicy != memorymap.Static {
		return memorymap.Idle(p.cfg.Dir)
	}
	p.memory, err = memorymap.New(memorymap.Config{Machine: m, Reserved: p.cfg.ReservedMemory, ReservedSum: p.cfg.Reserved, Dir: p.cfg.Dir,
		Affinity: p.topology.Affinity, Log: p.cfg.Log})
	if err == nil {
		p.topology.Use(p.memory)
	}
	return err
}

// nodes are the machine's NUMA nodes.
func (p *Placement) nodes() []int {
	m, err := p.machine()
	if err != nil {
		p.cfg.Log.Warn("machine not read: devices are placed anywhere", "error", err)
		return nil
	}
	var out []int
	for _, n := range m.Nodes {
		out = append(out, n.ID)
	}
	return out
}

// Admit gives a pod's containers what they ask for. When it cannot, it takes back what some were given, and says under which reason and
// with which words the pod fails; the reason is empty when the pod may run.
func (p *Placement) Admit(ctx context.Context, pod *corev1.Pod) (reason, message string) {
	p.admitting.Lock()
	err := p.topology.Admit(ctx, pod)
	p.admitting.Unlock()
	if err != nil {
		p.Release(pod.UID)
		return topology.Explain(err)
	}
	if p.cpus != nil && p.cpus.HasOwn(pod.UID) {
		p.look()
	}
	return "", ""
}

// Release takes back everything that a pod has. It costs nothing for one that has nothing.
func (p *Placement) Release(pod types.UID) {
	p.Keep(func(uid types.UID) bool { return uid != pod }, pod)
}

// Keep takes back what all pods have that keep does not name; gone are pods whose places are forgotten.
func (p *Placement) Keep(keep func(types.UID) bool, gone ...types.UID) {
	for _, uid := range gone {
		p.topology.Forget(uid)
	}
	p.devices.Keep(keep)
	if p.memory != nil {
		p.memory.Keep(keep)
	}
	if p.cpus != nil && p.cpus.Keep(keep) {
		p.look()
	}
}

// OwnCPUs reports whether any of a pod's containers has CPUs to itself. Such a pod is not held to its limit of CPU: it has no more.
func (p *Placement) OwnCPUs(pod types.UID) bool { return p.cpus != nil && p.cpus.HasOwn(pod) }

// Status is the health of a container's devices.
func (p *Placement) Status(pod types.UID, container string) []corev1.ResourceStatus {
	return p.devices.Status(pod, container)
}

// Capacity is what device plugins add to the node.
func (p *Placement) Capacity() (capacity, allocatable corev1.ResourceList, gone []string) {
	return p.devices.Capacity(time.Now())
}

// Room is allocatable with at least what has been given out, for a pod that has devices: they are its own though their plugin is gone.
func (p *Placement) Room(pod types.UID, allocatable corev1.ResourceList) corev1.ResourceList {
	if !p.devices.Has(pod) {
		return allocatable
	}
	return atLeast(allocatable, p.devices.Taken())
}
