package dns

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// forwarder asks the node's name servers, and remembers their answers for a little while.
type forwarder struct {
	now func() time.Time
	own func(netip.Addr) bool // addresses that would lead back here

	mu      sync.Mutex
	path    string // resolv.conf
	read    time.Time
	servers []string
	down    map[string]time.Time // until when a server that did not answer is not asked
	cache   map[cacheKey]cached
}

type cacheKey struct {
	name   string
	typ    uint16
	secure bool
}

type cached struct {
	msg           *dns.Msg
	stored, until time.Time
}

const (
	askTimeout = 2 * time.Second
	downFor    = 5 * time.Second
	maxTTL     = 30 * time.Second
	maxCached  = 4096
)

var errNoServers = errors.New("no name server to forward to")

func newForwarder(path string, own func(netip.Addr) bool) *forwarder {
	return &forwarder{now: time.Now, own: own, path: path, down: map[string]time.Time{}, cache: map[cacheKey]cached{}}
}

// forward answers m from the cache or from a name server. The answer's ID is m's.
func (f *forwarder) forward(ctx context.Context, m *dns.Msg, tcp bool) (*dns.Msg, error) {
	q := m.Question[0]
	opt := m.IsEdns0()
	key := cacheKey{strings.ToLower(q.Name), q.Qtype, opt != nil && opt.Do()}
	if r := f.remembered(key); r != nil {
		r.Id, r.Question = m.Id, m.Question
		return r, nil
	}
	servers := f.order()
	if len(servers) == 0 {
		return nil, errNoServers
	}
	ask := m.Copy()
	ask.Id = dns.Id()
	ask.RecursionDesired = true
	var last error
	for _, s := range servers {
		r, err := exchange(ctx, ask, s, tcp)
		if err != nil {
			f.mu.Lock()
			f.down[s] = f.now().Add(downFor)
			f.mu.Unlock()
			last = err
			continue
		}
		f.remember(key, r)
		r.Id = m.Id
		return r, nil
	}
	return nil, last
}

// exchange asks one server over UDP, and over TCP when the answer was cut and the client can take it whole.
func exchange(ctx context.Context, m *dns.Msg, server string, tcp bool) (*dns.Msg, error) {
	c := &dns.Client{Net: "udp", Timeout: askTimeout, UDPSize: dns.DefaultMsgSize}
	r, _, err := c.ExchangeContext(ctx, m, server)
	if err == nil && r.Truncated && tcp {
		c.Net = "tcp"
		r, _, err = c.ExchangeContext(ctx, m, server)
	}
	return r, err
}

// order is the servers to ask: those that are not down. While all are, nobody is asked, and clients learn at once rather
// than after a timeout for each name of their search list.
func (f *forwarder) order() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.read) > 10*time.Second {
		f.servers, f.read = nameservers(f.path, f.own), now
	}
	var up []string
	for _, s := range f.servers {
		if !now.Before(f.down[s]) {
			up = append(up, s)
		}
	}
	return up
}

// nameservers reads resolv.conf, without those that would ask us again. Where a local stub resolver listens on loopback
// but its own list is at hand, that is as good and works from any network namespace.
func nameservers(path string, own func(netip.Addr) bool) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		ip, err := netip.ParseAddr(fields[1])
		if err != nil || own(ip) {
			continue
		}
		if ip.String() == "127.0.0.53" && path != systemdResolv {
			if real := nameservers(systemdResolv, own); len(real) > 0 {
				return real
			}
		}
		out = append(out, net.JoinHostPort(ip.String(), "53"))
	}
	return out
}

const systemdResolv = "/run/systemd/resolve/resolv.conf"

func (f *forwarder) remembered(k cacheKey) *dns.Msg {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.cache[k]
	now := f.now()
	if !ok || now.After(c.until) {
		return nil
	}
	r := c.msg.Copy()
	age := uint32(now.Sub(c.stored) / time.Second)
	for _, list := range [][]dns.RR{r.Answer, r.Ns, r.Extra} {
		for _, rr := range list {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return r
}

// remember keeps an answer for as long as it says, at most maxTTL. Failures and cut answers are not kept.
func (f *forwarder) remember(k cacheKey, r *dns.Msg) {
	if r.Truncated || r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError {
		return
	}
	ttl := maxTTL
	for _, list := range [][]dns.RR{r.Answer, r.Ns} {
		for _, rr := range list {
			ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	if ttl == 0 || len(r.Answer)+len(r.Ns) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for old := range f.cache { // a random one makes room
		if len(f.cache) < maxCached {
			break
		}
		delete(f.cache, old)
	}
	now := f.now()
	f.cache[k] = cached{r.Copy(), now, now.Add(ttl)}
}
