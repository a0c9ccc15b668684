package volume

import (
	"sampan.dev/internal/control/scheduler/plugin"

	"k8s.io/apimachinery/pkg/types"
)

// users are the pods on nodes that matter to a plugin about volumes.
type users struct {
	on map[string]map[types.UID]*plugin.Pod // by node
}

// put notes a pod that was put on a node (sign 1) or taken off it (-1).
func (u *users) put(pod *plugin.Pod, node string, sign int) {
	if sign < 0 {
		delete(u.on[node], pod.UID)
		if len(u.on[node]) == 0 {
			delete(u.on, node)
		}
		return
	}
	if u.on == nil {
		u.on = map[string]map[types.UID]*plugin.Pod{}
	}
	if u.on[node] == nil {
		u.on[node] = map[types.UID]*plugin.Pod{}
	}
	u.on[node][pod.UID] = pod
}

// Node implements plugin.Index; nodes do not matter.
func (*users) Node(_, _ *plugin.Node) {}

// Since implements plugin.Index: pods that are signed have no volumes that matter.
func (*users) Since(_ *plugin.Pod, version uint64) ([]string, uint64, bool) {
	return nil, version, true
}
