package placement

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sampan.dev/internal/node/devices/devicestest"
	"sampan.dev/internal/node/memorymap"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	"k8s.io/utils/cpuset"
)

// scenario is a machine, settings, pods that come and go, and what came of it.
type scenario struct {
	Nodes          []node
	Policy         string
	Scope          string
	Options        map[string]string
	CPU            string
	CPUOptions     map[string]string
	CPUReserved    int64 // thousandths
	ReservedCPUs   string
	Memory         string
	MemoryReserved map[int]int64
	Devices        map[string]map[string][]int64 // NUMA nodes by ID, by resource
	Steps          []struct {
		Admit  *pod
		Remove string
	}
	Outcomes                           []outcome
	CPUState, MemoryState, DeviceState json.RawMessage
}

type node struct {
	ID        int
	Memory    uint64
	Huge      map[string]uint64 // pages by size in KiB
	Distances []uint64
	Cores     []struct {
		Socket  int
		Threads []int
		Uncore  *int
	}
}

type pod struct {
	UID   string
	Burst bool
	Init  []container
	Main  []container
}

type container struct {
	Name         string
	CPU          int64 // thousandths
	Memory, Huge int64
	Devices      map[string]int64
	Sidecar      bool
}

// outcome of one step. Of devices it counts how many are at which node ("example.com/r0@1"; -1: it does not say, 100: several).
type outcome struct {
	Admit           bool
	Reason, Message string
	CPUs            map[string]string
	Mems            map[string][]int
	Hints           map[string][]int
	Devices         map[string]map[string]int
}

// files are the machine's.
func (s *scenario) files() fstest.MapFS {
	m := fstest.MapFS{}
	file := func(text string, path string, args ...any) {
		m[fmt.Sprintf(path, args...)] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	for _, n := range s.Nodes {
		var all []int
		for i, c := range n.Cores {
			all = append(all, c.Threads...)
			var shared []int
			for _, o := range n.Cores {
				if c.Uncore != nil && o.Uncore != nil && *c.Uncore == *o.Uncore {
					shared = append(shared, o.Threads...)
				}
			}
			for _, cpu := range c.Threads {
				file(fmt.Sprint(n.ID*1000+i), "sys/devices/system/cpu/cpu%d/topology/core_id", cpu)
				file(fmt.Sprint(c.Socket), "sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu)
				if c.Uncore != nil {
					file("3", "sys/devices/system/cpu/cpu%d/cache/index3/level", cpu)
					file(fmt.Sprint(*c.Uncore), "sys/devices/system/cpu/cpu%d/cache/index3/id", cpu)
					file(cpuset.New(shared...).String(), "sys/devices/system/cpu/cpu%d/cache/index3/shared_cpu_list", cpu)
				}
			}
		}
		file(cpuset.New(all...).String(), "sys/devices/system/node/node%d/cpulist", n.ID)
		file(fmt.Sprintf("Node %d MemTotal: %d kB", n.ID, n.Memory>>10), "sys/devices/system/node/node%d/meminfo", n.ID)
		file(strings.Trim(fmt.Sprint(n.Distances), "[]"), "sys/devices/system/node/node%d/distance", n.ID)
		for size, pages := range n.Huge {
			file(fmt.Sprint(pages), "sys/devices/system/node/node%d/hugepages/hugepages-%skB/nr_hugepages", n.ID, size)
		}
	}
	return m
}

// place makes the Placement of a scenario, with plugins for its devices.
func (s *scenario) place(t *testing.T, dir string) *Placement {
	t.Helper()
	reserved := corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(s.CPUReserved, resource.DecimalSI)}
	settings := Settings{TopologyPolicy: s.Policy, TopologyScope: s.Scope, TopologyOptions: s.Options, CPUPolicy: s.CPU, CPUOptions: s.CPUOptions,
		AlphaOptions: true, ReservedCPUs: s.ReservedCPUs, MemoryPolicy: s.Memory, ReservedMemory: memorymap.Reserved{}}
	var sum int64
	for id, n := range s.MemoryReserved {
		sum += n
		if err := settings.ReservedMemory.Add(id, corev1.ResourceList{corev1.ResourceMemory: *resource.NewQuantity(n, resource.BinarySI)}); err != nil {
			t.Fatal(err)
		}
	}
	reserved[corev1.ResourceMemory] = *resource.NewQuantity(sum, resource.BinarySI)
	listed := make(chan struct{}, 100)
	p, err := New(Config{Settings: settings, Dir: dir, Machine: s.files(), Reserved: reserved, Log: slog.New(slog.DiscardHandler),
		Changed: func([]types.UID) { listed <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Devices) == 0 {
		return p
	}
	if err := os.Mkdir(filepath.Join(dir, "device-plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	go p.devices.Serve(t.Context()) //nolint:errcheck // its end is the test's
	for name, ids := range s.Devices {
		plugin := &devicestest.Plugin{Resource: name}
		var list []*pluginapi.Device
		for id, nodes := range ids {
			list = append(list, devicestest.Device(id, nodes...))
		}
		plugin.Set(list...)
		if err := plugin.Start(t.Context(), filepath.Join(dir, "device-plugins")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(plugin.Stop)
		<-listed
	}
	return p
}

func (c container) spec(burst bool) corev1.Container {
	out := corev1.Container{Name: c.Name, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}}
	ask := func(name corev1.ResourceName, q *resource.Quantity) {
		if !q.IsZero() {
			out.Resources.Requests[name], out.Resources.Limits[name] = *q, *q
		}
	}
	ask(corev1.ResourceCPU, resource.NewMilliQuantity(c.CPU, resource.DecimalSI))
	ask(corev1.ResourceMemory, resource.NewQuantity(c.Memory, resource.BinarySI))
	ask("hugepages-2Mi", resource.NewQuantity(c.Huge, resource.BinarySI))
	for name, n := range c.Devices {
		ask(corev1.ResourceName(name), resource.NewQuantity(n, resource.DecimalSI))
	}
	if burst {
		delete(out.Resources.Limits, corev1.ResourceCPU)
	}
	if c.Sidecar {
		out.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	}
	return out
}

func (p *pod) spec() *corev1.Pod {
	out := &corev1.Pod{}
	out.UID, out.Name, out.Namespace = types.UID(p.UID), p.UID, "default"
	for _, c := range p.Init {
		out.Spec.InitContainers = append(out.Spec.InitContainers, c.spec(p.Burst))
	}
	for _, c := range p.Main {
		out.Spec.Containers = append(out.Spec.Containers, c.spec(p.Burst))
	}
	return out
}

// look is what a pod has come to have.
func (p *Placement) outcome(pod *corev1.Pod, o *outcome) {
	o.CPUs, o.Mems, o.Hints, o.Devices = map[string]string{}, map[string][]int{}, map[string][]int{}, map[string]map[string]int{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if p.cpus != nil {
			if has, own := p.cpus.CPUs(pod.UID, c.Name); own {
				o.CPUs[c.Name] = has.String()
			}
		}
		if p.memory != nil {
			if nodes := p.memory.Nodes(pod.UID, c.Name); len(nodes) > 0 {
				o.Mems[c.Name] = nodes
			}
		}
		if h := p.topology.Affinity(pod.UID, c.Name); h.Mask != 0 {
			o.Hints[c.Name] = h.Mask.IDs()
		}
		for _, d := range p.devices.Devices(pod.UID, c.Name) {
			if o.Devices[c.Name] == nil {
				o.Devices[c.Name] = map[string]int{}
			}
			at := int64(-1)
			switch len(d.Nodes) {
			case 0:
			case 1:
				at = d.Nodes[0]
			default:
				at = 100
			}
			o.Devices[c.Name][fmt.Sprintf("%s@%d", d.Resource, at)]++
		}
	}
}

// The scenarios were run by the managers of a stock v1.37.1: machines of up to sixteen NUMA nodes, all policies, scopes and options.
func TestScenariosEndAsUpstreams(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	n, steps := 0, 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			n++
			s := &scenario{}
			if err := json.Unmarshal(lines.Bytes(), s); err != nil {
				t.Fatal(err)
			}
			steps += len(s.Steps)
			t.Run(fmt.Sprint(n), func(t *testing.T) { s.run(t) })
		}
		if lines.Err() != nil {
			t.Fatal(lines.Err())
		}
	}
	t.Logf("%d scenarios, %d steps", n, steps)
}

func (s *scenario) run(t *testing.T) {
	dir := quickDir(t) // t.TempDir's names are too long for sockets
	p := s.place(t, dir)
	for i, step := range s.Steps {
		var got outcome
		if step.Remove != "" {
			p.Release(types.UID(step.Remove))
			continue
		}
		pod := step.Admit.spec()
		got.Reason, got.Message = p.Admit(t.Context(), pod)
		if got.Admit = got.Reason == ""; got.Admit {
			p.outcome(pod, &got)
		}
		want := s.Outcomes[i]
		for _, o := range []*outcome{&want, &got} {
			if len(o.CPUs)+len(o.Mems)+len(o.Hints)+len(o.Devices) == 0 {
				o.CPUs, o.Mems, o.Hints, o.Devices = nil, nil, nil, nil
			}
		}
		if got.Admit && want.Admit && !reflect.DeepEqual(got.Devices, want.Devices) && sameDevices(got.Devices, want.Devices) {
			return // of devices that are as good upstream takes any: from here on there are others free
		}
		if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
			t.Fatalf("step %d: policy %s/%s %v, CPUs %v, reserved %d %q, memory %s\n got %s\nwant %s", i, s.Policy, s.Scope, s.Options, s.CPUOptions, s.CPUReserved, s.ReservedCPUs, s.Memory, g, w)
		}
	}
}

// sameDevices reports whether containers have as many devices of each resource, wherever they are.
func sameDevices(a, b map[string]map[string]int) bool {
	count := func(m map[string]map[string]int) map[string]int {
		out := map[string]int{}
		for name, devices := range m {
			for at, n := range devices {
				resource, _, _ := strings.Cut(at, "@")
				out[name+" "+resource] += n
			}
		}
		return out
	}
	return reflect.DeepEqual(count(a), count(b))
}
