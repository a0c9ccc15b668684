package network

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"sampan.dev/internal/client/record"
	"sampan.dev/internal/node/firewall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Reasons of events about the node: what a packet filter drops, and that it no longer does.
const (
	reasonBlocked = "PacketFilterBlocks"
	reasonOpened  = "PacketFilterOpened"
)

// notForeign tells whether a table is a cluster's, of this instance or another: those drop nothing of pods' that is not meant
// for them.
func notForeign(table string) bool {
	return strings.HasPrefix(table, "sampan-network") || table == "kube-proxy" || strings.HasPrefix(table, "kube-proxy-")
}

// filters keeps the packet filters of others open for pods. Its goroutine is guardRules'.
type filters struct {
	n   *Network
	ctx context.Context
	wg  *sync.WaitGroup

	events  *record.Recorder // nil until there is something to tell
	failed  string           // what was logged last
	blocked bool             // something is dropped still
	astray  string           // of the routes, what was told last
}

// open looks at the packet filters and does what is needed.
func (f *filters) open() {
	n := f.n
	sample, ok := n.sample()
	if !ok {
		return
	}
	rep, err := firewall.Open(firewall.Config{Mark: n.names.table(), Ours: notForeign, Batch: n.rules.watch.Batch}, sample)
	if err != nil {
		rep.Err = err
	}
	if rep.Err != nil && rep.Err.Error() != f.failed {
		f.failed = rep.Err.Error()
		n.log.Error("cannot look after the packet filters of others", "err", rep.Err)
	}
	if opened := describe(rep.Opened); opened != "" {
		n.log.Warn("another packet filter dropped packets of pods; rules that accept them were put into it", "dropped", opened)
		f.tell(corev1.EventTypeNormal, reasonOpened, "accepting rules were inserted, since packets were dropped: "+opened)
	}
	blocked := describe(rep.Blocked)
	f.blocked = blocked != ""
	if blocked != "" && rep.Err != nil {
		blocked += " (" + rep.Err.Error() + ")"
	}
	n.mu.Lock()
	was := n.mu.blocked
	n.mu.blocked = blocked
	n.mu.Unlock()
	if was == blocked {
		return
	}
	if blocked != "" {
		n.log.Error("another packet filter drops packets of pods", "dropped", blocked)
		f.tell(corev1.EventTypeWarning, reasonBlocked, "packets are dropped: "+blocked)
	} else {
		n.log.Info("no packet filter drops packets of pods any more")
	}
	signal(n.changed) // the node's condition
}

// most is how many places are named at once: an event's message has its limit.
const most = 4

// describe names what was dropped and where, each place once.
func describe(list []firewall.Dropped) string {
	var places []string
	what := map[string][]string{}
	for _, d := range list {
		place := d.By.String()
		if what[place] == nil {
			places = append(places, place)
		}
		if s := d.Packet.What; !strings.Contains(strings.Join(what[place], ", "), s) {
			what[place] = append(what[place], s)
		}
	}
	var out []string
	for i, p := range places {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(places)-most))
			break
		}
		out = append(out, strings.Join(what[p], ", ")+" by "+p)
	}
	return strings.Join(out, "; ")
}

// tell records an event about the node.
func (f *filters) tell(kind, reason, message string) {
	n := f.n
	if n.cfg.Door == nil {
		return
	}
	if f.events == nil {
		f.events = record.New(n.cfg.Door, "sampan-network", n.cfg.NodeName, n.log)
		f.wg.Go(func() { f.events.Run(f.ctx) })
	}
	ref := corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: n.cfg.NodeName, UID: types.UID(n.cfg.NodeName)}
	f.events.EventRef(ref, kind, reason, message)
}

// sample is the node as packet filters see it; false while pods are not ours to connect.
func (n *Network) sample() (firewall.Sample, bool) {
	n.confMu.Lock()
	foreign := n.foreign
	n.confMu.Unlock()
	cidr, _ := n.current()
	if !cidr.IsValid() || foreign != "" {
		return firewall.Sample{}, false
	}
	gateway := Gateway(cidr)
	s := firewall.Sample{Links: []string{n.names.prefix()}, Node: gateway, Pod: gateway.Next(), Uplink: "eth0"}
	if n.cfg.Bridge != "" {
		s.Links = append(s.Links, n.cfg.Bridge)
	}
	if l, ok := uplink(n.h); ok {
		s.Uplink = l.Attrs().Name
	}
	return s, true
}

// uplink is the link of the default route.
func uplink(h *netlink.Handle) (netlink.Link, bool) {
	routes, err := whole(func() ([]netlink.Route, error) {
		return h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, false
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.IP != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if l, err := h.LinkByIndex(r.LinkIndex); err == nil {
			return l, true
		}
	}
	return nil, false
}
