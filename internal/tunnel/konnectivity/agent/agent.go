package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"sampan.dev/internal/tunnel/konnectivity/link"
	"sampan.dev/internal/tunnel/konnectivity/wire"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// Config of an Agent.
type Config struct {
	// Servers are HOST:PORT of servers, or of what leads to one of them. They are tried in turn.
	Servers []string
	// ID names the agent; Identifiers say what it is for, as a URL's query (host=, ipv4=, ipv6=, cidr=, default-route=).
	ID, Identifiers string
	TLS             *tls.Config
	// Token returns what the agent proves itself with, beside or instead of a certificate. Nil: nothing.
	Token func() (string, error)
	// Dial makes the connections that the server asks for. Nil is the network's.
	Dial link.DialFunc

	// After a failure the agent waits for Sync, then longer each time up to SyncCap. 0 is 200 milliseconds, and ten seconds.
	Sync, SyncCap time.Duration
	// Forever has it look for further servers though it knows as many as there should be, every Sync.
	Forever bool
	// Keepalive is how often a connection that is silent is tried. 0 is 30 seconds.
	Keepalive time.Duration
	Log       *slog.Logger
}

// Agent keeps connections to servers. Make one with New.
type Agent struct {
	cfg Config
	wg  sync.WaitGroup

	mu struct {
		sync.Mutex
		servers map[string]*link.Link // by the servers' names
		count   int                   // how many there are, as the last one said
	}
}

// New makes an agent.
func New(cfg Config) *Agent {
	if cfg.Sync == 0 {
		cfg.Sync = 200 * time.Millisecond
	}
	if cfg.SyncCap == 0 {
		cfg.SyncCap = 10 * time.Second
	}
	if cfg.Keepalive == 0 {
		cfg.Keepalive = 30 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	a := &Agent{cfg: cfg}
	a.mu.servers, a.mu.count = map[string]*link.Link{}, 1
	return a
}

// Connected is how many servers the agent is connected to.
func (a *Agent) Connected() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.mu.servers)
}

// errTwice says that the server is one that the agent is connected to.
var errTwice = errors.New("connected to this server already")

// Run keeps the connections until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	defer a.wg.Wait()
	lost := make(chan struct{}, 1)
	wait := a.cfg.Sync
	for turn := 0; ; turn++ {
		err := a.connect(ctx, a.cfg.Servers[turn%len(a.cfg.Servers)], lost)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			wait = a.cfg.Sync
		case !errors.Is(err, errTwice): // what leads to several servers may choose the same again
			a.cfg.Log.Warn("not connected to the server", "error", err)
		}
		if err = a.pause(ctx, err, &wait, lost); err != nil {
			return nil
		}
	}
}

// pause waits until there is something to do again, and fails when ctx ends.
func (a *Agent) pause(ctx context.Context, failed error, wait *time.Duration, lost <-chan struct{}) error {
	missing := a.missing()
	switch {
	case failed == nil && missing:
		return nil // the next server at once
	case !missing && !a.cfg.Forever:
		select {
		case <-lost:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d := *wait
	if failed != nil {
		*wait = min(*wait*3/2, a.cfg.SyncCap)
	}
	timer := time.NewTimer(d + time.Duration(rand.Int64N(int64(d)/10+1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-lost: // a server that ended is looked for without delay, the first time
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// missing tells whether there are servers that the agent is not connected to.
func (a *Agent) missing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.mu.servers) < a.mu.count
}

// connect connects to one server and begins to serve it. lost is told when that has ended.
func (a *Agent) connect(ctx context.Context, address string, lost chan<- struct{}) error {
	conn, err := grpc.NewClient("passthrough:///"+address, a.options()...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	end := func() {
		cancel()
		conn.Close()
	}
	stream, header, err := a.greet(ctx, cancel, conn)
	if err != nil {
		end()
		return fmt.Errorf("%s: %w", address, err)
	}
	l := link.New(link.Config{Stream: stream, Credit: header.credit, Dial: a.cfg.Dial})
	if !a.add(header, l) {
		end()
		return errTwice
	}
	a.cfg.Log.Info("connected to the server", "server", header.id, "at", address, "servers", header.count)
	a.wg.Go(func() {
		err := l.Run()
		end()
		a.remove(header.id)
		if ctx.Err() == nil || err != nil {
			a.cfg.Log.Info("the connection to the server has ended", "server", header.id, "error", err)
		}
		select {
		case lost <- struct{}{}:
		default:
		}
	})
	return nil
}

func (a *Agent) add(h header, l *link.Link) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.servers[h.id] != nil {
		return false
	}
	a.mu.servers[h.id] = l
	a.mu.count = h.count
	return true
}

func (a *Agent) remove(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.mu.servers, id)
}

// header is what a server says of itself.
type header struct {
	id     string
	count  int
	credit int64
}

// greetTimeout is how long a server may take to answer.
const greetTimeout = 15 * time.Second

// greet opens the stream and reads what the server says of itself. cancel ends the stream when that takes too long.
func (a *Agent) greet(ctx context.Context, cancel context.CancelFunc, conn *grpc.ClientConn) (grpc.ClientStream, header, error) {
	pairs := []string{wire.AgentID, a.cfg.ID, wire.AgentIdentifiers, a.cfg.Identifiers, wire.Credit, strconv.Itoa(link.Room)}
	if a.cfg.Token != nil {
		token, err := a.cfg.Token()
		if err != nil {
			return nil, header{}, err
		}
		pairs = append(pairs, wire.Authorization, wire.Bearer+token)
	}
	late := time.AfterFunc(greetTimeout, cancel)
	defer late.Stop()
	stream, err := conn.NewStream(metadata.AppendToOutgoingContext(ctx, pairs...), &wire.StreamDesc, wire.AgentMethod)
	if err != nil {
		return nil, header{}, err
	}
	md, err := stream.Header()
	if err != nil {
		return nil, header{}, err
	}
	h, err := readHeader(md)
	if err != nil {
		// The stream has ended without a header: why is what it ends with.
		if ended := stream.RecvMsg(&wire.Packet{}); len(md) == 0 && ended != nil {
			err = ended
		}
	}
	return stream, h, err
}

func readHeader(md metadata.MD) (header, error) {
	ids, counts := md.Get(wire.ServerID), md.Get(wire.ServerCount)
	if len(ids) != 1 {
		return header{}, fmt.Errorf("expected one server ID in the context, got %v", ids)
	}
	if len(counts) != 1 {
		return header{}, fmt.Errorf("expected one server count, got %d", len(counts))
	}
	n, err := strconv.Atoi(counts[0])
	if err != nil {
		return header{}, fmt.Errorf("server count: %w", err)
	}
	return header{ids[0], n, wire.ReadCredit(md)}, nil
}

func (a *Agent) options() []grpc.DialOption {
	return slices.Concat(wire.ClientOptions(), []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(a.cfg.TLS)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: a.cfg.Keepalive, Timeout: 10 * time.Second}),
	})
}
