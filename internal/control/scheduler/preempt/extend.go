package preempt

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// Extenders are servers of others that choose among victims; extend.Chain is one.
type Extenders interface {
	// Preempts reports whether any of them wants a say in whom a pod evicts.
	Preempts(pod *corev1.Pod) bool
	// Preempt returns which victims, by node, are left when all have been asked. there looks up a pod on a node by its UID, nil where there
	// is none; what is returned has only pods that it knows.
	Preempt(ctx context.Context, pod *corev1.Pod, victims map[string]*extenderv1.Victims, there func(node, uid string) *corev1.Pod) (map[string]*extenderv1.Victims, error)
}

// agreed returns the candidates that extenders leave, with the victims that they name. It waits for them, for their timeouts at the longest.
func (p *DefaultPreemption) agreed(pod *plugin.Pod, list []*candidate) ([]*candidate, error) {
	victims, nodes := map[string]*extenderv1.Victims{}, map[string]*plugin.Node{}
	for _, c := range list {
		v := &extenderv1.Victims{NumPDBViolations: int64(c.violations)}
		for _, one := range c.victims {
			v.Pods = append(v.Pods, one.Pod)
		}
		victims[c.node.Name], nodes[c.node.Name] = v, c.node
	}
	left, err := p.hands.Extenders.Preempt(context.Background(), pod.Pod, victims, func(node, uid string) *corev1.Pod {
		if one := p.on(node, uid); one != nil {
			return one.Pod
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []*candidate
	for _, name := range slices.Sorted(maps.Keys(left)) {
		node := nodes[name]
		if node == nil {
			return nil, fmt.Errorf("nodeinfo not found for node name %q", name)
		}
		c := &candidate{node: node, violations: int(left[name].NumPDBViolations)}
		for _, victim := range left[name].Pods {
			c.victims = append(c.victims, p.on(name, string(victim.UID)))
		}
		c.price = priceOf(c.victims)
		out = append(out, c)
	}
	return out, nil
}

// on returns the pod with a UID on a node, as it is now; nil where there is none.
func (p *DefaultPreemption) on(node, uid string) *plugin.Pod {
	s := p.nodes[node]
	if s == nil {
		return nil
	}
	i := slices.IndexFunc(s.pods, func(o *plugin.Pod) bool { return string(o.UID) == uid })
	if i < 0 {
		return nil
	}
	if now := p.look(s.pods[i].UID); now != nil {
		return now
	}
	return s.pods[i]
}
