package load

import (
	corev1 "k8s.io/api/core/v1"
)

// await returns once the server is ready and has so many nodes that are Ready.
func (r *run) await() error {
	if err := r.readyz(); err != nil || r.nodes == 0 {
		return err
	}
	cs, err := r.client()
	if err != nil {
		return err
	}
	ready := map[string]bool{}
	return follow(r.ctx, nodesOf(cs), "", func(n *corev1.Node, gone bool) bool {
		if hasCondition(n.Status.Conditions) && !gone {
			ready[n.Name] = true
		}
		return len(ready) >= r.nodes
	})
}
