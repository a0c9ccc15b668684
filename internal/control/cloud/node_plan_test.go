package cloud

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func address(kind, a string) corev1.NodeAddress {
	return corev1.NodeAddress{Type: corev1.NodeAddressType(kind), Address: a}
}

func TestInitialized(t *testing.T) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"mine": "1", corev1.LabelTopologyZone: "guess"}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "other"}, {Key: taintUninitialized}}}}
	m := &cloud.InstanceMetadata{ProviderID: "sky://1", InstanceType: "big", Zone: "z", Region: "r",
		AdditionalLabels: map[string]string{"mine": "2", "rack": "7", "node.kubernetes.io/x": "no", "k8s.io/y": "no"}}
	out, err := initialized(n, m)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"mine": "1", "rack": "7",
		"topology.kubernetes.io/zone": "z", "failure-domain.beta.kubernetes.io/zone": "z",
		"topology.kubernetes.io/region": "r", "failure-domain.beta.kubernetes.io/region": "r",
		"node.kubernetes.io/instance-type": "big", "beta.kubernetes.io/instance-type": "big"}
	if out.Spec.ProviderID != "sky://1" || !maps.Equal(out.Labels, want) || len(out.Spec.Taints) != 1 || out.Spec.Taints[0].Key != "other" {
		t.Errorf("%+v", out)
	}
	if len(n.Spec.Taints) != 2 || n.Labels[corev1.LabelTopologyZone] != "guess" {
		t.Error("the node itself was changed")
	}
	if _, err := initialized(n, &cloud.InstanceMetadata{}); err == nil || err.Error() != "cloud provider does not set node provider ID for node n" {
		t.Errorf("no provider ID: %v", err)
	}
	n.Annotations = map[string]string{annProvidedIP: "10.0.0.9"}
	if _, err := initialized(n, m); err == nil || !strings.Contains(err.Error(), `provided node ip for node "n" is not valid: failed to get node address from cloud provider that matches ip: 10.0.0.9`) {
		t.Errorf("an address that the cloud does not know: %v", err)
	}
}

func TestAddressesOf(t *testing.T) {
	host := address("Hostname", "n")
	a, b, c := address("InternalIP", "10.0.0.1"), address("InternalIP", "10.0.0.2"), address("ExternalIP", "192.0.2.1")
	for _, x := range []struct {
		name, told        string
		has, given, wants []corev1.NodeAddress
	}{
		{"the cloud's, and the kubelet's name", "", []corev1.NodeAddress{b, host}, []corev1.NodeAddress{a, c}, []corev1.NodeAddress{a, c, host}},
		{"as they are", "", []corev1.NodeAddress{a, c, host}, []corev1.NodeAddress{a, c}, nil},
		{"the cloud's name", "", []corev1.NodeAddress{host}, []corev1.NodeAddress{a, address("Hostname", "sky")}, []corev1.NodeAddress{a, address("Hostname", "sky")}},
		{"none given", "", []corev1.NodeAddress{a, host}, nil, nil},
		{"the one that was told", "10.0.0.2", []corev1.NodeAddress{host}, []corev1.NodeAddress{a, b, c}, []corev1.NodeAddress{b, c, host}},
		{"two families", "10.0.0.2,fd00::1", nil, []corev1.NodeAddress{a, b, address("InternalIP", "fd00::1")}, []corev1.NodeAddress{b, address("InternalIP", "fd00::1")}},
	} {
		n := &corev1.Node{Status: corev1.NodeStatus{Addresses: x.has}}
		if x.told != "" {
			n.Annotations = map[string]string{annProvidedIP: x.told}
		}
		if got, err := addressesOf(n, x.given); err != nil || !reflect.DeepEqual(got, x.wants) {
			t.Errorf("%s: %v %v, want %v", x.name, got, err, x.wants)
		}
	}
}

func TestAgreed(t *testing.T) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelFailureDomainBetaZone: "a", corev1.LabelTopologyZone: "b", corev1.LabelInstanceType: "t"}}}
	want := map[string]string{corev1.LabelFailureDomainBetaZone: "a", corev1.LabelTopologyZone: "a", corev1.LabelInstanceType: "t", corev1.LabelInstanceTypeStable: "t"}
	got := agreed(n)
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	n.Labels = got
	if again := agreed(n); again != nil {
		t.Errorf("once more: %v", again)
	}
}
