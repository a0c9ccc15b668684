package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/component/proxy"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine/engine"
	"sampan.dev/internal/machine/further"
	"sampan.dev/internal/machine/place"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/dns"
	"sampan.dev/internal/node/kubelet"
	"sampan.dev/internal/node/network"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Machine is this machine as a node: its container runtime and what runs beside it. One goroutine, that which calls Start, StartNode
// and Follow, owns all fields; the parts that run read what was set before they were started, and kubelet.
type Machine struct {
	cfg     suite.Config
	paths   config.Paths
	log     *slog.Logger
	runtime string        // CRI endpoint
	up      chan struct{} // closed when the bundled runtime answers
	began   time.Time
	notices notices

	Network *network.Network                // from startNode on
	kubelet atomic.Pointer[kubelet.Kubelet] // the one that runs
	changed []func()                        // what looks again when the host has changed
	renewal func() (acknowledged func())    // told of the node's renewals, see startAnnouncer
}

// Seat is a node's place in a cluster: the door it speaks through, with its own identity.
type Seat struct {
	Door      client.Interface // the kubelet's
	Proxy     client.Interface // of what makes Services and pod addresses work: it sees all nodes, which a kubelet does not
	Authority []byte           // PEM; whose client certificates the kubelet's server believes
	// TLS and Server are how the node's tunnel proves itself and where the control plane is; nil when that is this process.
	TLS    *tls.Config
	Server string // https://…
	// Mute tells why the hub of this process takes no values for now; nil when the hub is elsewhere.
	Mute func() error
	// serves tells the hub of this process which port the node's kubelet listens on; nil when the hub is elsewhere.
	Serves func(node string, port uint16)
}

// Start starts the bundled runtime, which needs nobody, so that it comes up while the control plane does.
func Start(g *daemon.Group, cfg suite.Config, paths config.Paths, log *slog.Logger) *Machine {
	m := &Machine{cfg: cfg, paths: paths, log: log, runtime: cfg.RuntimeEndpoint, up: make(chan struct{}), began: time.Now()}
	if m.runtime != "" {
		close(m.up)
		return m
	}
	c := engine.Containerd(paths, log)
	c.Tell, c.Slices = m.notices.tell, cfg.Kubelet.CgroupDriver == cgroup.Systemd
	m.runtime = c.Endpoint()
	up := sync.OnceFunc(func() { close(m.up) })
	g.Go("containerd", func(ctx context.Context) error { return c.Run(ctx, up) })
	return m
}

// StartNode runs the node's parts and returns when the node is Ready.
func (m *Machine) StartNode(g *daemon.Group, s *Seat, show *steps.Steps) error {
	name, err := m.cfg.Node()
	if err != nil {
		return err
	}
	set := cache.NewSet(s.Proxy, m.log)
	nodes := cache.For[*corev1.Node](set, client.Nodes, cache.Options{})
	services := cache.For[*corev1.Service](set, client.Services, cache.Options{})
	slices := cache.For[*discoveryv1.EndpointSlice](set, client.EndpointSlices, cache.Options{})
	ready := WhenReady(nodes, name, m.began)
	g.Go("node informers", set.Run)
	g.Go("notices", func(ctx context.Context) error { return m.notices.run(ctx, s.Door, name, m.log) })

	if err := m.startNetwork(g, s, name, nodes, services, slices); err != nil {
		return err
	}
	m.renewal = m.startAnnouncer(g, name, nodes)
	if err := m.startTunnel(g, s, name); err != nil {
		return err
	}
	since := time.Now()
	if err := daemon.Within(g, 60*time.Second, m.up, "container runtime"); err != nil {
		return err
	}
	show.Done("container runtime", m.began, m.runtime)
	if m.cfg.RuntimeEndpoint == "" {
		place.SpreadPodDirs(m.paths)
	}
	if err := m.startKubelet(g, s, name, services); err != nil {
		return err
	}
	if !m.cfg.Kubelet.Register {
		return nil // somebody makes the Node object when they see fit
	}
	mute, err := ready.Within(g, 120*time.Second, s.Mute)
	if err != nil {
		return err
	}
	show.Done("node", since, State(name, mute))
	return nil
}

// State is what is told of a node that was waited for.
func State(name string, mute error) string {
	if mute != nil {
		return fmt.Sprintf("%s works and cannot say so: %v", name, mute)
	}
	return name + " is Ready"
}

// startNetwork runs the pod network, the service rules and the cluster's DNS.
func (m *Machine) startNetwork(g *daemon.Group, s *Seat, name string, nodes *cache.Informer[*corev1.Node], services *cache.Informer[*corev1.Service], slices *cache.Informer[*discoveryv1.EndpointSlice]) error {
	conf := engine.CniConf(m.paths)
	if m.cfg.RuntimeEndpoint != "" {
		var err error
		if conf, err = engine.UseForeign(g.Context(), m.paths, m.cfg.RuntimeEndpoint, m.log); err != nil {
			return err
		}
	}
	pods := netip.MustParsePrefix(m.cfg.ClusterCIDR)
	n := network.New(network.Config{
		Instance:    m.cfg.Instance(),
		NodeName:    name,
		DataDir:     m.paths.Data,
		RunDir:      m.paths.Run,
		ClusterCIDR: pods,
		ConfDir:     conf,
		ForeignDir:  engine.ForeignCNI(m.cfg.Config),
		Bridge:      further.SharedBridge(m.cfg.Config),
		Door:        s.Door,
		Nodes:       nodes,
		Log:         m.log,
	})
	m.Network = n
	m.changed = append(m.changed, n.HostChanged)
	g.Go("network", n.Run)
	settings := *m.cfg.Proxy
	settings.NodeName, settings.Tell = name, m.notices.tell
	p := settings.Proxy(proxy.View{Nodes: nodes, Services: services, Slices: slices}, m.log)
	g.Go("proxy", p.Run)
	serveBeside(g, "proxy health", "127.0.0.1:10256", p.HealthHandler())
	serveBeside(g, "proxy metrics", settings.Metrics, settings.Face(p.MetricsHandler()))
	d := dns.New(dns.Config{
		NodeName: name,
		Domain:   m.cfg.ClusterDomain,
		Ranges:   []netip.Prefix{pods, netip.MustParsePrefix(m.cfg.ServiceCIDR)},
		DNSIP:    m.cfg.DNSIP(),
		Ready:    n.Ready(),
		Gateway:  n.Gateway,
		Services: services,
		Slices:   slices,
		Nodes:    nodes,
		Door:     s.Door,
		Log:      m.log.With("component", "dns"),
	})
	g.Go("dns", d.Run)
	return nil
}

// Follow is what is to be called when the host has changed.
func (m *Machine) Follow() []func() {
	if m == nil {
		return nil
	}
	return m.changed
}

// serveBeside serves a small handler on its usual port. Another cluster of this machine may have the port; then this one
// does without, since those who ask there do not learn of another.
func serveBeside(g *daemon.Group, name, address string, h http.Handler) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return
	}
	g.Go(name, func(ctx context.Context) error {
		on := l
		if l = nil; on == nil { // started again
			var err error
			if on, err = net.Listen("tcp", address); err != nil {
				return err
			}
		}
		srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		stop := context.AfterFunc(ctx, func() { srv.Close() })
		defer stop()
		return srv.Serve(on)
	})
}
