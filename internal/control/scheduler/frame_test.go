package scheduler

import (
	"fmt"
	"slices"
	"testing"

	"sampan.dev/internal/control/scheduler/plugin"
)

func defaultProfile() *profile { return newProfile(DefaultProfile()) }

// atMost is a plugin with an index: at most n pods of each value of the pod label "app" on the nodes that share a value of a
// node label, and rather where there are few. Pods without "app" do not matter to it.
type atMost struct {
	n     int
	label string

	where   map[string]string         // known node -> its value
	count   map[string]map[string]int // node, known or not -> app -> pods
	used    map[string]int            // value and app -> pods
	journal []touch
}

// touch is a change of the number of one app's pods at one value.
type touch struct{ value, app string }

func newAtMost(n int, label string) *atMost {
	return &atMost{n: n, label: label, where: map[string]string{}, count: map[string]map[string]int{}, used: map[string]int{}}
}

func (*atMost) Name() string                          { return "AtMost" }
func (*atMost) Sign(s *plugin.Signer)                 { s.Own("AtMost", s.Pod().Labels["app"]) }
func (*atMost) Events() plugin.Event                  { return plugin.NodeAdded | plugin.NodeLabel | plugin.PodLeft }
func (*atMost) Helps(*plugin.Pod, plugin.Change) bool { return true }
func (*atMost) Normalize(raw, least, most int64) int64 {
	return plugin.MaxScore * (most - raw) / max(most-least, 1)
}
func (p *atMost) Score(pod *plugin.Pod, n *plugin.Node) int64 { return int64(p.at(pod, n)) }

func (p *atMost) at(pod *plugin.Pod, node *plugin.Node) int {
	return p.used[node.Labels[p.label]+"/"+pod.Labels["app"]]
}

func (p *atMost) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	if _, has := node.Labels[p.label]; !has {
		return plugin.Unresolvable("node(s) didn't have the label")
	}
	if pod.Labels["app"] != "" && p.at(pod, node) >= p.n {
		return plugin.Unschedulable(fmt.Sprintf("node(s) had %d of the app", p.at(pod, node)))
	}
	return plugin.Verdict{}
}

func (p *atMost) Node(before, after *plugin.Node) {
	name := after.Name
	move := func(value string, sign int) {
		for app, n := range p.count[name] {
			p.add(value, app, sign*n)
		}
	}
	if value, was := p.where[name]; was {
		move(value, -1)
		delete(p.where, name)
	}
	if after.Known() {
		p.where[name] = after.Labels[p.label]
		move(p.where[name], +1)
	}
}

func (p *atMost) Pod(pod *plugin.Pod, node *plugin.Node, sign int) {
	app := pod.Labels["app"]
	if app == "" {
		return
	}
	if p.count[node.Name] == nil {
		p.count[node.Name] = map[string]int{}
	}
	p.count[node.Name][app] += sign
	if value, known := p.where[node.Name]; known {
		p.add(value, app, sign)
	}
}

func (p *atMost) add(value, app string, n int) {
	p.used[value+"/"+app] += n
	p.journal = append(p.journal, touch{value, app})
}

func (p *atMost) Since(pod *plugin.Pod, version uint64) ([]string, uint64, bool) {
	now := uint64(len(p.journal))
	if now-version > 50 {
		return nil, now, false
	}
	var nodes []string
	for _, c := range p.journal[version:] {
		for name, value := range p.where {
			if c.app == pod.Labels["app"] && c.value == value && !slices.Contains(nodes, name) {
				nodes = append(nodes, name)
			}
		}
	}
	return nodes, now, true
}

// recount compares the index with the pods that are on the nodes.
func (p *atMost) recount(t *testing.T, s *snapshot) {
	t.Helper()
	used := map[string]int{}
	for _, at := range s.placed {
		if n := s.byName[at.node]; n.Known() && at.pod.Labels["app"] != "" {
			used[n.Labels[p.label]+"/"+at.pod.Labels["app"]]++
		}
	}
	for key, n := range p.used {
		if n != used[key] {
			t.Fatalf("the index counts %d at %s, there are %d", n, key, used[key])
		}
		delete(used, key)
	}
	if len(used) > 0 {
		t.Fatalf("the index does not count %v", used)
	}
}
