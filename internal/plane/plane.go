package plane

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/lease"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/control"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/pki"
)

// Plane is the running control plane, as far as the other parts of the process need it. Its hub and the store below may fail
// and be made anew; those who talk to it hold doors, which lead to the one that is there.
//
// [Open] sets the fields, before anything runs; afterwards they are read only, but for three: the part that runs the hub owns hub,
// Advertise follows the host's address (and moved tells the hub so), and a kubelet in this process says where it serves.
type Plane struct {
	cfg       suite.Config
	kinds     *api.Kinds
	Pki       *pki.Store
	log       *slog.Logger
	Advertise atomic.Pointer[netip.AddrPort]  // where it is reached
	moved     chan netip.AddrPort             // the same, when that changes
	manager   atomic.Pointer[control.Manager] // nil until the controllers are made
	states    func() []daemon.State           // of the parts of the process
	parts     hub.Check                       // how the other parts of the process are
	leases    lease.Audience
	audit     *audit.Log     // nil: nothing is recorded
	kubeletCA *x509.CertPool // nil: the cluster's own
	Kubelet   localKubelet
	tunnels   *tunnels // nil: nodes are reached directly

	hub atomic.Pointer[hub.Hub] // nil while there is none
}

// Writable tells why the store takes no values for now; nil when it does, or when there is no hub to ask.
func (p *Plane) Writable() error {
	if h := p.hub.Load(); h != nil {
		return h.Writable()
	}
	return nil
}

// localKubelet is where the kubelet of this process serves, once it does.
type localKubelet struct{ at atomic.Pointer[namedPort] }

type namedPort struct {
	node string
	at   netip.AddrPort
}

func (l *localKubelet) Serves(node string, port uint16) {
	l.at.Store(&namedPort{node, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)})
}

func (l *localKubelet) where() (string, netip.AddrPort) {
	if p := l.at.Load(); p != nil {
		return p.node, p.at
	}
	return "", netip.AddrPort{}
}

// tunnels is how the hub reaches nodes where it is not to connect to them. Nil is directly.
type tunnels struct {
	dial   func(ctx context.Context, node, network, address string) (net.Conn, error)
	stands func(node string) (pods, own []netip.Prefix)
	local  func() (string, netip.AddrPort)
	at     []netip.AddrPort // where agents connect to
}
