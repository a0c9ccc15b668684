package network

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/dump"
)

// repack brings subsets into a canonical form: each address of a port set once, ports that lead to the same addresses in one
// subset, everything sorted. An address that is both ready and not is not.
func repack(subsets []corev1.EndpointSubset) []corev1.EndpointSubset {
	byPort := map[string]*portAddresses{}
	for i := range subsets {
		s := &subsets[i]
		ports := s.Ports
		if len(ports) == 0 {
			ports = []corev1.EndpointPort{{Port: -1}} // stands for "no port"
		}
		for _, port := range ports {
			key := portKey(&port)
			p := byPort[key]
			if p == nil {
				p = &portAddresses{port: port, addrs: map[addressKey]addressState{}}
				byPort[key] = p
			}
			p.add(s.Addresses, true)
			p.add(s.NotReadyAddresses, false)
		}
	}
	byAddrs := map[string]*corev1.EndpointSubset{}
	for _, p := range byPort {
		key := p.key()
		s := byAddrs[key]
		if s == nil {
			s = p.subset()
			byAddrs[key] = s
		}
		if p.port.Port > 0 {
			s.Ports = append(s.Ports, p.port)
		}
	}
	out := make([]corev1.EndpointSubset, 0, len(byAddrs))
	for _, s := range byAddrs {
		sortByHash(s.Ports)
		out = append(out, *s)
	}
	sortByHash(out)
	return out
}

// sortByHash orders as upstream does (pkg/api/v1/endpoints): by the FNV-1a hash of each item's dump. Who compares Endpoints of both, or
// takes the first port, finds the same.
func sortByHash[T any](list []T) {
	if len(list) < 2 {
		return
	}
	type hashed struct {
		sum  []byte
		item T
	}
	by := make([]hashed, len(list))
	for i, item := range list {
		h := fnv.New128a()
		io.WriteString(h, dump.ForHash(item)) //nolint:errcheck // a hash does not fail
		by[i] = hashed{h.Sum(nil), item}
	}
	slices.SortFunc(by, func(a, b hashed) int { return bytes.Compare(a.sum, b.sum) })
	for i := range by {
		list[i] = by[i].item
	}
}

type addressKey struct {
	ip  string
	uid types.UID
}

type addressState struct {
	addr  corev1.EndpointAddress
	ready bool
}

type portAddresses struct {
	port  corev1.EndpointPort
	addrs map[addressKey]addressState
}

func (p *portAddresses) add(addrs []corev1.EndpointAddress, ready bool) {
	for _, a := range addrs {
		key := keyOfAddress(&a)
		if have, ok := p.addrs[key]; !ok || have.ready {
			p.addrs[key] = addressState{a, ready}
		}
	}
}

func keyOfAddress(a *corev1.EndpointAddress) addressKey {
	key := addressKey{ip: a.IP}
	if a.TargetRef != nil {
		key.uid = a.TargetRef.UID
	}
	return key
}

func (p *portAddresses) key() string {
	keys := make([]string, 0, len(p.addrs))
	for k, a := range p.addrs {
		keys = append(keys, fmt.Sprintf("%s/%s/%s/%t", k.ip, k.uid, a.addr.Hostname, a.ready))
	}
	slices.Sort(keys)
	return strings.Join(keys, ",")
}

func (p *portAddresses) subset() *corev1.EndpointSubset {
	s := &corev1.EndpointSubset{}
	for _, a := range p.addrs {
		if a.ready {
			s.Addresses = append(s.Addresses, a.addr)
		} else {
			s.NotReadyAddresses = append(s.NotReadyAddresses, a.addr)
		}
	}
	byIP := func(a, b corev1.EndpointAddress) int {
		return cmp.Or(strings.Compare(a.IP, b.IP), cmp.Compare(keyOfAddress(&a).uid, keyOfAddress(&b).uid))
	}
	slices.SortFunc(s.Addresses, byIP)
	slices.SortFunc(s.NotReadyAddresses, byIP)
	return s
}

func portKey(p *corev1.EndpointPort) string {
	return fmt.Sprintf("%s/%s/%06d/%s", p.Name, p.Protocol, p.Port, value(p.AppProtocol))
}

// truncate cuts subsets in place down to a thousand addresses, ready ones before the others, evenly over the subsets. It
// reports whether it had to.
func truncate(subsets []corev1.EndpointSubset) bool {
	ready, notReady := 0, 0
	for i := range subsets {
		ready += len(subsets[i].Addresses)
		notReady += len(subsets[i].NotReadyAddresses)
	}
	if ready+notReady <= mostPerEndpoints {
		return false
	}
	cutReady := ready > mostPerEndpoints
	room, of := mostPerEndpoints-ready, notReady
	if cutReady {
		room, of = mostPerEndpoints, ready
	}
	left := room
	for i := range subsets {
		s := &subsets[i]
		list := &s.NotReadyAddresses
		if cutReady {
			list, s.NotReadyAddresses = &s.Addresses, nil
		}
		n := min(left, int(math.Ceil(float64(len(*list))/float64(of)*float64(room))), len(*list))
		*list = (*list)[:n]
		left -= n
	}
	return true
}
