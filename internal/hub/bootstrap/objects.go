package bootstrap

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/scheduling"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Config is what the objects depend on, and what else Run does.
type Config struct {
	Advertise   netip.AddrPort        // where this hub is reached: kubernetes' endpoint
	Moved       <-chan netip.AddrPort // where it is reached from then on; nil for a hub that stays
	ServiceCIDR netip.Prefix          // its first address is kubernetes', its tenth kube-dns'
	DNS         bool                  // make the Service kube-dns
	Served      *api.Kinds            // an APIService is made of each group version, and objects of kinds that not every hub has; nil: of none

	// Identity is what the server's Lease says of it, which Ensure writes; nil: it has none.
	Identity *Identity
	// Masters is where servers that share a store say that they live; nil for one that has its store alone.
	Masters *Masters
	// Other is work that comes up while the hub runs: Run does it whenever told to. Both may be nil.
	Other   <-chan struct{}
	DoOther func(context.Context)

	ClientCA        []byte   // PEM
	FrontProxyCA    []byte   // PEM; empty: no aggregation
	FrontProxyNames []string // common names whose headers are believed
	ServerCA        []byte   // PEM, what clients verify the hub with (cluster-info)
}

var systemNamespaces = []string{metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease, metav1.NamespaceDefault}

func namespaces() []api.Object {
	var out []api.Object
	for _, n := range systemNamespaces {
		out = append(out, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n}})
	}
	return out
}

func priorityClasses() []api.Object {
	var out []api.Object
	for _, c := range scheduling.SystemClasses() {
		out = append(out, c)
	}
	return out
}

// authenticationConfigMap tells extension API servers how to recognise callers and the front proxy.
func authenticationConfigMap(c *Config) *corev1.ConfigMap {
	list := func(v ...string) string {
		b, _ := json.Marshal(v) // strings always encode
		return string(b)
	}
	data := map[string]string{"client-ca-file": string(c.ClientCA)}
	if len(c.FrontProxyCA) > 0 {
		data["requestheader-client-ca-file"] = string(c.FrontProxyCA)
		data["requestheader-username-headers"] = list("X-Remote-User")
		data["requestheader-uid-headers"] = list("X-Remote-Uid")
		data["requestheader-group-headers"] = list("X-Remote-Group")
		data["requestheader-extra-headers-prefix"] = list("X-Remote-Extra-")
		data["requestheader-allowed-names"] = list(c.FrontProxyNames...)
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "extension-apiserver-authentication"}, Data: data,
	}
}

// sinceKey is where tokenTracking has its day.
const sinceKey = "since"

// tokenTracking says since which day (2006-01-02) the Secrets of service accounts' tokens are labelled with the day of the last use.
func tokenTracking() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "kube-apiserver-legacy-service-account-token-tracking"},
		Data:       map[string]string{sinceKey: time.Now().UTC().Format(time.DateOnly)},
	}
}

// sinceSomeDay leaves a day that can be read as it is.
func sinceSomeDay(have, want api.Object) (api.Object, bool) {
	if _, err := time.Parse(time.DateOnly, have.(*corev1.ConfigMap).Data[sinceKey]); err == nil {
		return nil, false
	}
	return sameData(have, want)
}

// clusterInfo is what kubeadm join reads without credentials: a kubeconfig without a user.
func clusterInfo(c *Config) *corev1.ConfigMap {
	kubeconfig, _ := json.Marshal(map[string]any{ // YAML readers read JSON
		"apiVersion": "v1", "kind": "Config", "preferences": map[string]any{}, "users": nil, "contexts": nil, "current-context": "",
		"clusters": []any{map[string]any{
			"name": "", "cluster": map[string]any{"server": "https://" + c.Advertise.String(), "certificate-authority-data": c.ServerCA},
		}},
	})
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespacePublic, Name: "cluster-info"},
		Data:       map[string]string{"kubeconfig": string(kubeconfig) + "\n"},
	}
}

// nth address of the service range.
func nth(p netip.Prefix, n int) string {
	a := p.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a.String()
}

func kubernetesService(c *Config) *corev1.Service {
	single := corev1.IPFamilyPolicySingleStack
	ip := nth(c.ServiceCIDR, 1)
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: "kubernetes",
			Labels: map[string]string{"provider": "kubernetes", "component": "apiserver"},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, SessionAffinity: corev1.ServiceAffinityNone,
			IPFamilies: []corev1.IPFamily{family(c.ServiceCIDR.Addr())}, IPFamilyPolicy: &single,
			Ports: []corev1.ServicePort{{
				Name: "https", Port: 443, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(int32(c.Advertise.Port())),
			}},
		},
	}
}

func kubernetesEndpoints(c *Config, live []netip.Addr) *corev1.Endpoints {
	var addresses []corev1.EndpointAddress
	for _, ip := range live {
		addresses = append(addresses, corev1.EndpointAddress{IP: ip.String()})
	}
	return &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"},
		},
		Subsets: []corev1.EndpointSubset{{
			Addresses: addresses,
			Ports:     []corev1.EndpointPort{{Name: "https", Port: int32(c.Advertise.Port()), Protocol: corev1.ProtocolTCP}},
		}},
	}
}

func kubernetesSlice(c *Config, live []netip.Addr) *discoveryv1.EndpointSlice {
	name, port, tcp, ready := "https", int32(c.Advertise.Port()), corev1.ProtocolTCP, true
	var endpoints []discoveryv1.Endpoint
	for _, ip := range live {
		endpoints = append(endpoints, discoveryv1.Endpoint{Addresses: []string{ip.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"},
		},
		AddressType: discoveryv1.AddressType(family(c.Advertise.Addr())),
		Endpoints:   endpoints,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
	}
}

// dnsService has no selector: each node serves DNS itself and publishes an EndpointSlice of its own.
func dnsService(c *Config) *corev1.Service {
	local := corev1.ServiceInternalTrafficPolicyLocal
	ip := nth(c.ServiceCIDR, 10)
	port := func(name string, n int32, p corev1.Protocol) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: n, Protocol: p, TargetPort: intstr.FromInt32(n)}
	}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceSystem, Name: "kube-dns",
			Labels: map[string]string{"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, InternalTrafficPolicy: &local,
			Ports: []corev1.ServicePort{port("dns", 53, corev1.ProtocolUDP), port("dns-tcp", 53, corev1.ProtocolTCP)},
		},
	}
}

func family(a netip.Addr) corev1.IPFamily {
	if a.Unmap().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}
