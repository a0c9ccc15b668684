package node

import (
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/node/announce"
	"sampan.dev/internal/node/fence"

	corev1 "k8s.io/api/core/v1"
)

// lease is how long after the last renewal a node may announce. It is less than the control plane waits before it has another node do so.
const lease = 40 * time.Second

// startAnnouncer has the node announce the addresses that its Node object names. Until it names some for the first time nothing runs.
// What it returns is called when the node renews its lease.
func (m *Machine) startAnnouncer(g *daemon.Group, name string, nodes *cache.Informer[*corev1.Node]) (renewal func() (acknowledged func())) {
	alive := &fence.Fence{After: lease}
	a := announce.New(alive.Cut, m.log)
	begin := sync.OnceFunc(func() { g.Go("announcer", a.Run) })
	last := ""
	look := func(n *corev1.Node) {
		value := n.Annotations[api.AnnotationAnnounced]
		if n.Name != name || value == last {
			return
		}
		last = value
		a.Set(api.Announced(n))
		begin()
	}
	nodes.Handle(cache.Handler[*corev1.Node]{Add: look, Update: func(_, n *corev1.Node) { look(n) }, Delete: func(n *corev1.Node) {
		if n.Name == name && last != "" {
			last = ""
			a.Set(nil)
		}
	}})
	m.changed = append(m.changed, a.HostChanged)
	return alive.Begin
}
