package gc

import (
	"slices"
	"sync"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// node is what ownership needs of an object. It is not changed once it is in the graph.
type node struct {
	kind            *api.Kind
	namespace, name string
	uid             types.UID
	owners          []metav1.OwnerReference
	dying           bool // has a deletion timestamp
	foreground      bool // dying, and waits for its dependents to go first
	orphaning       bool // dying, and waits for its dependents to be let go
}

func nodeOf(kind *api.Kind, obj api.Object) *node {
	n := &node{kind: kind, namespace: obj.GetNamespace(), name: obj.GetName(), uid: obj.GetUID(), owners: obj.GetOwnerReferences()}
	if n.dying = obj.GetDeletionTimestamp() != nil; n.dying {
		n.foreground = slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents)
		n.orphaning = slices.Contains(obj.GetFinalizers(), metav1.FinalizerOrphanDependents)
	}
	return n
}

// graph holds the nodes by UID, and the dependents of every owner, seen or not.
type graph struct {
	mu struct {
		sync.Mutex
		nodes      map[types.UID]*node
		dependents map[types.UID]map[types.UID]bool
	}
}

func newGraph() *graph {
	g := &graph{}
	g.mu.nodes = map[types.UID]*node{}
	g.mu.dependents = map[types.UID]map[types.UID]bool{}
	return g
}

// due is the work that a change of the graph leads to.
type due struct {
	look   []types.UID // is it still wanted, or what does it wait for
	orphan []types.UID // its dependents are to be let go
}

// set puts n into the graph in place of an older state of it.
func (g *graph) set(n *node) due {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.mu.nodes[n.uid]
	g.mu.nodes[n.uid] = n
	var d due
	if old == nil || !slices.EqualFunc(old.owners, n.owners, sameReference) {
		if old != nil {
			g.unlinkLocked(old)
			// An owner that waits for its dependents may have been waiting for this one.
			d.look = append(d.look, g.waitingLocked(old)...)
		}
		g.linkLocked(n)
		if !g.settledLocked(n) {
			d.look = append(d.look, n.uid)
		}
	}
	if n.foreground && (old == nil || !old.foreground) {
		d.look = append(d.look, n.uid)
		for dep := range g.mu.dependents[n.uid] {
			d.look = append(d.look, dep)
		}
	}
	if n.orphaning && (old == nil || !old.orphaning) {
		d.orphan = append(d.orphan, n.uid)
	}
	return d
}

// remove takes the object out of the graph. Its dependents have lost an owner, and its owners a dependent.
func (g *graph) remove(uid types.UID) due {
	g.mu.Lock()
	defer g.mu.Unlock()
	var d due
	old := g.mu.nodes[uid]
	if old == nil {
		return d
	}
	delete(g.mu.nodes, uid)
	g.unlinkLocked(old)
	d.look = g.waitingLocked(old)
	for dep := range g.mu.dependents[uid] {
		d.look = append(d.look, dep)
	}
	return d
}

func (g *graph) linkLocked(n *node) {
	for _, o := range n.owners {
		if g.mu.dependents[o.UID] == nil {
			g.mu.dependents[o.UID] = map[types.UID]bool{}
		}
		g.mu.dependents[o.UID][n.uid] = true
	}
}

func (g *graph) unlinkLocked(n *node) {
	for _, o := range n.owners {
		delete(g.mu.dependents[o.UID], n.uid)
		if len(g.mu.dependents[o.UID]) == 0 {
			delete(g.mu.dependents, o.UID)
		}
	}
}

// waitingLocked returns the owners of n that wait for their dependents to go.
func (g *graph) waitingLocked(n *node) []types.UID {
	var out []types.UID
	for _, o := range n.owners {
		if owner := g.mu.nodes[o.UID]; owner != nil && owner.foreground {
			out = append(out, o.UID)
		}
	}
	return out
}

// settledLocked reports whether every owner of n has been seen where the reference says it is, and none waits for n.
func (g *graph) settledLocked(n *node) bool {
	for _, o := range n.owners {
		if g.standingLocked(n, o) != solid {
			return false
		}
	}
	return true
}

// standing of an owner, as far as the graph knows.
type standing int

const (
	unseen  standing = iota // not in the graph, or not where the reference says
	solid                   // there
	waiting                 // there, dying, and waiting for its dependents
)

func (g *graph) standingLocked(n *node, o metav1.OwnerReference) standing {
	owner := g.mu.nodes[o.UID]
	if owner == nil || owner.name != o.Name || owner.kind.Kind != o.Kind || owner.kind.Group != groupOf(o.APIVersion) ||
		owner.kind.Namespaced && owner.namespace != n.namespace {
		return unseen
	}
	if owner.foreground {
		return waiting
	}
	return solid
}

func (g *graph) standing(n *node, o metav1.OwnerReference) standing {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.standingLocked(n, o)
}

// get returns a node and whether all its owners are settled.
func (g *graph) get(uid types.UID) (n *node, settled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n = g.mu.nodes[uid]
	return n, n != nil && g.settledLocked(n)
}

// dependents returns the nodes that name uid as an owner; blocking ones only, if asked.
func (g *graph) dependents(uid types.UID, blocking bool) []*node {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []*node
	for dep := range g.mu.dependents[uid] {
		n := g.mu.nodes[dep]
		if n == nil {
			continue
		}
		if !blocking || slices.ContainsFunc(n.owners, func(o metav1.OwnerReference) bool {
			return o.UID == uid && o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion
		}) {
			out = append(out, n)
		}
	}
	return out
}

func sameReference(a, b metav1.OwnerReference) bool {
	block := func(o metav1.OwnerReference) bool { return o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion }
	return a.UID == b.UID && a.Name == b.Name && a.Kind == b.Kind && a.APIVersion == b.APIVersion && block(a) == block(b)
}
