package server

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Strategy chooses an agent for an address.
type Strategy string

// The strategies, by upstream's names.
const (
	Default      Strategy = "default"      // any agent
	DestHost     Strategy = "destHost"     // one that says that it is for this host or address
	DefaultRoute Strategy = "defaultRoute" // one that says that it is for all that nobody else is for
)

// Strategies reads a list of them, in upstream's order of trying.
func Strategies(list string) ([]Strategy, error) {
	var out []Strategy
	for name := range strings.SplitSeq(list, ",") {
		s := Strategy(name)
		if s != Default && s != DestHost && s != DefaultRoute {
			return nil, fmt.Errorf("unknown proxy strategy: %s", name)
		}
		out = append(out, s)
	}
	return out, nil
}

// identifiers say what an agent is for.
type identifiers struct {
	hosts        []string // and addresses, as they are written
	ranges       []netip.Prefix
	defaultRoute bool
}

// readIdentifiers reads a URL's query. Kinds that are not known are of newer agents and mean nothing here.
func readIdentifiers(s string) (identifiers, error) {
	values, err := url.ParseQuery(s)
	if err != nil {
		return identifiers{}, fmt.Errorf("fail to parse url encoded string: %w", err)
	}
	var out identifiers
	for _, kind := range []string{"host", "ipv4", "ipv6"} {
		out.hosts = append(out.hosts, values[kind]...)
	}
	for _, r := range values["cidr"] {
		if p, err := netip.ParsePrefix(r); err == nil {
			out.ranges = append(out.ranges, p.Masked())
		}
	}
	if v, err := strconv.ParseBool(values.Get("default-route")); err == nil {
		out.defaultRoute = v
	}
	return out, nil
}

// askAgain is how long what a node stands for is taken as it was.
const askAgain = time.Second

// choose returns the agent that is to connect to an address, or nil.
func (s *Server) choose(node, address string) *agent {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip, _ := netip.ParseAddr(host)
	s.mu.Lock()
	defer s.mu.Unlock()
	if node != "" {
		if a := s.pickLocked(func(a *agent) bool { return a.node == node }); a != nil {
			return a
		}
	}
	if ip.IsValid() {
		s.lookLocked()
		// A node cannot choose the range of its pods, while it can call any address its own.
		if a := s.pickLocked(func(a *agent) bool { return within(a.stands.pods, ip) }); a != nil {
			return a
		}
		if a := s.pickLocked(func(a *agent) bool { return within(a.stands.own, ip) }); a != nil {
			return a
		}
	}
	for _, strategy := range s.cfg.Strategies {
		if a := s.pickLocked(func(a *agent) bool { return a.fits(strategy, host, ip) }); a != nil {
			return a
		}
	}
	return nil
}

func (a *agent) fits(strategy Strategy, host string, ip netip.Addr) bool {
	switch strategy {
	case DestHost:
		return slices.Contains(a.where.hosts, host) || within(a.where.ranges, ip)
	case DefaultRoute:
		return a.where.defaultRoute
	}
	return true
}

// within tells whether an address, if there is one, is in one of the ranges.
func within(ranges []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// lookLocked learns what the nodes stand for whose agents are connected.
func (s *Server) lookLocked() {
	now := time.Now()
	for _, a := range s.mu.agents {
		if a.node != "" && now.Sub(a.stands.asked) > askAgain {
			a.stands.pods, a.stands.own = s.cfg.Stands(a.node)
			a.stands.asked = now
		}
	}
}

// pickLocked returns one of the agents that fit, any one, but none that ends soon if there is another.
func (s *Server) pickLocked(fits func(*agent) bool) *agent {
	var chosen *agent
	seen := 0
	for _, a := range s.mu.agents {
		if !fits(a) {
			continue
		}
		if chosen != nil && a.draining != chosen.draining {
			if a.draining {
				continue
			}
			seen = 0 // the one that was chosen ends soon
		}
		if seen++; rand.IntN(seen) == 0 {
			chosen = a
		}
	}
	return chosen
}
