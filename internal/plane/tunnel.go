package plane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/pki"
	"sampan.dev/internal/tunnel/konnectivity/server"
	"sampan.dev/internal/tunnel/ssh"

	"google.golang.org/grpc/credentials"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Whose tokens make an agent, as upstream's manifests have it. Nodes' agents show the node's certificate instead.
const (
	agentAccount  = "konnectivity-agent"
	agentAudience = "system:konnectivity-server"
)

// keepalive is how often a silent agent is asked whether it is there.
const keepalive = 30 * time.Second

// openTunnels makes what nodes are reached through, if they are not to be reached directly.
func (p *Plane) openTunnels(g *daemon.Group) (*tunnels, error) {
	if p.cfg.NodeTunnel == "" {
		return nil, nil
	}
	reader := p.Door(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "tunnels/"+config.Version)
	t := &tunnels{local: p.Kubelet.where, stands: func(node string) (pods, own []netip.Prefix) { return stands(reader, node) }}
	if p.cfg.NodeTunnel == "ssh" {
		return t, p.openSSH(g, reader, t)
	}
	return t, p.openKonnectivity(g, reader, t)
}

// openKonnectivity listens for agents.
func (p *Plane) openKonnectivity(g *daemon.Group, reader client.Interface, t *tunnels) error {
	l, err := net.Listen("tcp", p.cfg.TunnelAt())
	if err != nil {
		return fmt.Errorf("--tunnel-listen: %w", err)
	}
	name, _ := p.cfg.Node() // checked when the keys were opened
	t.at = []netip.AddrPort{l.Addr().(*net.TCPAddr).AddrPort()}
	accounts := &server.Accounts{Namespace: metav1.NamespaceSystem, Name: agentAccount, Audience: agentAudience, Review: func(ctx context.Context, r *authenticationv1.TokenReview) (*authenticationv1.TokenReview, error) {
		return client.Create(ctx, reader, client.TokenReviews, r)
	}}
	srv := server.New(server.Config{
		ID: name, Count: 1, Stands: t.stands, Log: p.log.With("component", "konnectivity"),
		Authenticate: func(ctx context.Context, certs []*x509.Certificate, token string) (server.Identity, error) {
			if node := server.NodeOf(certs); node != "" {
				return server.Identity{Node: node, Name: certs[0].Subject.CommonName}, nil
			}
			return accounts.Authenticate(ctx, token)
		},
	})
	g.Go("konnectivity", func(ctx context.Context) error {
		on := l
		if l = nil; on == nil { // started again
			var err error
			if on, err = net.Listen("tcp", t.at[0].String()); err != nil {
				return err
			}
		}
		return srv.ServeAgents(ctx, on, credentials.NewTLS(p.agentsTLS()), keepalive)
	})
	t.dial = srv.DialNode
	return nil
}

// hostKeyAnnotation is where a node's SSH host keys are pinned, in the form of authorized_keys.
const hostKeyAnnotation = "sampan.dev/ssh-host-keys"

// openSSH reads the key to log in to nodes with. Connections are made when somebody asks for something of a node.
func (p *Plane) openSSH(g *daemon.Group, reader client.Reader, t *tunnels) error {
	key, err := ssh.ReadKey(p.cfg.SSHKeyFile)
	if err != nil {
		return flag.Usage{Err: fmt.Errorf("--ssh-keyfile: %w", err)}
	}
	p.log.Warn("SSH tunnels are deprecated, Kubernetes has them no more since v1.22: use --node-tunnel=konnectivity (docs/tunnels.md says why)")
	logins := ssh.New(ssh.Config{User: p.cfg.SSHUser, Key: key, Log: p.log.With("component", "ssh"), Nodes: func(ctx context.Context) ([]ssh.Node, error) {
		all, err := client.ListAll[*corev1.Node](ctx, reader, client.Nodes, "", metav1.ListOptions{})
		var out []ssh.Node
		for _, n := range all {
			pods, own := standsFor(n)
			if len(own) > 0 {
				out = append(out, ssh.Node{Name: n.Name, Address: own[0].Addr().String(), HostKey: n.Annotations[hostKeyAnnotation], Pods: pods, Own: own})
			}
		}
		return out, err
	}})
	t.dial = logins.DialNode
	g.Go("ssh tunnels", func(ctx context.Context) error {
		<-ctx.Done()
		logins.Close()
		return nil
	})
	return nil
}

// agentsTLS shows agents the API server's certificate and believes the cluster's.
func (p *Plane) agentsTLS() *tls.Config {
	c := withAuthority(pki.ServerTLS(p.Pki.APIServer), p.Pki.CA.Cert)
	c.ClientAuth = tls.VerifyClientCertIfGiven
	c.ClientCAs = p.Pki.CA.Pool()
	return c
}

// stands is what a node stands for, as its object says.
func stands(door client.Reader, node string) (pods, own []netip.Prefix) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n, err := client.Get[*corev1.Node](ctx, door, client.Nodes, "", node)
	if err != nil {
		return nil, nil
	}
	return standsFor(n)
}

func standsFor(n *corev1.Node) (pods, own []netip.Prefix) {
	for _, r := range append([]string{n.Spec.PodCIDR}, n.Spec.PodCIDRs...) {
		if p, err := netip.ParsePrefix(r); err == nil {
			pods = append(pods, p)
		}
	}
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil {
			own = append(own, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
		}
	}
	return pods, own
}

// through has a dialer connect through the tunnels. What is on this very machine is not reached through another.
func (t *tunnels) through(cfg egress.Config) egress.Config {
	if t == nil {
		return cfg
	}
	direct := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	cfg.DialNode = func(ctx context.Context, node, network, address string) (net.Conn, error) {
		if t.here(address) {
			return direct.DialContext(ctx, network, address)
		}
		return t.dial(ctx, node, network, address)
	}
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return cfg.DialNode(ctx, "", network, address)
	}
	return cfg
}

// here tells whether an address is the node's of this process, or one of its pods'.
func (t *tunnels) here(address string) bool {
	node, _ := t.local()
	to, err := netip.ParseAddrPort(address)
	if node == "" || err != nil {
		return false
	}
	pods, own := t.stands(node)
	return slices.ContainsFunc(append(pods, own...), func(p netip.Prefix) bool { return p.Contains(to.Addr()) })
}

// own is where agents connect to.
func (t *tunnels) own() []netip.AddrPort {
	if t == nil {
		return nil
	}
	return t.at
}
