package network

import (
	"context"
	"os"
	"sync"

	nf "sampan.dev/internal/node/nft"

	"golang.org/x/sys/unix"
)

// remover removes the links of pods that are gone, one after another: each takes the kernel some 30 ms, which nobody who
// deletes a pod should wait for.
type remover struct {
	mu    sync.Mutex
	queue []*lease
	wake  chan struct{}
}

func newRemover() *remover { return &remover{wake: make(chan struct{}, 1)} }

func (r *remover) add(le *lease) {
	r.mu.Lock()
	r.queue = append(r.queue, le)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *remover) take() []*lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queue
	r.queue = nil
	return q
}

// removeLinks is the remover's goroutine. A lease is released only when its link is gone, so that a crash in between leaves
// a lease without a namespace, which sweep finds.
func (n *Network) removeLinks(ctx context.Context) {
	for {
		for _, le := range n.remover.take() {
			if n.leases.find(le.ContainerID, le.IfName) != le {
				continue // attached again meanwhile, or removed twice
			}
			n.discard(le)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.remover.wake:
		}
	}
}

// sweep frees the addresses of pods whose network namespace is gone (the runtime was killed before it said so, or the
// machine was restarted) and removes links that no lease has.
func (n *Network) sweep() {
	used := map[string]bool{n.names.gateway(): true}
	for _, le := range n.leases.all() {
		if isNetNS(le.NetNS) {
			used[le.Link] = true
			continue
		}
		n.log.Info("freeing the address of a pod that is gone", "address", le.Address, "pod", le.Namespace+"/"+le.Pod)
		if err := n.rules.hide(le); err != nil {
			n.log.Debug("host ports were gone", "err", err)
		}
		n.discard(le)
	}
	links, err := whole(n.h.LinkList)
	if err != nil {
		n.log.Warn("cannot list links", "err", err)
		return
	}
	for _, l := range links {
		if name := l.Attrs().Name; n.names.owns(name) && !used[name] {
			if err := delLink(n.h, name); err != nil {
				n.log.Warn("cannot remove a link", "err", err)
			}
		}
	}
}

// isNetNS tells whether path still is a network namespace rather than the empty file that a mount leaves behind.
func isNetNS(path string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return !os.IsNotExist(err) && err != unix.ENOENT
	}
	return st.Type == unix.NSFS_MAGIC || st.Type == unix.PROC_SUPER_MAGIC
}

// forgetFlows ends tracked UDP flows to a lease's host ports: such a flow keeps its old target for as long as packets come.
func (n *Network) forgetFlows(le *lease) {
	for _, p := range le.Ports {
		if p.Protocol == "udp" {
			if err := nf.ForgetUDPPort(uint16(p.HostPort)); err != nil {
				n.log.Debug("cannot end tracked flows", "port", p.HostPort, "err", err)
			}
		}
	}
}
