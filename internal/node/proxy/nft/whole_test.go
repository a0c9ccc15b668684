package nft

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/node/netnstest"
	"sampan.dev/internal/node/proxy"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// A node port answers on whatever address the node has, also one it gets later, to everybody, also to a pod on the node
// that is its own backend; but not on loopback.
func TestNodePortsOnEveryAddress(t *testing.T) {
	r := newRig(t)
	rules := service(podB)
	rules.Entries[key(netip.Addr{}, unix.IPPROTO_UDP, 30080)] = proxy.Entry{Front: balance(proxy.Everyone, podB)}
	r.set("ns/s", rules)
	lo, _ := netlink.LinkByName("lo")
	if err := netlink.AddrReplace(lo, &netlink.Addr{IPNet: one("203.0.113.9")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.AddrDel(lo, &netlink.Addr{IPNet: one("203.0.113.9")}) })
	for _, addr := range []string{"192.0.2.1:30080", "10.244.0.1:30080", "203.0.113.9:30080"} {
		for _, ns := range []string{"", r.a, r.b, r.outside} {
			for _, network := range []string{"tcp", "udp"} {
				r.expect(ns, network, addr, "b", "")
			}
		}
	}
	r.refused("", "tcp", "127.0.0.1:30080")
	r.refused(r.outside, "tcp", "192.0.2.1:30081")
}

// The node's own processes reach services at every kind of address, and a pod reaches itself through each.
func TestFromTheNodeAndHairpin(t *testing.T) {
	r := newRig(t)
	r.set("ns/s", service(podB))
	for _, c := range []struct{ network, addr string }{
		{"tcp", "10.96.0.10:80"}, {"udp", "10.96.0.10:80"}, {"tcp", "198.51.100.1:80"}, {"tcp", "192.0.2.1:30080"},
	} {
		r.expect("", c.network, c.addr, "b", "10.244.0.1")
		r.expect(r.b, c.network, c.addr, "b", "10.244.0.1") // else its answer would not come back this way
	}
}

// A backend that is a process of the node itself, as the API server is to the service "kubernetes".
func TestBackendOnTheNode(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp4", "192.0.2.1:6443")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "node "+host(c.RemoteAddr()))
			c.Close()
		}
	}()
	r.set("default/kubernetes", proxy.Rules{Entries: map[proxy.Key]proxy.Entry{
		key(vip, unix.IPPROTO_TCP, 443): {Front: balance(proxy.Strangers, netip.MustParseAddrPort("192.0.2.1:6443"))}}, ClusterIPs: []netip.Addr{vip}})
	r.expect(r.a, "tcp", "10.96.0.10:443", "node", "10.244.0.2")
	r.expect("", "tcp", "10.96.0.10:443", "node", "")
}

// door is a hub with a list and a feed for every resource.
type door struct {
	client.Reader
	objs  map[string][]api.Object
	feeds map[string]*watch.FakeWatcher
}

func (d door) List(_ context.Context, ref client.Ref, _ metav1.ListOptions) (*client.List, error) {
	return &client.List{ResourceVersion: "1", Items: d.objs[ref.Resource.Resource]}, nil
}

func (d door) Watch(_ context.Context, ref client.Ref, _ metav1.ListOptions) (watch.Interface, error) {
	return d.feeds[ref.Resource.Resource], nil
}

func (d door) Get(context.Context, client.Ref, metav1.GetOptions) (runtime.Object, error) {
	return nil, errors.New("no get")
}

func localService() *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", ResourceVersion: "1"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10"},
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, HealthCheckNodePort: 32000,
		Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP}}}}
}

func localSlice(version string, node map[string]string) *discoveryv1.EndpointSlice {
	name, port, tcp, yes := "", int32(8080), corev1.ProtocolTCP, true
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s-1", ResourceVersion: version,
		Labels: map[string]string{discoveryv1.LabelServiceName: "s"}}, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}}}
	for _, a := range []string{"10.244.0.2", "10.244.0.3"} {
		n := node[a]
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, NodeName: &n, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes}})
	}
	return s
}

// The whole proxy, from objects to packets: externalTrafficPolicy Local keeps to the node and shows the client, the health
// check says how many backends are here, and a flushed ruleset is back within a second.
func TestWholeProxy(t *testing.T) {
	r := newRig(t)
	if err := Cleanup("0a1b2c3d"); err != nil {
		t.Fatal(err)
	}
	d := door{objs: map[string][]api.Object{"services": {localService()}, "nodes": {&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "here", ResourceVersion: "1"}}},
		"endpointslices": {localSlice("1", map[string]string{"10.244.0.2": "here", "10.244.0.3": "there"})}}, feeds: map[string]*watch.FakeWatcher{}}
	for _, res := range []string{"services", "nodes", "endpointslices"} {
		d.feeds[res] = watch.NewFakeWithChanSize(100, false)
	}
	log := slog.New(slog.DiscardHandler)
	set := cache.NewSet(d, log)
	p := proxy.New(proxy.Config{NodeName: "here", Log: log,
		V4:       New(Config{Instance: "0a1b2c3d", Pods: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}}),
		Services: cache.For[*corev1.Service](set, client.Services, cache.Options{}),
		Slices:   cache.For[*discoveryv1.EndpointSlice](set, client.EndpointSlices, cache.Options{}),
		Nodes:    cache.For[*corev1.Node](set, client.Nodes, cache.Options{})})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = set.Run(ctx) })
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()

	r.answers()
	for range 8 {
		r.expect(r.outside, "tcp", "192.0.2.1:30080", "a", "192.0.2.2")
	}
	r.health(http.StatusOK, 1)

	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.FlushRuleset()
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		r.answers()
	}

	d.feeds["endpointslices"].Modify(localSlice("2", map[string]string{"10.244.0.2": "there", "10.244.0.3": "there"}))
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if code, _ := r.healthCode(); code == http.StatusServiceUnavailable {
			break
		}
	}
	r.health(http.StatusServiceUnavailable, 0)
	r.silent(r.outside, "tcp", "192.0.2.1:30080")
	r.expect("", "tcp", "192.0.2.1:30080", "", "") // whom the policy is not for
}

// answers waits until the node port does, and says how long that took.
func (r *rig) answers() {
	r.t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		_, _, err := askFor(r.t, moment, r.outside, "tcp", "192.0.2.1:30080")
		if err == nil {
			r.t.Logf("answered after %v", time.Since(start).Round(time.Millisecond))
			return
		}
		if time.Since(start) > patience {
			r.t.Fatalf("no answer within %v: %v", patience, err)
		}
	}
}

// healthCode asks the health check node port from outside.
func (r *rig) healthCode() (code, local int) {
	r.t.Helper()
	netnstest.In(r.t, r.outside, func() error {
		conn, err := net.Dial("tcp", "192.0.2.1:32000") // here: the client would dial on another thread
		if err != nil {
			return err
		}
		tr := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
		resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("http://192.0.2.1:32000/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var body struct{ LocalEndpoints int }
		code = resp.StatusCode
		err = json.NewDecoder(resp.Body).Decode(&body)
		local = body.LocalEndpoints
		return err
	})
	return code, local
}

func (r *rig) health(wantCode, wantLocal int) {
	r.t.Helper()
	if code, local := r.healthCode(); code != wantCode || local != wantLocal {
		r.t.Errorf("health check: %d, %d local; want %d, %d", code, local, wantCode, wantLocal)
	}
}
