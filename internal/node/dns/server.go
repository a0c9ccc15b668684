package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Config of a node's DNS.
type Config struct {
	NodeName string
	Domain   string         // "cluster.local"
	Ranges   []netip.Prefix // of pods and services: reverse names in them are never forwarded
	DNSIP    netip.Addr     // the Service kube-dns; never forwarded to
	Resolv   string         // the node's resolv.conf; "" means /etc/resolv.conf

	// Ready is closed when Gateway tells the address to listen on.
	Ready   <-chan struct{}
	Gateway func() netip.Addr

	Services *cache.Informer[*corev1.Service]
	Slices   *cache.Informer[*discoveryv1.EndpointSlice]
	Nodes    *cache.Informer[*corev1.Node]
	Door     client.Interface // may write EndpointSlices in kube-system
	Log      *slog.Logger
}

// Server is a node's DNS.
type Server struct {
	cfg  Config
	log  *slog.Logger
	zone *zone
	fwd  *forwarder
}

// New makes a server and registers what it needs of the informers; call it before they run.
func New(cfg Config) *Server {
	if cfg.Resolv == "" {
		cfg.Resolv = "/etc/resolv.conf"
	}
	src := informers{cfg.Services, cfg.Slices}
	src.index()
	s := &Server{cfg: cfg, log: cfg.Log.With("component", "dns"), zone: &zone{domain: dns.Fqdn(cfg.Domain), own: cfg.Ranges, src: src}}
	s.fwd = newForwarder(cfg.Resolv, func(ip netip.Addr) bool { return ip == cfg.DNSIP || ip == cfg.Gateway() })
	return s
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	for _, ch := range []<-chan struct{}{s.cfg.Ready, s.cfg.Services.Synced(), s.cfg.Slices.Synced(), s.cfg.Nodes.Synced()} {
		select {
		case <-ch:
		case <-ctx.Done():
			return nil
		}
	}
	addr := netip.AddrPortFrom(s.cfg.Gateway(), 53).String()
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	defer pc.Close()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	defer l.Close()
	return s.serve(ctx, pc, l)
}

func (s *Server) serve(ctx context.Context, pc net.PacketConn, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) { s.answer(ctx, w, m) })
	// A datagram may be waited for as long as it takes: the library would look up every two seconds.
	servers := []*dns.Server{{PacketConn: pc, Handler: h, ReadTimeout: time.Hour}, {Listener: l, Handler: h, ReadTimeout: 10 * time.Second}}
	var wg sync.WaitGroup
	failed := make(chan error, len(servers))
	for _, srv := range servers {
		wg.Go(func() { failed <- srv.ActivateAndServe() })
	}
	wg.Go(func() { s.publish(ctx) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("dns: %w", err)
	}
	cancel()
	for _, srv := range servers {
		_ = srv.Shutdown()
	}
	_ = pc.Close() // a server that had not begun yet is not shut down by Shutdown
	_ = l.Close()
	wg.Wait()
	return err
}

// answer serves one query.
func (s *Server) answer(ctx context.Context, w dns.ResponseWriter, m *dns.Msg) {
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	r := s.respond(ctx, m, tcp)
	limit := dns.MaxMsgSize
	if !tcp {
		limit = dns.MinMsgSize
		if o := m.IsEdns0(); o != nil {
			limit = max(limit, int(o.UDPSize()))
		}
	}
	r.Truncate(limit)
	if err := w.WriteMsg(r); err != nil {
		s.log.Debug("cannot answer", "client", w.RemoteAddr(), "err", err)
	}
}

// respond makes the answer to a query.
func (s *Server) respond(ctx context.Context, m *dns.Msg, tcp bool) *dns.Msg {
	r := new(dns.Msg)
	if len(m.Question) != 1 || m.Opcode != dns.OpcodeQuery {
		return r.SetRcode(m, dns.RcodeNotImplemented)
	}
	q := m.Question[0]
	a, mine := answer{}, false
	if q.Qclass == dns.ClassINET || q.Qclass == dns.ClassANY {
		a, mine = s.zone.lookup(q)
	}
	if !mine {
		f, err := s.fwd.forward(ctx, m, tcp)
		if err != nil {
			s.log.Debug("cannot forward", "name", q.Name, "err", err)
			return r.SetRcode(m, dns.RcodeServerFailure)
		}
		return f
	}
	r.SetRcode(m, a.rcode)
	r.Authoritative, r.RecursionAvailable, r.Compress = true, true, true
	r.Answer, r.Extra = a.records, a.extra
	if a.target != "" {
		s.chase(ctx, r, q, a.target, tcp)
	}
	if len(r.Answer) == 0 {
		r.Ns = []dns.RR{s.zone.soa()}
	}
	if o := m.IsEdns0(); o != nil {
		r.SetEdns0(dns.DefaultMsgSize, o.Do())
	}
	return r
}

// chase adds what a CNAME's target means: stub resolvers expect it in the same answer. The target may be ours again.
func (s *Server) chase(ctx context.Context, r *dns.Msg, q dns.Question, target string, tcp bool) {
	for range 8 {
		next := dns.Question{Name: target, Qtype: q.Qtype, Qclass: dns.ClassINET}
		a, mine := s.zone.lookup(next)
		if !mine {
			ask := new(dns.Msg)
			ask.SetQuestion(target, q.Qtype)
			if f, err := s.fwd.forward(ctx, ask, tcp); err == nil {
				r.Answer = append(r.Answer, f.Answer...)
			}
			return
		}
		r.Answer = append(r.Answer, a.records...)
		if a.target == "" {
			return
		}
		target = a.target
	}
}
