package hardware

import (
	"fmt"
	"os"
	"reflect"
	"testing"
	"testing/fstest"

	"k8s.io/utils/cpuset"
)

// file adds a file to a machine.
func file(m fstest.MapFS, path, format string, args ...any) {
	m[path] = &fstest.MapFile{Data: []byte(fmt.Sprintf(format, args...) + "\n")}
}

// build makes the files of a machine: sockets, NUMA nodes of each, cores of each node, threads of each core. The second threads come after
// all first ones, as machines number them. Four cores share a cache.
func build(sockets, nodes, cores, threads int, offline ...int) fstest.MapFS {
	m := fstest.MapFS{}
	total := sockets * nodes * cores
	file(m, "sys/devices/system/cpu/online", "%s", cpuset.New(seq(0, total*threads)...).Difference(cpuset.New(offline...)))
	for n := range sockets * nodes {
		dir := fmt.Sprintf("sys/devices/system/node/node%d", n)
		var cpus []int
		for t := range threads {
			cpus = append(cpus, seq(t*total+n*cores, t*total+(n+1)*cores)...)
		}
		file(m, dir+"/cpulist", "%s", cpuset.New(cpus...))
		file(m, dir+"/meminfo", "Node %d MemTotal:       %d kB\nNode %d MemFree: 1 kB", n, 1<<20+n, n)
		file(m, dir+"/hugepages/hugepages-2048kB/nr_hugepages", "%d", 64+n)
		file(m, dir+"/hugepages/hugepages-1048576kB/nr_hugepages", "0")
		text := ""
		for o := range sockets * nodes {
			d := 21
			if o == n {
				d = 10
			} else if o/nodes == n/nodes {
				d = 12
			}
			text += fmt.Sprint(d, " ")
		}
		file(m, dir+"/distance", "%s", text)
		for _, cpu := range cpus {
			core := cpu % total % cores
			dir := fmt.Sprintf("sys/devices/system/cpu/cpu%d", cpu)
			file(m, dir+"/topology/core_id", "%d", n%nodes*cores+core)
			file(m, dir+"/topology/physical_package_id", "%d", n/nodes)
			file(m, dir+"/cache/index0/level", "1")
			file(m, dir+"/cache/index3/level", "3")
			file(m, dir+"/cache/index3/id", "%d", n*cores/4+core/4)
			var shared []int
			for t := range threads {
				shared = append(shared, seq(t*total+n*cores+core/4*4, t*total+n*cores+min(cores, core/4*4+4))...)
			}
			file(m, dir+"/cache/index3/shared_cpu_list", "%s", cpuset.New(shared...))
		}
	}
	return m
}

func seq(from, to int) (out []int) {
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func TestTwoNodes(t *testing.T) {
	m, err := Read(build(2, 1, 4, 2))
	if err != nil {
		t.Fatal(err)
	}
	if m.Sockets != 2 || m.Cores != 8 || len(m.CPUs) != 16 || len(m.Nodes) != 2 {
		t.Errorf("%+v", m)
	}
	// The only cache of the third level is the whole node's, so the socket's number stands for it.
	if got, want := m.CPUs[13], (CPU{Node: 1, Socket: 1, Core: 5, Uncore: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	want := Node{ID: 1, Memory: (1<<20 + 1) << 10, HugePages: []HugePages{{1 << 30, 0}, {2 << 20, 65}}, Distances: []uint64{21, 10}}
	if !reflect.DeepEqual(m.Nodes[1], want) {
		t.Errorf("%+v, want %+v", m.Nodes[1], want)
	}
}

func TestEightNodes(t *testing.T) {
	m, err := Read(build(2, 4, 8, 2, 5, 69))
	if err != nil {
		t.Fatal(err)
	}
	if m.Sockets != 2 || m.Cores != 63 || len(m.CPUs) != 126 || len(m.Nodes) != 8 {
		t.Errorf("%d sockets, %d cores, %d CPUs, %d nodes", m.Sockets, m.Cores, len(m.CPUs), len(m.Nodes))
	}
	if got, want := m.CPUs[64+30], (CPU{Node: 3, Socket: 0, Core: 30, Uncore: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if want := []uint64{21, 21, 21, 21, 10, 12, 12, 12}; !reflect.DeepEqual(m.Nodes[4].Distances, want) {
		t.Errorf("%v", m.Nodes[4].Distances)
	}
}

// A kernel without NUMA nodes has one for each socket.
func TestNoNodes(t *testing.T) {
	files := build(2, 1, 2, 1)
	for path := range files {
		if len(path) > len(nodeDir) && path[:len(nodeDir)] == nodeDir {
			delete(files, path)
		}
	}
	file(files, "proc/meminfo", "MemTotal:       2048 kB")
	file(files, "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "3")
	m, err := Read(files)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Node{{ID: 0, Memory: 2 << 20, HugePages: []HugePages{{2 << 20, 3}}}, {ID: 1}}; !reflect.DeepEqual(m.Nodes, want) {
		t.Errorf("%+v", m.Nodes)
	}
	if m.CPUs[3].Node != 1 {
		t.Errorf("%+v", m.CPUs)
	}
}

func TestNothingThere(t *testing.T) {
	if _, err := Read(fstest.MapFS{}); err == nil {
		t.Error("a machine without CPUs")
	}
}

// Of the machine that the test runs on the kernel says how many CPUs there are, too.
func TestThisMachine(t *testing.T) {
	m, err := Read(os.DirFS("/"))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Nodes) == 0 || m.Nodes[0].Memory == 0 || m.Cores > len(m.CPUs) || m.Sockets > m.Cores {
		t.Errorf("%+v", m)
	}
}
