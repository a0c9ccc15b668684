package extend

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// Chain is the extenders of a scheduler in the order in which they are asked: those that may fail come last.
type Chain struct {
	list []*Extender
	log  *slog.Logger
}

// NewChain joins extenders; none is a nil Chain, which nobody is asked by.
func NewChain(log *slog.Logger, list ...*Extender) *Chain {
	if len(list) == 0 {
		return nil
	}
	c := &Chain{log: log}
	for _, ignorable := range []bool{false, true} {
		for _, e := range list {
			if e.Ignorable == ignorable {
				c.list = append(c.list, e)
			}
		}
	}
	return c
}

// Interested reports whether any of them wants to be asked about a pod before it has a node.
func (c *Chain) Interested(pod *corev1.Pod) bool {
	if c == nil {
		return false
	}
	for _, e := range c.list {
		if (e.FilterVerb != "" || e.PrioritizeVerb != "") && e.Interested(pod) {
			return true
		}
	}
	return false
}

// Filter hands nodes that fit from one extender to the next and returns those that all of them leave. Each node that one rejects with a
// reason is told to reject.
func (c *Chain) Filter(ctx context.Context, pod *corev1.Pod, nodes []*plugin.Node, reject func(*plugin.Node, plugin.Verdict)) ([]*plugin.Node, error) {
	for _, e := range c.list {
		if len(nodes) == 0 {
			break
		}
		if e.FilterVerb == "" || !e.Interested(pod) {
			continue
		}
		left, why, err := e.filter(ctx, pod, objects(nodes))
		if err != nil && e.Ignorable {
			c.skip(e, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		byName := make(map[string]*plugin.Node, len(nodes))
		for _, n := range nodes {
			byName[n.Name] = n
			if reason, is := why.unresolvable[n.Name]; is {
				reject(n, plugin.Unresolvable(reason))
			} else if reason, is := why.failed[n.Name]; is {
				reject(n, plugin.Unschedulable(reason))
			}
		}
		nodes = make([]*plugin.Node, 0, len(left))
		for _, name := range left {
			nodes = append(nodes, byName[name])
		}
	}
	return nodes, nil
}

// Scores returns what the extenders add to the scores of nodes, by name. They are asked beside each other; one that fails adds nothing.
func (c *Chain) Scores(ctx context.Context, pod *corev1.Pod, nodes []*plugin.Node) map[string]int64 {
	answers := make([]extenderv1.HostPriorityList, len(c.list))
	var asked sync.WaitGroup
	for i, e := range c.list {
		if e.PrioritizeVerb == "" || !e.Interested(pod) {
			continue
		}
		asked.Go(func() {
			var err error
			if answers[i], err = e.prioritize(ctx, pod, objects(nodes)); err != nil {
				c.log.Debug("Failed to run extender's priority function. No score given by this extender.", "extender", e.URLPrefix, "error", err)
				answers[i] = nil
			}
		})
	}
	asked.Wait()
	out := map[string]int64{}
	for i, e := range c.list {
		for _, host := range answers[i] {
			out[host.Host] += host.Score * e.Weight * (plugin.MaxScore / extenderv1.MaxExtenderPriority)
		}
	}
	return out
}

// Bind has the extender that binds write a pod's binding; false when there is none for it, or it may fail and has.
func (c *Chain) Bind(ctx context.Context, pod *corev1.Pod, node string) (bool, error) {
	if c == nil {
		return false, nil
	}
	for _, e := range c.list {
		if e.BindVerb == "" || !e.Interested(pod) {
			continue
		}
		err := e.bind(ctx, pod, node)
		if err != nil && e.Ignorable {
			c.skip(e, err)
			continue
		}
		return true, err
	}
	return false, nil
}

// Preempt hands the victims that would make room, by node, from one extender to the next and returns what they leave of them. there looks
// up a pod on a node by its UID.
func (c *Chain) Preempt(ctx context.Context, pod *corev1.Pod, victims map[string]*extenderv1.Victims, there func(node, uid string) *corev1.Pod) (map[string]*extenderv1.Victims, error) {
	for _, e := range c.list {
		if len(victims) == 0 {
			break
		}
		if e.PreemptVerb == "" || !e.Interested(pod) {
			continue
		}
		left, err := e.preempt(ctx, pod, victims, there)
		if err != nil && e.Ignorable {
			c.skip(e, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		for node, v := range left {
			if len(v.Pods) > 0 {
				continue
			}
			if !e.Ignorable {
				return nil, fmt.Errorf("expected at least one victim pod on node %q", node)
			}
			delete(left, node)
		}
		victims = left
	}
	return victims, nil
}

// Preempts reports whether any of them wants a say in whom a pod evicts.
func (c *Chain) Preempts(pod *corev1.Pod) bool {
	if c == nil {
		return false
	}
	for _, e := range c.list {
		if e.PreemptVerb != "" && e.Interested(pod) {
			return true
		}
	}
	return false
}

func (c *Chain) skip(e *Extender, err error) {
	c.log.Info("Skipping extender as it returned error and has ignorable flag set", "extender", e.URLPrefix, "error", err)
}

// preempt asks one extender. One with a cache of nodes is told of pods by their UIDs; the answer always does.
func (e *Extender) preempt(ctx context.Context, pod *corev1.Pod, victims map[string]*extenderv1.Victims, there func(node, uid string) *corev1.Pod) (map[string]*extenderv1.Victims, error) {
	args := &extenderv1.ExtenderPreemptionArgs{Pod: pod}
	if e.NodeCacheCapable {
		args.NodeNameToMetaVictims = map[string]*extenderv1.MetaVictims{}
		for node, v := range victims {
			short := &extenderv1.MetaVictims{Pods: []*extenderv1.MetaPod{}, NumPDBViolations: v.NumPDBViolations}
			for _, p := range v.Pods {
				short.Pods = append(short.Pods, &extenderv1.MetaPod{UID: string(p.UID)})
			}
			args.NodeNameToMetaVictims[node] = short
		}
	} else {
		args.NodeNameToVictims = maps.Clone(victims)
	}
	var answer extenderv1.ExtenderPreemptionResult
	if err := e.send(ctx, e.PreemptVerb, args, &answer); err != nil {
		return nil, err
	}
	out := map[string]*extenderv1.Victims{}
	for node, short := range answer.NodeNameToMetaVictims {
		v := &extenderv1.Victims{}
		if short != nil {
			v.NumPDBViolations = short.NumPDBViolations
			for _, p := range short.Pods {
				victim := there(node, p.UID)
				if victim == nil {
					return nil, fmt.Errorf("extender: %v claims to preempt pod (UID: %v) on node: %v, but the pod is not found on that node", e.URLPrefix, p, node)
				}
				v.Pods = append(v.Pods, victim)
			}
		}
		out[node] = v
	}
	return out, nil
}

// objects are the API's nodes.
func objects(nodes []*plugin.Node) []*corev1.Node {
	out := make([]*corev1.Node, len(nodes))
	for i, n := range nodes {
		out[i] = n.Node
	}
	return out
}

// Rejecting stands for the extenders among the plugins that have rejected a pod. What helps they cannot say, so everything may.
type Rejecting struct{}

// Name implements plugin.Plugin; it is upstream's.
func (Rejecting) Name() string { return "Extender" }

// Events implements plugin.Rejecting.
func (Rejecting) Events() plugin.Event { return ^plugin.Event(0) }

// Helps implements plugin.Rejecting.
func (Rejecting) Helps(*plugin.Pod, plugin.Change) bool { return true }
