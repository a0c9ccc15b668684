package topology

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan.dev/internal/control/scheduler/plugin"
)

// group is some of the pods of the cluster, counted by node. The pods of a group are those that selects says, or those that
// carry a term.
type group struct {
	key        string
	selects    func(*corev1.Pod) bool // nil when the group is of the carriers of a term
	namespaces []string               // where selects may say yes; nil: anywhere
	byLabels   bool                   // labels of namespaces matter
	count      []int32                // by node id, known nodes and others
	pods       int                    // all of them
	tallies    []*tally
	recounted  uint64
	used       uint64 // the sweep that last found it in use
}

// on returns how many pods of the group are on a node.
func (g *group) on(id int32) int32 {
	if int(id) >= len(g.count) {
		return 0
	}
	return g.count[id]
}

func (g *group) add(id, n int32) {
	for int(id) >= len(g.count) {
		g.count = append(g.count, 0)
	}
	g.count[id] += n
	g.pods += int(n)
	for _, t := range g.tallies {
		t.node(id, n)
	}
}

// tally returns the group's count by the domains of a layout.
func (g *group) tally(l *layout) *tally {
	for _, t := range g.tallies {
		if t.layout == l {
			return t
		}
	}
	t := newTally(l, g)
	g.tallies = append(g.tallies, t)
	l.tallies = append(l.tallies, t)
	return t
}

// census counts groups of pods by the domains of nodes. It is told of every node and pod, and asked for groups and layouts,
// which it makes by a look at all pods or nodes and keeps up to date from then on; what is asked for no longer is dropped by
// sweep. Nodes have small numbers in it, so that counts are kept in slices. It belongs to the scheduler's goroutine.
type census struct {
	ids    map[string]int32
	nodes  []*plugin.Node // by id; nil: the id is free
	unused []int32

	layouts map[string]*layout
	groups  map[string]*group
	inSpace map[string][]*group // groups that select, by the namespaces that they select in
	inAny   []*group            // those that select in any
	sweeps  uint64
	placed  iter.Seq2[*plugin.Pod, string] // all pods on nodes, and the nodes' names; nil: none
}

func newCensus() census {
	return census{ids: map[string]int32{}, layouts: map[string]*layout{}, groups: map[string]*group{}, inSpace: map[string][]*group{}}
}

// Placed implements plugin.Surveyor.
func (c *census) Placed(pods iter.Seq2[*plugin.Pod, string]) { c.placed = pods }

// id returns a node's number, giving it one.
func (c *census) id(name string) int32 {
	if id, known := c.ids[name]; known {
		return id
	}
	var id int32
	if n := len(c.unused); n > 0 {
		id, c.unused = c.unused[n-1], c.unused[:n-1]
	} else {
		id = int32(len(c.nodes))
		c.nodes = append(c.nodes, nil)
	}
	c.ids[name], c.nodes[id] = id, plugin.NewNode(name)
	return id
}

// Node implements plugin.Index.
func (c *census) Node(_, after *plugin.Node) {
	id := c.id(after.Name)
	c.nodes[id] = after
	for _, l := range c.layouts {
		l.set(id, after)
	}
	c.release(after)
}

// release gives back the number of a node that is no longer there, nor any pod on it.
func (c *census) release(node *plugin.Node) {
	if node.Known() || !node.Empty() {
		return
	}
	if id, known := c.ids[node.Name]; known {
		delete(c.ids, node.Name)
		c.nodes[id] = nil
		c.unused = append(c.unused, id)
	}
}

// Pod implements plugin.Index for the groups that select.
func (c *census) Pod(pod *plugin.Pod, node *plugin.Node, sign int) {
	if len(c.groups) == 0 {
		c.release(node)
		return
	}
	id := c.id(node.Name)
	for _, g := range c.inSpace[pod.Namespace] {
		if g.selects(pod.Pod) {
			g.add(id, int32(sign))
		}
	}
	for _, g := range c.inAny {
		if g.selects(pod.Pod) {
			g.add(id, int32(sign))
		}
	}
	c.release(node)
}

// selecting returns the group of a key; make says what it is when it is new. It is counted by a look at all pods.
func (c *census) selecting(key string, make func() *group) *group {
	if g := c.groups[key]; g != nil {
		return g
	}
	g := make()
	g.key = key
	c.groups[key] = g
	if g.namespaces == nil {
		c.inAny = append(c.inAny, g)
	}
	for _, name := range g.namespaces {
		c.inSpace[name] = append(c.inSpace[name], g)
	}
	c.recount(g)
	return g
}

// recount counts a group that selects anew.
func (c *census) recount(g *group) {
	for id, n := range g.count {
		if n != 0 {
			g.add(int32(id), -n)
		}
	}
	g.recounted++
	if c.placed == nil {
		return
	}
	for pod, node := range c.placed {
		if g.selects(pod.Pod) {
			g.add(c.id(node), 1)
		}
	}
}

// layout returns the layout of a key, making it by a look at all nodes.
func (c *census) layout(key, label string, admits func(*plugin.Node) bool) *layout {
	if l := c.layouts[key]; l != nil {
		return l
	}
	l := newLayout(label, admits)
	c.layouts[key] = l
	for id, n := range c.nodes {
		if n != nil {
			l.set(int32(id), n)
		}
	}
	return l
}

// sweep drops the groups, tallies and layouts that use does not name.
func (c *census) sweep(use func(keep func(*tally))) {
	c.sweeps++
	kept := map[*tally]bool{}
	use(func(t *tally) {
		kept[t] = true
		t.group.used = c.sweeps
	})
	for key, g := range c.groups {
		if g.used != c.sweeps {
			delete(c.groups, key)
		}
		g.tallies = only(g.tallies, func(t *tally) bool { return kept[t] })
	}
	for key, l := range c.layouts {
		if l.tallies = only(l.tallies, func(t *tally) bool { return kept[t] }); len(l.tallies) == 0 {
			delete(c.layouts, key)
		}
	}
	used := func(g *group) bool { return g.used == c.sweeps }
	for name, list := range c.inSpace {
		if c.inSpace[name] = only(list, used); len(c.inSpace[name]) == 0 {
			delete(c.inSpace, name)
		}
	}
	c.inAny = only(c.inAny, used)
}

func only[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, one := range list {
		if keep(one) {
			out = append(out, one)
		}
	}
	return out
}

// Cluster is what the plugins ask about namespaces and the owners of pods. Its answers may change between two attempts at any
// time; a change gives Namespaces or Workloads another version.
type Cluster interface {
	// NamespaceLabels returns the labels of a namespace, nil when it is not known.
	NamespaceLabels(name string) labels.Set
	// Selector returns what selects a pod together with its like: by its services and its controller. It is empty when the
	// pod has neither (upstream's helper.DefaultSelector).
	Selector(pod *corev1.Pod) labels.Selector
	// Versions count the changes of namespaces' labels and of what Selector depends on.
	Versions() (namespaces, workloads uint64)
}

// nowhere is a cluster of which nothing is known.
type nowhere struct{}

func (nowhere) NamespaceLabels(string) labels.Set    { return nil }
func (nowhere) Selector(*corev1.Pod) labels.Selector { return labels.NewSelector() }
func (nowhere) Versions() (uint64, uint64)           { return 0, 0 }
