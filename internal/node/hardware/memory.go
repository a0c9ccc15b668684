package hardware

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// node reads the memory of a NUMA node.
func (r reader) node(id int) Node {
	dir := fmt.Sprintf("%s/node%d", nodeDir, id)
	n := Node{ID: id, Memory: memTotal(r.text(dir + "/meminfo")), HugePages: r.hugePages(dir + "/hugepages")}
	for _, word := range strings.Fields(r.text(dir + "/distance")) {
		if d, err := strconv.ParseUint(word, 10, 64); err == nil {
			n.Distances = append(n.Distances, d)
		}
	}
	return n
}

// sockets makes a NUMA node of every socket. The memory is the first one's.
func (r reader) sockets(m *Machine) []Node {
	var out []Node
	for _, c := range m.CPUs {
		if !slices.ContainsFunc(out, func(n Node) bool { return n.ID == c.Socket }) {
			out = append(out, Node{ID: c.Socket})
		}
	}
	slices.SortFunc(out, func(a, b Node) int { return a.ID - b.ID })
	out[0].Memory = memTotal(r.text("proc/meminfo"))
	out[0].HugePages = r.hugePages("sys/kernel/mm/hugepages")
	return out
}

// memTotal finds the line "MemTotal: N kB", which a node's file begins with the node's name.
func memTotal(meminfo string) uint64 {
	_, rest, _ := strings.Cut(meminfo, "MemTotal:")
	if words := strings.Fields(rest); len(words) > 0 {
		kib, _ := strconv.ParseUint(words[0], 10, 64)
		return kib << 10
	}
	return 0
}

// hugePages reads a folder with one folder hugepages-2048kB for each size.
func (r reader) hugePages(dir string) []HugePages {
	var out []HugePages
	entries, _ := fs.ReadDir(r, dir)
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), "hugepages-")
		kib, err := strconv.ParseUint(strings.TrimSuffix(text, "kB"), 10, 64)
		count, known := r.number(dir + "/" + e.Name() + "/nr_hugepages")
		if ok && err == nil && known && count >= 0 {
			out = append(out, HugePages{Size: kib << 10, Count: uint64(count)})
		}
	}
	return out
}
