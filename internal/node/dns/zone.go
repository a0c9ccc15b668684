package dns

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Times that answers may be kept. Cluster addresses stay as long as their service; endpoints come and go.
const (
	serviceTTL  = 30
	endpointTTL = 5
)

// source is where a zone finds services and slices; the informers in the product.
type source interface {
	service(namespace, name string) (*corev1.Service, bool)
	namespace(name string) bool // whether it has services; good enough to tell "no such name" from "no such record"
	slices(namespace, name string) []*discoveryv1.EndpointSlice
	serviceByIP(ip string) (*corev1.Service, bool)
	slicesByIP(ip string) []*discoveryv1.EndpointSlice
}

// zone answers for the cluster domain.
type zone struct {
	domain string // "cluster.local."
	own    []netip.Prefix
	src    source
}

// answer is what a zone says to a question. Exactly one of the lists and codes makes sense at a time: records; none with
// success (the name exists without such a record); or NXDOMAIN.
type answer struct {
	rcode   int
	records []dns.RR
	extra   []dns.RR
	target  string // of a CNAME out of the zone, to be chased
}

var noName = answer{rcode: dns.RcodeNameError}

// lookup answers q; mine is false when the name is not this zone's.
func (z *zone) lookup(q dns.Question) (a answer, mine bool) {
	name := strings.ToLower(q.Name)
	if ip, ok := reverse(name); ok {
		return z.pointer(q, ip)
	}
	if name == z.domain {
		return z.apex(q), true
	}
	rest, ok := strings.CutSuffix(name, "."+z.domain)
	if !ok {
		return answer{}, false
	}
	labels := strings.Split(rest, ".")
	last := len(labels) - 1
	switch labels[last] {
	case "svc":
		return z.services(q, labels[:last]), true
	case "pod":
		return z.pods(q, labels[:last]), true
	case "dns-version":
		if last == 0 {
			if q.Qtype == dns.TypeTXT {
				return answer{records: []dns.RR{&dns.TXT{Hdr: header(q.Name, dns.TypeTXT, endpointTTL), Txt: []string{"1.1.0"}}}}, true
			}
			return answer{}, true
		}
	case "dns":
		if last == 1 && labels[0] == "ns" {
			if svc, ok := z.src.service("kube-system", "kube-dns"); ok {
				return answer{records: z.addresses(q, clusterIPs(svc), serviceTTL)}, true
			}
		}
	}
	return noName, true
}

func (z *zone) apex(q dns.Question) answer {
	switch q.Qtype {
	case dns.TypeSOA:
		return answer{records: []dns.RR{z.soa()}}
	case dns.TypeNS:
		return answer{records: []dns.RR{&dns.NS{Hdr: header(z.domain, dns.TypeNS, endpointTTL), Ns: "ns.dns." + z.domain}}}
	}
	return answer{}
}

// soa goes with every negative answer and says how long it may be kept.
func (z *zone) soa() dns.RR {
	return &dns.SOA{Hdr: header(z.domain, dns.TypeSOA, endpointTTL), Ns: "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: endpointTTL}
}

// services answers below svc. labels are what stands before it:
//
//	[ns]  [svc ns]  [endpoint svc ns]  [_port _proto svc ns]
func (z *zone) services(q dns.Question, labels []string) answer {
	n := len(labels)
	if n == 0 {
		return answer{}
	}
	ns := labels[n-1]
	if n == 1 {
		if z.src.namespace(ns) {
			return answer{}
		}
		return noName
	}
	svc, ok := z.src.service(ns, labels[n-2])
	if !ok {
		return noName
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		if n > 2 {
			return noName
		}
		return external(q, svc)
	}
	switch n {
	case 2:
		return z.service(q, svc)
	case 3:
		return z.endpoint(q, svc, labels[0])
	case 4:
		return z.portService(q, svc, labels[0], labels[1])
	}
	return noName
}

func external(q dns.Question, svc *corev1.Service) answer {
	target := dns.Fqdn(svc.Spec.ExternalName)
	cname := &dns.CNAME{Hdr: header(q.Name, dns.TypeCNAME, serviceTTL), Target: target}
	a := answer{records: []dns.RR{cname}}
	if q.Qtype != dns.TypeCNAME {
		a.target = target
	}
	return a
}

func (z *zone) service(q dns.Question, svc *corev1.Service) answer {
	if ips := clusterIPs(svc); len(ips) > 0 {
		if q.Qtype == dns.TypeSRV {
			return z.srvCluster(q, svc, "", "")
		}
		return answer{records: z.addresses(q, ips, serviceTTL)}
	}
	eps := z.endpoints(svc)
	if len(eps) == 0 {
		return noName // a headless service without endpoints has no records at all
	}
	if q.Qtype == dns.TypeSRV {
		return z.srvHeadless(q, svc, "", "")
	}
	var ips []netip.Addr
	for _, e := range eps {
		ips = append(ips, e.addr)
	}
	return answer{records: z.addresses(q, ips, endpointTTL)}
}

// endpoint answers for one endpoint by its hostname, or by its address with dashes.
func (z *zone) endpoint(q dns.Question, svc *corev1.Service, host string) answer {
	var ips []netip.Addr
	for _, e := range z.endpoints(svc) {
		if e.host == host {
			ips = append(ips, e.addr)
		}
	}
	if len(ips) == 0 {
		return z.emptyPort(svc, host)
	}
	return answer{records: z.addresses(q, ips, endpointTTL)}
}

// emptyPort: _tcp.svc.ns exists when a port below it does.
func (z *zone) emptyPort(svc *corev1.Service, proto string) answer {
	for _, p := range svc.Spec.Ports {
		if p.Name != "" && "_"+strings.ToLower(string(p.Protocol)) == proto {
			return answer{}
		}
	}
	return noName
}

func (z *zone) portService(q dns.Question, svc *corev1.Service, port, proto string) answer {
	if len(port) < 2 || len(proto) < 2 || port[0] != '_' || proto[0] != '_' {
		return noName
	}
	var a answer
	if len(clusterIPs(svc)) > 0 {
		a = z.srvCluster(q, svc, port[1:], proto[1:])
	} else {
		a = z.srvHeadless(q, svc, port[1:], proto[1:])
	}
	if len(a.records) == 0 {
		return noName
	}
	if q.Qtype != dns.TypeSRV && q.Qtype != dns.TypeANY {
		return answer{}
	}
	return a
}

func (z *zone) srvCluster(q dns.Question, svc *corev1.Service, port, proto string) answer {
	var a answer
	target := svc.Name + "." + svc.Namespace + ".svc." + z.domain
	for _, p := range svc.Spec.Ports {
		if (port != "" && p.Name != port) || (proto != "" && strings.ToLower(string(p.Protocol)) != proto) {
			continue
		}
		a.records = append(a.records, &dns.SRV{Hdr: header(q.Name, dns.TypeSRV, serviceTTL), Weight: 100, Port: uint16(p.Port), Target: target})
	}
	weigh(a.records)
	a.extra = z.glue(target, clusterIPs(svc), serviceTTL)
	return a
}

func (z *zone) srvHeadless(q dns.Question, svc *corev1.Service, port, proto string) answer {
	var a answer
	base := "." + svc.Name + "." + svc.Namespace + ".svc." + z.domain
	for _, e := range z.endpoints(svc) {
		matched := false
		for _, p := range e.ports {
			if p.Port == nil || port != "" && (p.Name == nil || *p.Name != port) || proto != "" && (p.Protocol == nil || strings.ToLower(string(*p.Protocol)) != proto) {
				continue
			}
			matched = true
			a.records = append(a.records, &dns.SRV{Hdr: header(q.Name, dns.TypeSRV, endpointTTL), Port: uint16(*p.Port), Target: e.host + base})
		}
		if matched {
			a.extra = append(a.extra, z.glue(e.host+base, []netip.Addr{e.addr}, endpointTTL)...)
		}
	}
	weigh(a.records)
	return a
}

// weigh shares a weight of 100 among SRV records.
func weigh(list []dns.RR) {
	for _, rr := range list {
		if s, ok := rr.(*dns.SRV); ok {
			s.Weight = uint16(max(1, 100/len(list)))
		}
	}
}

// pods answers a-b-c-d.ns.pod with the address that the name spells.
func (z *zone) pods(q dns.Question, labels []string) answer {
	if len(labels) < 2 {
		return answer{}
	}
	if len(labels) > 2 {
		return noName
	}
	ip, err := netip.ParseAddr(strings.ReplaceAll(labels[0], "-", "."))
	if err != nil {
		if ip, err = netip.ParseAddr(strings.ReplaceAll(labels[0], "-", ":")); err != nil {
			return noName
		}
	}
	return answer{records: z.addresses(q, []netip.Addr{ip}, endpointTTL)}
}

// pointer answers a reverse question: services by cluster address, endpoints of headless services by their own. Addresses
// of the cluster without a name have none; others are somebody else's to answer for.
func (z *zone) pointer(q dns.Question, ip netip.Addr) (answer, bool) {
	var names []string
	if svc, ok := z.src.serviceByIP(ip.String()); ok {
		names = append(names, svc.Name+"."+svc.Namespace+".svc."+z.domain)
	} else {
		names = z.endpointNames(ip)
	}
	if len(names) == 0 {
		for _, p := range z.own {
			if p.Contains(ip) {
				return noName, true
			}
		}
		return answer{}, false
	}
	var a answer
	if q.Qtype == dns.TypePTR || q.Qtype == dns.TypeANY {
		for _, n := range names {
			a.records = append(a.records, &dns.PTR{Hdr: header(q.Name, dns.TypePTR, endpointTTL), Ptr: n})
		}
	}
	return a, true
}

func (z *zone) endpointNames(ip netip.Addr) []string {
	var names []string
	for _, s := range z.src.slicesByIP(ip.String()) {
		name := s.Labels[discoveryv1.LabelServiceName]
		svc, ok := z.src.service(s.Namespace, name)
		if !ok || len(clusterIPs(svc)) > 0 {
			continue
		}
		for _, e := range z.endpoints(svc) {
			if e.addr == ip {
				names = append(names, e.host+"."+name+"."+s.Namespace+".svc."+z.domain)
			}
		}
	}
	return names
}

// endpointRecord is one endpoint as DNS names it.
type endpointRecord struct {
	host  string // its hostname, or its address with dashes
	addr  netip.Addr
	ports []discoveryv1.EndpointPort
}

// endpoints are a service's ready endpoints, or all of them when it publishes those that are not (their slices say ready).
func (z *zone) endpoints(svc *corev1.Service) []endpointRecord {
	var out []endpointRecord
	seen := map[netip.Addr]bool{}
	for _, s := range z.src.slices(svc.Namespace, svc.Name) {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, a := range e.Addresses {
				ip, err := netip.ParseAddr(a)
				if err != nil || seen[ip] {
					continue
				}
				seen[ip] = true
				host := strings.NewReplacer(".", "-", ":", "-").Replace(a)
				if e.Hostname != nil && *e.Hostname != "" {
					host = strings.ToLower(*e.Hostname)
				}
				out = append(out, endpointRecord{host: host, addr: ip, ports: s.Ports})
			}
		}
	}
	return out
}

// addresses makes the A or AAAA records that q asks for, in random order so that clients which take the first spread.
func (z *zone) addresses(q dns.Question, ips []netip.Addr, ttl uint32) []dns.RR {
	var out []dns.RR
	for _, ip := range ips {
		switch {
		case ip.Is4() && (q.Qtype == dns.TypeA || q.Qtype == dns.TypeANY):
			out = append(out, &dns.A{Hdr: header(q.Name, dns.TypeA, ttl), A: net.IP(ip.AsSlice())})
		case ip.Is6() && (q.Qtype == dns.TypeAAAA || q.Qtype == dns.TypeANY):
			out = append(out, &dns.AAAA{Hdr: header(q.Name, dns.TypeAAAA, ttl), AAAA: net.IP(ip.AsSlice())})
		}
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// glue are the addresses of a target that an answer names.
func (z *zone) glue(name string, ips []netip.Addr, ttl uint32) []dns.RR {
	return z.addresses(dns.Question{Name: name, Qtype: dns.TypeANY}, ips, ttl)
}

func clusterIPs(svc *corev1.Service) []netip.Addr {
	list := svc.Spec.ClusterIPs
	if len(list) == 0 {
		list = []string{svc.Spec.ClusterIP}
	}
	var out []netip.Addr
	for _, s := range list {
		if ip, err := netip.ParseAddr(s); err == nil {
			out = append(out, ip)
		}
	}
	return out
}

func header(name string, typ uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET, Ttl: ttl}
}

// reverse reads the address out of a name below in-addr.arpa or ip6.arpa.
func reverse(name string) (netip.Addr, bool) {
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		p := strings.Split(s, ".")
		if len(p) != 4 {
			return netip.Addr{}, false
		}
		ip, err := netip.ParseAddr(p[3] + "." + p[2] + "." + p[1] + "." + p[0])
		return ip, err == nil
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa.")
	if !ok || len(s) != 63 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := 62; i >= 0; i -= 2 {
		b.WriteByte(s[i])
		if n := (64 - i) / 2; n%4 == 0 && n < 32 {
			b.WriteByte(':')
		}
	}
	ip, err := netip.ParseAddr(b.String())
	return ip, err == nil
}
