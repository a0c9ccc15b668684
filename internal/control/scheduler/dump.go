package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// dump writes to the log what the scheduler takes for true: the nodes with what is asked of them, and the pods that wait.
func (s *Scheduler) dump() {
	on := map[string][]string{}
	for _, at := range s.snapshot.placed {
		name := at.pod.Namespace + "/" + at.pod.Name
		if at.pod.Spec.NodeName == "" {
			name += " (assumed)"
		}
		on[at.node] = append(on[at.node], name)
	}
	nodes := make([]string, 0, len(s.snapshot.byName))
	for name := range s.snapshot.byName {
		nodes = append(nodes, name)
	}
	slices.Sort(nodes)
	for _, name := range nodes {
		n := s.snapshot.byName[name]
		slices.Sort(on[name])
		var nominated []string
		for _, p := range s.snapshot.nominated.byNode[name] {
			nominated = append(nominated, p.Namespace+"/"+p.Name)
		}
		s.cfg.Log.Info("Dump of cached NodeInfo", "node", name, "deleted", !n.Known(), "requested", fmt.Sprintf("%+v", n.Requested),
			"allocatable", fmt.Sprintf("%+v", n.Allocatable), "pods", strings.Join(on[name], ","), "nominated", strings.Join(nominated, ","))
	}
	waiting := make([]string, 0, len(s.queue.byUID))
	for _, w := range s.queue.byUID {
		waiting = append(waiting, fmt.Sprintf("%s/%s: %s, %d attempts", w.pod.Namespace, w.pod.Name, stateName(w.state), w.attempts))
	}
	slices.Sort(waiting)
	s.cfg.Log.Info("Dump of scheduling queue", "pods", strings.Join(waiting, "; "))
}
