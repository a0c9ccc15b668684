package placement

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/cpuset"
)

// oracle decides by trying everything: every set of NUMA nodes for every resource, every choice of them, the best by a key. It keeps its own
// account of memory; which CPUs are free it counts on what containers were given.
type oracle struct {
	s         *scenario
	nodeOf    map[int]int // of each CPU
	perCore   int
	cpusOf    []int // per node
	freeCPUs  []int
	reserved  cpuset.CPUSet
	allocable []int64
	freeMem   []int64
	cells     []uint64 // the group that a node serves in; 0: none yet
	uses      []int
	given     map[string][]block
	cpusGiven map[string]map[int]int // by pod: CPUs of each node
}

type block struct {
	set  uint64
	size int64
	part []int64 // of each node
}

type choice struct {
	set       uint64
	preferred bool
}

func (o *oracle) sum(of []int64, set uint64) (n int64) {
	for i, x := range of {
		if set&(1<<i) != 0 {
			n += x
		}
	}
	return n
}

func (o *oracle) cpus(of []int, set uint64) (n int) {
	for i, x := range of {
		if set&(1<<i) != 0 {
			n += x
		}
	}
	return n
}

// prefer marks the sets of as few nodes as could ever do.
func prefer(sets []uint64, least int) []choice {
	out := []choice{}
	for _, set := range sets {
		out = append(out, choice{set, bits.OnesCount64(set) == least})
	}
	return out
}

func (o *oracle) cpuChoices(n int) []choice {
	least, sets := len(o.cpusOf), []uint64{}
	for set := uint64(1); set < 1<<len(o.cpusOf); set++ {
		if o.cpus(o.cpusOf, set) >= n {
			least = min(least, bits.OnesCount64(set))
		}
		if o.cpus(o.freeCPUs, set) >= n {
			sets = append(sets, set)
		}
	}
	return prefer(sets, least)
}

func (o *oracle) memoryChoices(n int64) []choice {
	least, sets := len(o.cpusOf), []uint64{}
	for set := uint64(1); set < 1<<len(o.cpusOf); set++ {
		if o.sum(o.allocable, set) < n {
			continue
		}
		least = min(least, bits.OnesCount64(set))
		if o.sum(o.freeMem, set) >= n && o.mayServe(set) {
			sets = append(sets, set)
		}
	}
	return prefer(sets, least)
}

// mayServe: a node that serves alone is in no group, one of a group in no other.
func (o *oracle) mayServe(set uint64) bool {
	for i := range o.cells {
		if set&(1<<i) != 0 && o.uses[i] > 0 && o.cells[i] != set {
			return false
		}
	}
	return true
}

// merge tries every choice of one set from each list. A list of nil has no opinion.
func (o *oracle) merge(lists ...[]choice) (choice, bool) {
	whole := uint64(1)<<len(o.cpusOf) - 1
	need := 0
	for i, list := range lists {
		if list == nil {
			lists[i] = []choice{{0, true}}
		} else if len(list) == 0 {
			lists[i] = []choice{{0, false}}
		}
		if o.s.Policy == "single-numa-node" {
			lists[i] = slices.DeleteFunc(slices.Clone(lists[i]), func(c choice) bool { return !c.preferred || bits.OnesCount64(c.set) > 1 })
		}
		least := 0
		for _, c := range lists[i] {
			if n := bits.OnesCount64(c.set); n > 0 && (least == 0 || n < least) {
				least = n
			}
		}
		need = max(need, least)
	}
	key := func(c choice) []uint64 {
		n := uint64(bits.OnesCount64(c.set))
		switch {
		case c.preferred:
			return []uint64{0, n, c.set}
		case n <= uint64(need):
			return []uint64{1, 100 - n, c.set}
		}
		return []uint64{2, n, c.set}
	}
	var best *choice
	for _, a := range lists[0] {
		for _, b := range lists[1] {
			c := choice{whole, a.preferred && b.preferred && (a.set == b.set || a.set == 0 || b.set == 0)}
			for _, set := range []uint64{a.set, b.set} {
				if set != 0 {
					c.set &= set
				}
			}
			if c.set != 0 && (best == nil || slices.Compare(key(c), key(*best)) < 0) {
				best = &c
			}
		}
	}
	if best == nil {
		best = &choice{whole, false}
	}
	if o.s.Policy == "single-numa-node" && best.set == whole {
		best.set = 0
	}
	return *best, o.s.Policy == "best-effort" || best.preferred
}

// admit says what becomes of a pod: the reason of a refusal, else where each container's memory and CPUs are to be. got are the CPUs that
// its containers were given, as far as they were.
func (o *oracle) admit(p *pod, got map[string]cpuset.CPUSet) (reason string, hints map[string]uint64, memory map[string]uint64) {
	hints, memory = map[string]uint64{}, map[string]uint64{}
	var whole choice
	ask := func(cpu, mem int64) (choice, bool) {
		var a, b []choice
		if cpu%1000 == 0 {
			a = o.cpuChoices(int(cpu / 1000))
		}
		if o.s.Memory == "Static" {
			if b = o.memoryChoices(mem); len(b) == 0 {
				b = nil // it says nothing, and fails when memory is to be given
			}
		}
		return o.merge(a, b)
	}
	if o.s.Scope == "pod" && o.s.Policy != "none" {
		var cpu, mem int64
		for _, c := range p.Main {
			mem += c.Memory
			if c.CPU%1000 == 0 {
				cpu += c.CPU
			}
		}
		if cpu == 0 {
			cpu = 1 // no whole CPUs: no opinion
		}
		var ok bool
		if whole, ok = ask(cpu, mem); !ok {
			return "TopologyAffinityError", nil, nil
		}
	}
	for _, c := range p.Main {
		h := whole
		if o.s.Scope == "container" && o.s.Policy != "none" {
			var ok bool
			if h, ok = ask(c.CPU, c.Memory); !ok {
				return "TopologyAffinityError", nil, nil
			}
		}
		hints[c.Name] = h.set
		if c.CPU%1000 == 0 {
			if reason := o.takeCPUs(p, c, h.set, got); reason != "" {
				return reason, nil, nil
			}
		}
		if o.s.Memory == "Static" {
			set, ok := o.takeMemory(p.UID, c.Memory, h)
			if !ok {
				return "UnexpectedAdmissionError", nil, nil
			}
			memory[c.Name] = set
		}
		if _, seen := got[c.Name]; !seen && c.CPU%1000 == 0 {
			return "nothing: all that it asks for is there", nil, nil
		}
	}
	return "", hints, memory
}

// takeCPUs checks that a container was given CPUs of the hint's nodes as long as these had any, and counts them.
func (o *oracle) takeCPUs(p *pod, c container, set uint64, got map[string]cpuset.CPUSet) string {
	all, n := uint64(1)<<len(o.cpusOf)-1, int(c.CPU/1000)
	if o.cpus(o.freeCPUs, all) < n {
		return "UnexpectedAdmissionError"
	}
	if _, seen := got[c.Name]; !seen {
		return "" // something after the CPUs failed
	}
	per := make([]int, len(o.cpusOf))
	for _, cpu := range got[c.Name].List() {
		per[o.nodeOf[cpu]]++
	}
	if o.cpus(per, all) != n || set != 0 && o.cpus(per, set) != min(n, o.cpus(o.freeCPUs, set)) {
		return fmt.Sprintf("%s has CPUs %s, which is not %d of %b", c.Name, got[c.Name], n, set)
	}
	if o.cpusGiven[p.UID] == nil {
		o.cpusGiven[p.UID] = map[int]int{}
	}
	for node, k := range per {
		if o.freeCPUs[node] -= k; o.freeCPUs[node] < 0 {
			return fmt.Sprintf("%s has CPUs %s, which others have", c.Name, got[c.Name])
		}
		o.cpusGiven[p.UID][node] += k
	}
	return ""
}

// takeMemory gives memory on the nodes of the hint, on more where these have too little, or on the best where there is no hint.
func (o *oracle) takeMemory(pod string, n int64, h choice) (uint64, bool) {
	best := func(within uint64) (choice, bool) {
		list := slices.DeleteFunc(o.memoryChoices(n), func(c choice) bool { return c.set&within != within })
		if len(list) == 0 {
			return choice{}, false
		}
		return slices.MinFunc(list, func(a, b choice) int {
			if a.preferred != b.preferred {
				if a.preferred {
					return -1
				}
				return 1
			}
			return cmp.Or(cmp.Compare(bits.OnesCount64(a.set), bits.OnesCount64(b.set)), cmp.Compare(a.set, b.set))
		}), true
	}
	if h.set == 0 {
		b, ok := best(0)
		if !ok || h.preferred && !b.preferred {
			return 0, false
		}
		h = b
	}
	if o.sum(o.freeMem, h.set) < n {
		b, ok := best(h.set)
		if !ok || h.preferred && !b.preferred {
			return 0, false
		}
		h = b
	}
	if bits.OnesCount64(h.set) > 1 && !o.mayServe(h.set) {
		return 0, false
	}
	b := block{set: h.set, size: n, part: make([]int64, len(o.freeMem))}
	for i := range o.freeMem {
		if h.set&(1<<i) != 0 {
			o.cells[i] = h.set
			o.uses[i]++
			b.part[i] = min(n, o.freeMem[i])
			o.freeMem[i] -= b.part[i]
			n -= b.part[i]
		}
	}
	o.given[pod] = append(o.given[pod], b)
	return h.set, true
}

func (o *oracle) remove(pod string) {
	for _, b := range o.given[pod] {
		left := b.size
		for i := range o.freeMem {
			if b.set&(1<<i) != 0 {
				if o.uses[i]--; o.uses[i] == 0 {
					o.cells[i] = 0
				}
				part := min(left, o.allocable[i]-o.freeMem[i]) // as much as is reserved there, which node it came from does not count
				o.freeMem[i] += part
				left -= part
			}
		}
	}
	delete(o.given, pod)
	for n, k := range o.cpusGiven[pod] {
		o.freeCPUs[n] += k
	}
	delete(o.cpusGiven, pod)
}

// spy is a provider without opinion that sees which CPUs each container is given.
type spy struct {
	p   *Placement
	got map[string]cpuset.CPUSet
}

func (*spy) Hints(*corev1.Pod, *corev1.Container) topology.Hints { return nil }
func (*spy) PodHints(*corev1.Pod) topology.Hints                 { return nil }
func (s *spy) Allocate(_ context.Context, pod *corev1.Pod, c *corev1.Container) error {
	if cpus, own := s.p.cpus.CPUs(pod.UID, c.Name); own {
		s.got[c.Name] = cpus
	}
	return nil
}

func newOracle(s *scenario) *oracle {
	o := &oracle{s: s, nodeOf: map[int]int{}, given: map[string][]block{}, cpusGiven: map[string]map[int]int{}}
	for i, n := range s.Nodes {
		count := 0
		for _, c := range n.Cores {
			for _, cpu := range c.Threads {
				o.nodeOf[cpu] = i
				count++
			}
		}
		o.cpusOf = append(o.cpusOf, count)
		o.allocable = append(o.allocable, int64(n.Memory)-s.MemoryReserved[i])
	}
	o.freeCPUs, o.freeMem = slices.Clone(o.cpusOf), slices.Clone(o.allocable)
	o.freeCPUs[0]-- // the reserved CPU is the machine's first
	o.cells, o.uses = make([]uint64, len(s.Nodes)), make([]int, len(s.Nodes))
	return o
}

// randomScenario is a machine of up to eight NUMA nodes with pods that come and go.
func randomScenario(r *rand.Rand) *scenario {
	pick := func(of ...int) int { return of[r.IntN(len(of))] }
	s := &scenario{CPU: "static", CPUReserved: 1000, MemoryReserved: map[int]int64{0: 1 << 29}, ReservedCPUs: "0"}
	s.Policy = []string{"none", "best-effort", "restricted", "single-numa-node"}[r.IntN(4)]
	s.Scope = []string{"container", "pod"}[r.IntN(2)]
	s.Memory = []string{"None", "Static"}[r.IntN(2)]
	nodes, cores, threads := pick(1, 2, 2, 4, 8), pick(1, 2, 4), pick(1, 2)
	for n := range nodes {
		d := node{ID: n, Memory: uint64(pick(2, 4, 8)) << 30, Distances: make([]uint64, nodes)}
		for c := range cores {
			d.Cores = append(d.Cores, struct {
				Socket  int
				Threads []int
				Uncore  *int
			}{Socket: n})
			for t := range threads {
				d.Cores[c].Threads = append(d.Cores[c].Threads, t*nodes*cores+n*cores+c)
			}
		}
		s.Nodes = append(s.Nodes, d)
	}
	var live []string
	for i := range pick(3, 5, 8) {
		step := struct {
			Admit  *pod
			Remove string
		}{}
		if len(live) > 0 && r.IntN(4) == 0 {
			k := r.IntN(len(live))
			step.Remove = live[k]
			live = slices.Delete(live, k, k+1)
		} else {
			step.Admit = &pod{UID: fmt.Sprint("p", i)}
			for c := range pick(1, 1, 2, 3) {
				step.Admit.Main = append(step.Admit.Main, container{Name: fmt.Sprint("c", c),
					CPU: int64(pick(500, 1000, 2000, 1000*cores, 1000*cores*threads, 1500*cores*threads)), Memory: int64(pick(1, 2, 4, 9, 12)) << 29})
			}
			live = append(live, step.Admit.UID)
		}
		s.Steps = append(s.Steps, step)
	}
	return s
}

// quickDir is a folder in memory, where there is one: checkpoints are written to the disk each time.
func quickDir(t *testing.T) string {
	t.Helper()
	for _, base := range []string{"/dev/shm", ""} {
		if dir, err := os.MkdirTemp(base, "p"); err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			return dir
		}
	}
	t.Fatal("no folder for temporary files")
	return ""
}

func TestRandomMachinesAsTheOracleSays(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 9))
	dir := quickDir(t)
	admitted, refused := 0, map[string]int{}
	for round := range 10000 {
		s := randomScenario(r)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		p, o := s.place(t, dir), newOracle(s)
		see := &spy{p: p}
		p.topology.Use(see)
		for i, step := range s.Steps {
			if step.Remove != "" {
				p.Release(types.UID(step.Remove))
				o.remove(step.Remove)
				continue
			}
			spec := step.Admit.spec()
			before := o.counts()
			see.got = map[string]cpuset.CPUSet{}
			var got outcome
			got.Reason, got.Message = p.Admit(t.Context(), spec)
			wantReason, hints, memory := o.admit(step.Admit, see.got)
			if got.Reason != wantReason {
				t.Fatalf("round %d, step %d: %q (%s), want %q; %+v, free before %s", round, i, got.Reason, got.Message, wantReason, s, before)
			}
			if got.Reason != "" {
				refused[got.Reason]++
				o.remove(step.Admit.UID)
				continue
			}
			admitted++
			p.outcome(spec, &got)
			for _, c := range step.Admit.Main {
				if want := hints[c.Name]; len(got.Hints[c.Name]) != bits.OnesCount64(want) || maskOf(got.Hints[c.Name]) != want {
					t.Fatalf("round %d, step %d, %s: on %v, want %b", round, i, c.Name, got.Hints[c.Name], want)
				}
				if want := memory[c.Name]; maskOf(got.Mems[c.Name]) != want {
					t.Fatalf("round %d, step %d, %s: memory of %v, want %b; %s/%s", round, i, c.Name, got.Mems[c.Name], want, s.Policy, s.Scope)
				}
			}
		}
	}
	if admitted < 5000 || refused["TopologyAffinityError"] < 1000 || refused["UnexpectedAdmissionError"] < 100 {
		t.Errorf("the rounds are poor: %d admitted, refused %v", admitted, refused)
	}
	t.Logf("%d admitted, refused: %v", admitted, refused)
}

func (o *oracle) counts() string {
	return strings.Join([]string{fmt.Sprint(o.freeCPUs), fmt.Sprint(o.freeMem), fmt.Sprint(slices.Sorted(maps.Keys(o.given)))}, " ")
}

func maskOf(ids []int) (m uint64) {
	for _, id := range ids {
		m |= 1 << id
	}
	return m
}
