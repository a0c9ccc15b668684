package file

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func open(t *testing.T, path string) *cloud.Provider {
	t.Helper()
	p, err := New(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestMistakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	for text, want := range map[string]string{
		"machines: [{}]":                     "machines[0].name: Required value",
		"machines: [{name: a}, {name: a}]":   `machines[1]: Duplicate value: "a"`,
		"machines: [{name: a, colour: red}]": `unknown field "colour"`,
		"machines: [{name: a, addresses: [{type: InternalIP, address: here}]}]": "machines[0].addresses[0]: ParseAddr",
		"machines: [{name: a, addresses: [{type: IP, address: 10.0.0.1}]}]":     `Unsupported value: "IP"`,
		"balancers: {addresses: [10.0.0.9-10.0.0.1]}":                           "does not come after",
		"balancers: {addresses: [ten]}":                                         `balancers.addresses[0]: Invalid value: "ten"`,
		"balancers: {ipMode: Nat}":                                              `balancers.ipMode: Unsupported value: "Nat"`,
	} {
		write(t, path, text)
		if _, err := New(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestMachines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	write(t, path, "machines:\n- {name: a, zone: z, shutdown: true}\n- {name: b, providerID: 'sky://7'}\n")
	p := open(t, path)
	node := func(name, id string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: id}}
	}
	for _, c := range []struct {
		name, id         string
		exists, shutdown bool
	}{{"a", "", true, true}, {"a", "file://a", true, true}, {"other", "sky://7", true, false}, {"b", "file://b", false, false}, {"c", "", false, false}} {
		exists, err := p.Instances.InstanceExists(t.Context(), node(c.name, c.id))
		shutdown, err2 := p.Instances.InstanceShutdown(t.Context(), node(c.name, c.id))
		if err != nil || err2 != nil || exists != c.exists || shutdown != c.shutdown {
			t.Errorf("%s %s: exists %v, shut down %v, %v %v", c.name, c.id, exists, shutdown, err, err2)
		}
	}
	// A file that does not speak of machines says of none that it is gone.
	write(t, path, "balancers: {}\n")
	if exists, err := open(t, path).Instances.InstanceExists(t.Context(), node("a", "")); err == nil || exists {
		t.Errorf("no machines declared: %v %v", exists, err)
	}
}

func balanced(name, want string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)},
		Spec: corev1.ServiceSpec{LoadBalancerIP: want, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}
}

func TestBalancers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	write(t, path, "balancers: {addresses: [192.0.2.0/30, 192.0.2.9]}\n")
	p := open(t, path)
	give := func(name, want string) string {
		s, err := p.Balancers.EnsureLoadBalancer(t.Context(), "c", balanced(name, want), nil)
		if err != nil {
			return err.Error()
		}
		return s.Ingress[0].IP
	}
	for _, c := range [][3]string{
		{"a", "", "192.0.2.1"}, {"b", "192.0.2.9", "192.0.2.9"}, {"c", "", "192.0.2.2"}, {"a", "", "192.0.2.1"}, {"d", "", "no IPv4 address is free"},
		{"e", "192.0.2.9", "spec.loadBalancerIP 192.0.2.9 belongs to another balancer"}, {"e", "192.0.2.3", "spec.loadBalancerIP 192.0.2.3 is not among the declared addresses"},
	} {
		if got := give(c[0], c[1]); got != c[2] {
			t.Errorf("%s: %s, want %s", c[0], got, c[2])
		}
	}
	if err := p.Balancers.EnsureLoadBalancerDeleted(t.Context(), "c", balanced("a", "")); err != nil {
		t.Fatal(err)
	}
	p = open(t, path) // what was given is still so after a restart
	if got := give("c", ""); got != "192.0.2.2" {
		t.Errorf("after a restart: %s", got)
	}
	if got := give("d", ""); got != "192.0.2.1" {
		t.Errorf("what was given back: %s", got)
	}
}

func TestRoutesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	write(t, path, "routes: {limit: 1}\n")
	r := &cloud.Route{TargetNode: "n", DestinationCIDR: "10.244.0.0/24"}
	if err := open(t, path).Routes.CreateRoute(t.Context(), "c", "hint", r); err != nil {
		t.Fatal(err)
	}
	p := open(t, path)
	if err := p.Routes.CreateRoute(t.Context(), "c", "hint", r); err == nil || !strings.Contains(err.Error(), "allows for 1 routes") {
		t.Errorf("beyond the limit: %v", err)
	}
	have, err := p.Routes.ListRoutes(t.Context(), "c")
	if err != nil || len(have) != 1 || have[0].DestinationCIDR != "10.244.0.0/24" || have[0].TargetNode != "n" {
		t.Fatalf("%v %v", have, err)
	}
	if err := p.Routes.DeleteRoute(t.Context(), "c", have[0]); err != nil {
		t.Fatal(err)
	}
	if have, _ := open(t, path).Routes.ListRoutes(t.Context(), "c"); len(have) != 0 {
		t.Errorf("%v", have)
	}
}

// An edit holds at once; one that cannot be read changes nothing.
func TestEdits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	write(t, path, "machines: []\n")
	p := open(t, path)
	changed, done := make(chan struct{}), make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { done <- p.Run(ctx, func() { changed <- struct{}{} }) }()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	for { // until the folder is watched
		write(t, path, "machines: [{name: a}]\n")
		select {
		case <-changed:
		default:
			continue
		}
		break
	}
	if exists, err := p.Instances.InstanceExists(t.Context(), n); err != nil || !exists {
		t.Errorf("%v %v", exists, err)
	}
	stop()
	for {
		select {
		case <-changed:
			continue
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		}
		break
	}
}
