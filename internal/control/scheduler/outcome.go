package scheduler

import (
	"fmt"
	"sort"
	"strings"

	"sampan.dev/internal/control/scheduler/plugin"
)

// outcome is what a cycle found: a node, or why there is none.
type outcome struct {
	node       string
	rejected   map[string][]string // node name -> reasons, of nodes that were looked at one by one; nil from a ranking
	resolvable []*plugin.Node      // of all nodes, those where preemption may help; valid until the next cycle
	by         []plugin.Rejecting  // the plugins that said no, each once
	nodes      int                 // nodes there are
	evaluated  int
	text       string // the message, when there is no node
	err        error  // what kept a plugin from judging; the message has it too
}

func (o *outcome) reject(node *plugin.Node, by plugin.Rejecting, v plugin.Verdict) {
	if o.rejected == nil {
		o.rejected = map[string][]string{}
	}
	o.rejected[node.Name] = v.Reasons
	for _, known := range o.by {
		if known.Name() == by.Name() {
			return
		}
	}
	o.by = append(o.by, by)
}

// message says why there is no node.
func (o *outcome) message() string {
	counts := map[string]int{}
	for _, reasons := range o.rejected {
		for _, r := range reasons {
			counts[r]++
		}
	}
	return message(o.nodes, counts)
}

// message is upstream's: people and tools search for it. counts says of how many nodes a reason is true.
func message(nodes int, counts map[string]int) string {
	if nodes == 0 {
		return "no nodes available to schedule pods"
	}
	parts := make([]string, 0, len(counts))
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	sort.Strings(parts)
	return fmt.Sprintf("0/%d nodes are available: %s.", nodes, strings.Join(parts, ", "))
}
