package match

import (
	"sampan.dev/internal/hub/admit"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
)

// Again is what a plugin keeps from the first round of mutators to the second: which of those that it asked are to be asked once
// more. Those are the ones that want it (reinvocationPolicy IfNeeded) and after which the object has changed.
type Again[K comparable] struct {
	asked, due map[K]bool
	left       runtime.Object // as the plugin left it, a copy; nil when nobody who was asked wants to be asked again
}

// Round returns what p keeps of the write. In the second round, whoever wants it is due when others have changed the object since.
func Round[K comparable](a *admit.Attributes, p admit.Plugin) *Again[K] {
	g := a.Keep(p, func() any { return &Again[K]{asked: map[K]bool{}, due: map[K]bool{}} }).(*Again[K])
	if a.Second() && g.left != nil && !equality.Semantic.DeepEqual(g.left, a.Object) {
		g.Changed()
	}
	return g
}

// Skips reports whether somebody is not to be asked: in the second round, who is not due.
func (g *Again[K]) Skips(a *admit.Attributes, who K) bool { return a.Second() && !g.due[who] }

// Changed makes all those due who have been asked so far.
func (g *Again[K]) Changed() {
	for k := range g.asked {
		g.due[k] = true
	}
	clear(g.asked)
}

// Asked notes that somebody has been asked who wants to be asked again.
func (g *Again[K]) Asked(who K) { g.asked[who] = true }

// Leave ends the plugin's part of a round.
func (g *Again[K]) Leave(a *admit.Attributes) {
	g.left = nil
	if a.Object != nil && !a.Second() && len(g.asked)+len(g.due) > 0 {
		g.left = a.Object.DeepCopyObject()
	}
}
