package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	nf "sampan.dev/internal/node/nft"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// Config says whose network this is. All of it must be set but what is marked.
type Config struct {
	Instance    string // tells several clusters on one machine apart; "" or eight hexadecimal digits
	NodeName    string
	DataDir     string // leases live in its "network" folder
	RunDir      string // the socket lives here
	ClusterCIDR netip.Prefix
	ConfDir     string // the CNI configuration folder that the runtime is told of; ours alone
	ForeignDir  string // a configuration found here is used instead of ours; "" never
	Bridge      string // a further link whose traffic the packet filters of others must let pass; "" none

	Door  client.Writer // may patch the node's status
	Nodes *cache.Informer[*corev1.Node]
	Log   *slog.Logger
}

// Network is the pod network of one node.
type Network struct {
	cfg     Config
	names   names
	log     *slog.Logger
	rules   *rules
	remover *remover
	ready   chan struct{}
	changed chan struct{} // something that follow looks at
	filters chan struct{} // something that the packet filters of others hang on

	lookAgain time.Duration // for what is dropped in spite of us

	h      *netlink.Handle // set by Run before anything else uses them
	leases *ledger

	confMu  sync.Mutex
	foreign string // the configuration that we stepped back for, guarded by confMu

	mu struct {
		sync.Mutex
		cidr    netip.Prefix
		mtu     int
		blocked string // what others' packet filters drop, for people; "" nothing
		astray  string // which nodes' pods there is no route to and why, for people; "" none
	}
}

// New makes a network; nothing of the machine is touched before Run.
func New(cfg Config) *Network {
	n := names{cfg.Instance}
	return &Network{cfg: cfg, names: n, log: cfg.Log.With("component", "network"), rules: newRules(n),
		remover: newRemover(), ready: make(chan struct{}), changed: make(chan struct{}, 1), filters: make(chan struct{}, 1),
		lookAgain: 30 * time.Second}
}

// Ready is closed once pods can be attached. Gateway is valid from then on.
func (n *Network) Ready() <-chan struct{} { return n.ready }

// Gateway is the node's address in its pod range, or the zero value before Ready.
func (n *Network) Gateway() netip.Addr {
	cidr, _ := n.current()
	if !cidr.IsValid() {
		return netip.Addr{}
	}
	return Gateway(cidr)
}

func (n *Network) current() (netip.Prefix, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.cidr, n.mu.mtu
}

// HostChanged makes the network look again at what it took from the host: the MTU for pods that come, the ways to other
// nodes, the packet filters of others.
func (n *Network) HostChanged() {
	signal(n.changed)
	signal(n.filters)
}

// followMTU gives pods that come the MTU that the link to the world has now.
func (n *Network) followMTU() {
	mtu := uplinkMTU(n.h)
	n.mu.Lock()
	was := n.mu.mtu
	n.mu.mtu = mtu
	n.mu.Unlock()
	if mtu != was {
		n.log.Info("the link to the world has another MTU; new pods get it", "mtu", mtu, "was", was)
	}
}

func (n *Network) isReady() bool {
	select {
	case <-n.ready:
		return true
	default:
		return false
	}
}

// Run sets the network up as soon as the node's range is known (at once when it is known from before), serves the CNI
// plugin and follows the nodes until ctx ends. It leaves everything in place: pods go on without it.
func (n *Network) Run(ctx context.Context) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	defer h.Close()
	n.h = h
	if n.leases, err = openLedger(filepath.Join(n.dir(), "leases")); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if cidr, ok := SavedRange(n.cfg.DataDir); ok {
		if err := n.setup(cidr); err != nil {
			n.log.Error("cannot set up the network", "err", err)
		}
	}
	l, err := listen(Socket(n.cfg.RunDir))
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { <-ctx.Done(); l.Close() })
	wg.Go(func() { n.removeLinks(ctx) })
	wg.Go(func() { n.follow(ctx) })
	wg.Go(func() { n.followConf(ctx) })
	wg.Go(func() { n.guardRules(ctx) })
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("network: accept CNI request: %w", err)
		}
		wg.Go(func() { n.serveConn(ctx, conn) })
	}
}

func (n *Network) dir() string { return filepath.Join(n.cfg.DataDir, "network") }

// follow applies what the nodes say. It also runs when nothing changed, rarely, to collect what others broke or left.
func (n *Network) follow(ctx context.Context) {
	poke := func() { signal(n.changed) }
	n.cfg.Nodes.Handle(cache.Handler[*corev1.Node]{
		Add: func(*corev1.Node) { poke() },
		Update: func(old, now *corev1.Node) {
			if concerns(old, now) || now.Name == n.cfg.NodeName {
				poke()
			}
		},
		Delete: func(*corev1.Node) { poke() },
	})
	select {
	case <-n.cfg.Nodes.Synced():
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(15 * time.Minute)
	defer tick.Stop()
	for {
		var again <-chan time.Time
		if err := n.look(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("cannot report the network's state", "err", err)
			again = time.After(retryReport)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.changed:
		case <-again:
		case <-tick.C:
			n.sweep()
			signal(n.filters) // the legacy iptables gives no notice of what it changes
		}
	}
}

// retryReport is the wait after a state that could not be reported: nothing else would tell that it is still to be.
const retryReport = 5 * time.Second

// concerns tells whether a change of another node may change routes: heartbeats do not.
func concerns(old, now *corev1.Node) bool {
	a, okA := internalIP(old)
	b, okB := internalIP(now)
	return a != b || okA != okB || old.Spec.PodCIDR != now.Spec.PodCIDR || len(old.Spec.PodCIDRs) != len(now.Spec.PodCIDRs)
}

// look brings the machine into line with what the nodes say, and reports. The error is of the report.
func (n *Network) look(ctx context.Context) error {
	self, ok := n.cfg.Nodes.Get("", n.cfg.NodeName)
	if !ok {
		return nil
	}
	cidr, _ := n.current()
	if own := podCIDRs(self); len(own) > 0 && own[0] != cidr {
		if err := n.setup(own[0]); err != nil {
			n.log.Error("cannot set up the network", "err", err)
			return nil
		}
		cidr = own[0]
	}
	if !n.isReady() {
		return nil
	}
	n.followMTU()
	n.unreached(applyRoutes(n.h, n.names, cidr, planRoutes(n.cfg.NodeName, n.cfg.Nodes.List(""))))
	return n.report(ctx, self)
}

// setup makes the node's part for a range, and then tells the runtime that pods can come.
func (n *Network) setup(cidr netip.Prefix) error {
	start := time.Now()
	mtu := uplinkMTU(n.h)
	n.mu.Lock()
	n.mu.cidr, n.mu.mtu = cidr, mtu
	n.mu.Unlock()
	n.leases.setRange(cidr)
	if err := setupHost(n.h, n.names, cidr); err != nil {
		return err
	}
	if foreignConf(n.cfg.ForeignDir) == "" {
		if err := n.install(cidr); err != nil {
			return err
		}
	}
	n.sweep()
	if err := n.saveRange(cidr); err != nil {
		return err
	}
	if err := n.useConf(); err != nil {
		return err
	}
	if !n.isReady() {
		close(n.ready)
	}
	signal(n.filters)
	n.log.Info("network is up", "range", cidr, "mtu", mtu, "took", time.Since(start))
	return nil
}

// install makes the rules of pods. Pods reach each other and Services on a kernel without nf_tables too.
func (n *Network) install(cidr netip.Prefix) error {
	err := n.rules.install(n.cfg.ClusterCIDR, cidr, n.leases.all())
	if nf.Missing(err) {
		n.log.Error("this kernel has no nf_tables: pods have no host ports, and reach outside the cluster only what knows the way back to them", "err", err)
		return nil
	}
	return err
}

// saved is what the network remembers besides leases, so that a restart need not wait for the hub.
type saved struct {
	PodCIDR netip.Prefix `json:"podCIDR"`
}

// SavedRange is the pod range that the node with this data directory had when it last ran, if it has run.
func SavedRange(dataDir string) (netip.Prefix, bool) {
	data, err := os.ReadFile(filepath.Join(dataDir, "network", "state.json"))
	var s saved
	if err != nil || json.Unmarshal(data, &s) != nil || !s.PodCIDR.IsValid() || !s.PodCIDR.Addr().Is4() {
		return netip.Prefix{}, false
	}
	return s.PodCIDR, true
}

func (n *Network) saveRange(cidr netip.Prefix) error {
	data, err := json.Marshal(saved{cidr})
	if err != nil {
		return err
	}
	path := filepath.Join(n.dir(), "state.json")
	return errors.Join(os.WriteFile(path+".tmp", data, 0o600), os.Rename(path+".tmp", path))
}
