package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Node is a machine that can be logged in to.
type Node struct {
	Name    string
	Address string         // host; the port is Config's
	HostKey string         // in the form of authorized_keys, one or several lines; what it shows must be one of them
	Pods    []netip.Prefix // ranges of its pods
	Own     []netip.Prefix // its addresses
}

// Config of Tunnels.
type Config struct {
	User  string
	Key   ssh.Signer
	Nodes func(ctx context.Context) ([]Node, error)
	// Port is 22 but in tests.
	Port int
	// Dial connects to a node's port. Nil is the network's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

// Tunnels are the connections to nodes. Make one with New. mu.nodes has an entry for each node that has been asked for, whose lock
// is held while a connection to it is made.
type Tunnels struct {
	cfg Config

	mu struct {
		sync.Mutex
		nodes map[string]*tunnel
	}
}

// tunnel is the connection to one node.
type tunnel struct {
	making chan struct{} // holds one value while somebody uses client to look or to connect
	client *ssh.Client   // nil: none
}

// ReadKey reads the private key of a user.
func ReadKey(file string) (ssh.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(data)
}

// New makes the tunnels; nothing is connected yet.
func New(cfg Config) *Tunnels {
	if cfg.Port == 0 {
		cfg.Port = 22
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	t := &Tunnels{cfg: cfg}
	t.mu.nodes = map[string]*tunnel{}
	return t
}

// How long a login may take, and how often a connection is asked whether it is there.
const (
	connectTimeout = 20 * time.Second
	askEvery       = 20 * time.Second
)

// DialNode connects to an address of the node, or with "" to one that a node stands for. What no node stands for is reached through
// any of them.
func (t *Tunnels) DialNode(ctx context.Context, node, network, address string) (net.Conn, error) {
	nodes, err := t.cfg.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	n, err := choose(nodes, node, address)
	if err != nil {
		return nil, err
	}
	conn, err := t.through(ctx, n, network, address)
	var refused *ssh.OpenChannelError
	if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
		return conn, err
	}
	return t.through(ctx, n, network, address) // the connection had broken and nobody had seen it
}

func (t *Tunnels) through(ctx context.Context, n Node, network, address string) (net.Conn, error) {
	client, err := t.client(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("ssh to node %s: %w", n.Name, err)
	}
	conn, err := client.DialContext(ctx, network, address)
	if err != nil {
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) && ctx.Err() == nil {
			t.drop(n.Name, client)
		}
		return nil, fmt.Errorf("through node %s: %w", n.Name, err)
	}
	return conn, nil
}

// choose returns the node through which an address is reached.
func choose(nodes []Node, name, address string) (Node, error) {
	if len(nodes) == 0 {
		return Node{}, errors.New("there is no node to go through")
	}
	host, _, _ := net.SplitHostPort(address)
	ip, _ := netip.ParseAddr(host)
	has := func(ranges []netip.Prefix) bool {
		return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	for _, fits := range []func(Node) bool{
		func(n Node) bool { return name != "" && n.Name == name },
		func(n Node) bool { return has(n.Pods) }, // which the cluster has given it, while it can call any address its own
		func(n Node) bool { return has(n.Own) },
	} {
		if i := slices.IndexFunc(nodes, fits); i >= 0 {
			return nodes[i], nil
		}
	}
	return nodes[rand.IntN(len(nodes))], nil
}

// client returns the connection to a node, made if there is none.
func (t *Tunnels) client(ctx context.Context, n Node) (*ssh.Client, error) {
	t.mu.Lock()
	e := t.mu.nodes[n.Name]
	if e == nil {
		e = &tunnel{making: make(chan struct{}, 1)}
		t.mu.nodes[n.Name] = e
	}
	t.mu.Unlock()
	select {
	case e.making <- struct{}{}:
		defer func() { <-e.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if e.client != nil {
		return e.client, nil
	}
	client, err := t.connect(ctx, n)
	if err != nil {
		return nil, err
	}
	e.client = client
	t.cfg.Log.Info("connected", "node", n.Name)
	go t.keep(n.Name, client)
	return client, nil
}

// connect logs in to a node.
func (t *Tunnels) connect(ctx context.Context, n Node) (*ssh.Client, error) {
	callback, algorithms, err := pinned(n.HostKey)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	address := net.JoinHostPort(n.Address, strconv.Itoa(t.cfg.Port))
	conn, err := t.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: t.cfg.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(t.cfg.Key)}, HostKeyCallback: callback, HostKeyAlgorithms: algorithms,
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// ErrNotPinned says that nothing is known of a node's host key.
var ErrNotPinned = errors.New("the node's host key is not pinned")

// pinned accepts one of the keys, and has only their kinds offered.
func pinned(lines string) (ssh.HostKeyCallback, []string, error) {
	var keys [][]byte
	var algorithms []string
	for rest := []byte(lines); len(bytes.TrimSpace(rest)) > 0; {
		key, _, _, left, err := ssh.ParseAuthorizedKey(rest)
		if err != nil {
			return nil, nil, fmt.Errorf("pinned host key: %w", err)
		}
		rest = left
		keys = append(keys, key.Marshal())
		if key.Type() == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		algorithms = append(algorithms, key.Type())
	}
	if len(keys) == 0 {
		return nil, nil, ErrNotPinned
	}
	return func(_ string, _ net.Addr, key ssh.PublicKey) error {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key.Marshal()) }) {
			return fmt.Errorf("the host key %s is not the pinned one", ssh.FingerprintSHA256(key))
		}
		return nil
	}, algorithms, nil
}

// keep sees whether a connection answers, and takes it out when it has ended.
func (t *Tunnels) keep(node string, client *ssh.Client) {
	ended := make(chan error, 1)
	go func() { ended <- client.Wait() }()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	var err error
	for open := true; open; {
		select {
		case err = <-ended:
			open = false
		case <-tick.C:
			late := time.AfterFunc(askEvery, func() { client.Close() })
			_, _, _ = client.SendRequest("keepalive@openssh.com", true, nil)
			late.Stop()
		}
	}
	t.drop(node, client)
	t.cfg.Log.Info("the connection has ended", "node", node, "error", err)
}

// drop ends a connection to a node that has broken, so that the next who needs one makes another.
func (t *Tunnels) drop(node string, client *ssh.Client) {
	t.mu.Lock()
	e := t.mu.nodes[node]
	t.mu.Unlock()
	client.Close()
	e.making <- struct{}{}
	if e.client == client {
		e.client = nil
	}
	<-e.making
}

// Close ends all connections.
func (t *Tunnels) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.mu.nodes {
		e.making <- struct{}{}
		if e.client != nil {
			e.client.Close()
		}
		<-e.making
	}
}
