package cloud

import (
	"cmp"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// announcement is a Service whose balancer has addresses that one node has to announce.
type announcement struct {
	key       string // of the Service
	addresses []netip.Addr
	local     bool           // only nodes that have its pods lead to them (externalTrafficPolicy Local)
	ready     map[string]int // ready endpoints by node
	serving   map[string]int // those that serve, ready or not: the proxies lead to them where none is ready
}

// announcementOf reads a Service and its slices; nil when nothing is to be announced. mine says which addresses are.
func announcementOf(svc *corev1.Service, eps []*discoveryv1.EndpointSlice, mine func(netip.Addr) bool) *announcement {
	if !wantsBalancer(svc) {
		return nil
	}
	a := &announcement{key: loop.Key(svc), local: svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		ready: map[string]int{}, serving: map[string]int{}}
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if addr, err := netip.ParseAddr(in.IP); err == nil && mine(addr) {
			a.addresses = append(a.addresses, addr)
		}
	}
	if len(a.addresses) == 0 {
		return nil
	}
	for _, s := range eps {
		for _, e := range s.Endpoints {
			if e.NodeName == nil {
				continue
			}
			if c := e.Conditions.Ready; c == nil || *c {
				a.ready[*e.NodeName]++
			}
			if c := e.Conditions.Serving; c == nil || *c {
				a.serving[*e.NodeName]++
			}
		}
	}
	return a
}

// idle reports whether the Service has no endpoints.
func (a *announcement) idle() bool { return len(a.ready) == 0 && len(a.serving) == 0 }

// rank is how good a node is for the announcement: with policy Local one that has ready endpoints; with Cluster one that has all of them,
// since its pods then see who their clients are.
func (a *announcement) rank(node string) int {
	switch {
	case a.local && a.ready[node] > 0, !a.local && a.ready[node] > 0 && len(a.ready) == 1:
		return 2
	case a.ready[node] > 0, a.local && len(a.ready) == 0 && a.serving[node] > 0:
		return 1
	}
	return 0
}

// pick decides which of the nodes announces; "" when there is none. was is the node that does. Moving costs the connections that go
// through it, so with policy Cluster, where every node leads to the pods, it stays as long as it may, unless loose says that there have
// been no endpoints yet, and so no connections.
func (a *announcement) pick(nodes []string, was string, loose bool) string {
	best := 0
	for _, n := range nodes {
		best = max(best, a.rank(n))
	}
	if slices.Contains(nodes, was) && (a.rank(was) == best || !a.local && !loose) {
		return was
	}
	var out string
	for _, n := range nodes {
		if a.rank(n) == best && (out == "" || weight(n, a.key) > weight(out, a.key)) {
			out = n
		}
	}
	return out
}

// weight spreads services over nodes so that a node that comes or goes moves few of them (rendezvous hashing).
func weight(node, key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key + "\x00" + node))
	sum := h.Sum64() // whose last bytes barely reach the upper bits
	sum ^= sum >> 33
	sum *= 0xff51afd7ed558ccd
	return sum ^ sum>>33
}

// announcers are the nodes that may announce, by name: those that balancers may lead to and that are ready, have a network, and are of a
// kind that does what the annotation says.
func announcers(nodes []*corev1.Node) []string {
	var out []string
	for _, n := range eligible(nodes) {
		cut := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeNetworkUnavailable && c.Status == corev1.ConditionTrue
		})
		if loop.NodeReady(n) && !cut && strings.Contains(n.Status.NodeInfo.KubeletVersion, "+sampan") {
			out = append(out, n.Name)
		}
	}
	return out
}

// announcedBy says which node announces each address by the nodes' annotations. Of two, which is so only while a change is under way, it is
// the one whose name sorts first.
func announcedBy(nodes []*corev1.Node) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, n := range nodes {
		for _, a := range api.Announced(n) {
			if has, there := out[a]; !there || n.Name < has {
				out[a] = n.Name
			}
		}
	}
	return out
}

func formatAnnounced(list []netip.Addr) string {
	slices.SortFunc(list, netip.Addr.Compare)
	var out []string
	for _, a := range slices.Compact(list) {
		out = append(out, a.String())
	}
	return strings.Join(out, ",")
}

// announcing is what is to become of the nodes' annotations.
type announcing struct {
	by    map[string]string // by Service: the node that announces its addresses
	lists map[string]string // by node: the annotation
}

// planAnnouncing gives every address to one node.
func planAnnouncing(list []*announcement, nodes []string, was map[netip.Addr]string, loose map[string]bool) announcing {
	out := announcing{by: map[string]string{}, lists: map[string]string{}}
	addresses := map[string][]netip.Addr{}
	for _, a := range list {
		node := a.pick(nodes, was[a.addresses[0]], loose[a.key])
		if node == "" {
			continue
		}
		out.by[a.key] = node
		addresses[node] = append(addresses[node], a.addresses...)
	}
	for node, list := range addresses {
		out.lists[node] = formatAnnounced(list)
	}
	return out
}

// annotate is one write of a node's annotation; "" removes it.
type annotate struct {
	node  *corev1.Node
	value string
}

// annotations are the writes that bring nodes to what was planned. First all nodes lose what is not theirs any more, then they get what is
// new, so that no address is announced by two.
func (p *announcing) annotations(nodes []*corev1.Node) []annotate {
	var lose, gain []annotate
	for _, n := range slices.SortedFunc(slices.Values(nodes), func(a, b *corev1.Node) int { return cmp.Compare(a.Name, b.Name) }) {
		has, want := n.Annotations[api.AnnotationAnnounced], p.lists[n.Name]
		if has == want {
			continue
		}
		next := api.ParseAddresses(want)
		keeps := slices.DeleteFunc(api.Announced(n), func(a netip.Addr) bool { return !slices.Contains(next, a) })
		kept := formatAnnounced(keeps)
		if kept != has {
			lose = append(lose, annotate{n, kept})
		}
		if kept != want {
			gain = append(gain, annotate{n, want})
		}
	}
	return append(lose, gain...)
}

// moved are the Services that another node announces than before, or one for the first time, sorted.
func (p *announcing) moved(list []*announcement, was map[netip.Addr]string) []string {
	before := map[string]string{}
	for _, a := range list {
		before[a.key] = was[a.addresses[0]]
	}
	keys := slices.Sorted(maps.Keys(p.by))
	return slices.DeleteFunc(keys, func(key string) bool { return before[key] == p.by[key] })
}
