package hardware

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// Machine is a machine's CPUs and memory.
type Machine struct {
	Nodes   []Node      // NUMA nodes by ID
	CPUs    map[int]CPU // those that are online
	Cores   int         // in all
	Sockets int
}

// CPU says where one logical CPU (a hardware thread) belongs.
type CPU struct {
	Node, Socket int
	Core         int // its number is that of the core's lowest CPU, so it is the machine's alone
	Uncore       int // the last cache that only some cores of the NUMA node share; the socket's number where there is none
}

// Node is a NUMA node.
type Node struct {
	ID        int
	Memory    uint64 // bytes
	HugePages []HugePages
	Distances []uint64 // to each node in order, as the kernel rates it: 10 is here; nil when it does not say
}

// HugePages are those of one size that the kernel has set aside.
type HugePages struct{ Size, Count uint64 } // size in bytes

const (
	cpuDir  = "sys/devices/system/cpu"
	nodeDir = "sys/devices/system/node"
)

// Read reads the machine whose /sys and /proc are below root. A kernel without NUMA nodes has one for each socket.
func Read(root fs.FS) (*Machine, error) {
	r := reader{root}
	m := &Machine{CPUs: map[int]CPU{}}
	nodes, err := r.nodes()
	if err != nil {
		return nil, err
	}
	online, err := r.online()
	if err != nil {
		return nil, err
	}
	r.place(m, nodes, online)
	if len(m.CPUs) == 0 {
		return nil, errors.New("could not detect number of cpus")
	}
	if nodes == nil {
		m.Nodes = r.sockets(m)
	}
	cores, sockets := map[int]bool{}, map[int]bool{}
	for _, c := range m.CPUs {
		cores[c.Core], sockets[c.Socket] = true, true
	}
	m.Cores, m.Sockets = len(cores), len(sockets)
	return m, nil
}

// reader reads files of a machine.
type reader struct{ fs.FS }

// text is a file's content; "" when there is no such file.
func (r reader) text(path string) string {
	b, _ := fs.ReadFile(r, path)
	return strings.TrimSpace(string(b))
}

// number is a file's content as a number; false when it holds none.
func (r reader) number(path string) (int, bool) {
	n, err := strconv.Atoi(r.text(path))
	return n, err == nil
}

// nodes are the IDs of the NUMA nodes that are online, nil when the kernel has none.
func (r reader) nodes() ([]int, error) {
	entries, err := fs.ReadDir(r, nodeDir)
	if err != nil {
		return nil, nil
	}
	var out []int
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), "node"); ok {
			if n, err := strconv.Atoi(id); err == nil {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

func (r reader) online() (cpuset.CPUSet, error) {
	if list := r.text(cpuDir + "/online"); list != "" {
		set, err := cpuset.Parse(list)
		if err != nil {
			return set, fmt.Errorf("read %s/online: %w", cpuDir, err)
		}
		return set, nil
	}
	var all []int
	entries, _ := fs.ReadDir(r, cpuDir)
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), "cpu"); ok {
			if n, err := strconv.Atoi(id); err == nil {
				all = append(all, n)
			}
		}
	}
	return cpuset.New(all...), nil
}

// place fills in the CPUs and the NUMA nodes.
func (r reader) place(m *Machine, nodes []int, online cpuset.CPUSet) {
	if nodes == nil {
		r.add(m, online.List(), func(c CPU) int { return c.Socket })
		return
	}
	for _, id := range nodes {
		cpus, _ := cpuset.Parse(r.text(fmt.Sprintf("%s/node%d/cpulist", nodeDir, id)))
		r.add(m, cpus.Intersection(online).List(), func(CPU) int { return id })
		m.Nodes = append(m.Nodes, r.node(id))
	}
}

// add reads the CPUs of one NUMA node, or of all where there are none. One that does not say where it belongs is left out.
func (r reader) add(m *Machine, cpus []int, node func(CPU) int) {
	type core struct{ socket, id int }
	lowest := map[core]int{}
	var added []int
	for _, cpu := range cpus { // in order: the first of a core is the lowest
		dir := fmt.Sprintf("%s/cpu%d/topology", cpuDir, cpu)
		id, ok := r.number(dir + "/core_id")
		socket, also := r.number(dir + "/physical_package_id")
		if !ok || !also {
			continue
		}
		c := CPU{Socket: socket}
		c.Node = node(c)
		key := core{socket, id}
		if _, known := lowest[key]; !known {
			lowest[key] = cpu
		}
		c.Core = lowest[key]
		m.CPUs[cpu] = c
		added = append(added, cpu)
	}
	for _, cpu := range added {
		c := m.CPUs[cpu]
		c.Uncore = c.Socket
		if id, ok := r.uncore(c.Core, added); ok {
			c.Uncore = id
		}
		m.CPUs[cpu] = c
	}
}

// uncore is the number of the cache of the third level or beyond that a CPU shares with some, but not all, of its node's.
func (r reader) uncore(cpu int, node []int) (int, bool) {
	dir := fmt.Sprintf("%s/cpu%d/cache", cpuDir, cpu)
	entries, _ := fs.ReadDir(r, dir)
	for _, e := range entries {
		level, ok := r.number(dir + "/" + e.Name() + "/level")
		if !strings.HasPrefix(e.Name(), "index") || !ok || level < 3 {
			continue
		}
		shared, err := cpuset.Parse(r.text(dir + "/" + e.Name() + "/shared_cpu_list"))
		id, named := r.number(dir + "/" + e.Name() + "/id")
		if err == nil && named && shared.Size() != len(node) {
			return id, true
		}
	}
	return 0, false
}
