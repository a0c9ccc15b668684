package server

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"sampan.dev/internal/tunnel/konnectivity/link"
	"sampan.dev/internal/tunnel/konnectivity/wire"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Config of a Server.
type Config struct {
	// ID tells the server from the others that there are, Count of them all in all.
	ID    string
	Count int
	// Authenticate says who an agent is, by the certificates that TLS has verified (leaf first; none if it showed none) and by its
	// token ("" if it sent none). Nil lets in whom TLS does.
	Authenticate func(ctx context.Context, certs []*x509.Certificate, token string) (Identity, error)
	// Stands returns what a node stands for: the ranges of its pods, which the cluster has given it, and the addresses that it says
	// are its own. It is asked when somebody dials, at most once a second for each node that is connected.
	Stands func(node string) (pods, own []netip.Prefix)
	// Strategies choose an agent for an address that no node stands for. None: any agent.
	Strategies []Strategy
	Log        *slog.Logger
}

// Identity is who an agent has proved to be.
type Identity struct {
	// Node is the node whose agent it is. Such an agent's identifiers are not believed: it stands where the node does.
	Node string
	Name string // for the log
}

// ErrNoAgent is upstream's answer to an address that nobody can reach.
var ErrNoAgent = errors.New("No agent available") //nolint:staticcheck // upstream's words

// Server knows the agents that are connected. Make one with New; its methods may be called at any time.
type Server struct {
	cfg Config

	mu struct {
		sync.Mutex
		agents []*agent
	}
}

// agent is one that is connected.
type agent struct {
	id       string
	node     string
	link     *link.Link
	where    identifiers
	draining bool // under the server's mu

	stands struct { // under the server's mu
		pods, own []netip.Prefix
		asked     time.Time
	}
}

// New makes a server.
func New(cfg Config) *Server {
	if len(cfg.Strategies) == 0 {
		cfg.Strategies = []Strategy{Default}
	}
	if cfg.Stands == nil {
		cfg.Stands = func(string) (pods, own []netip.Prefix) { return nil, nil }
	}
	return &Server{cfg: cfg}
}

// Agents is how many are connected.
func (s *Server) Agents() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.agents)
}

// Open counts the connections through all agents, those that are being made too.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.mu.agents {
		n += a.link.Len()
	}
	return n
}

// dialTimeout is how long a connection may take to be made.
const dialTimeout = 30 * time.Second

// DialContext makes a connection to HOST:PORT through the agent that is to make it.
func (s *Server) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return s.dial(ctx, "", network, address)
}

// DialNode is DialContext for an address of a node, which is dialled by the node's own agent: another node may have the same
// address elsewhere.
func (s *Server) DialNode(ctx context.Context, node, network, address string) (net.Conn, error) {
	return s.dial(ctx, node, network, address)
}

func (s *Server) dial(ctx context.Context, node, network, address string) (net.Conn, error) {
	a := s.choose(node, address)
	if a == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: ErrNoAgent}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return a.link.Dial(ctx, network, address)
}

// ServeAgents serves agents on l until ctx ends. It closes l.
func (s *Server) ServeAgents(ctx context.Context, l net.Listener, creds credentials.TransportCredentials, keepalive time.Duration) error {
	return s.serve(ctx, l, creds, keepalive, wire.Service(wire.AgentMethod, s.agent))
}

// agent serves one agent until it goes.
func (s *Server) agent(stream grpc.ServerStream) error {
	ctx := stream.Context()
	md, _ := metadata.FromIncomingContext(ctx)
	id := first(md, wire.AgentID)
	if id == "" {
		return status.Error(codes.InvalidArgument, "the agent does not say its ID")
	}
	who, err := s.authenticate(ctx, md)
	if err != nil {
		s.cfg.Log.Warn("agent refused", "agent", id, "error", err)
		return status.Error(codes.Unauthenticated, err.Error())
	}
	a := &agent{id: id, node: who.Node}
	if who.Node == "" {
		if a.where, err = readIdentifiers(first(md, wire.AgentIdentifiers)); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
	a.link = link.New(link.Config{Stream: stream, Credit: wire.ReadCredit(md), Drains: func() { s.drain(a) }})
	header := metadata.Pairs(wire.ServerID, s.cfg.ID, wire.ServerCount, strconv.Itoa(s.cfg.Count), wire.Credit, strconv.Itoa(link.Room))
	if err := stream.SendHeader(header); err != nil {
		return err
	}
	s.add(a)
	defer s.remove(a)
	s.cfg.Log.Info("agent connected", "agent", id, "node", who.Node, "as", who.Name)
	err = a.link.Run()
	s.cfg.Log.Info("agent has gone", "agent", id, "node", who.Node, "error", err)
	return err
}

func (s *Server) authenticate(ctx context.Context, md metadata.MD) (Identity, error) {
	if s.cfg.Authenticate == nil {
		return Identity{}, nil
	}
	var certs []*x509.Certificate
	if p, ok := peer.FromContext(ctx); ok {
		if t, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(t.State.VerifiedChains) > 0 {
			certs = t.State.PeerCertificates
		}
	}
	token, err := bearer(md)
	if err != nil {
		return Identity{}, err
	}
	return s.cfg.Authenticate(ctx, certs, token)
}

func (s *Server) add(a *agent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.agents = append(s.mu.agents, a)
}

func (s *Server) remove(a *agent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.mu.agents {
		if other == a {
			s.mu.agents = append(s.mu.agents[:i:i], s.mu.agents[i+1:]...)
			return
		}
	}
}

func (s *Server) drain(a *agent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.draining = true
}
