package podspec

import (
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api/pods/podtest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func envText(env []*cri.KeyValue) string {
	var out []string
	for _, kv := range env {
		out = append(out, kv.Key+"="+string(kv.Value))
	}
	return strings.Join(out, " ")
}

func TestEnvironment(t *testing.T) {
	yes := true
	pod := podtest.Parse(t, []string{"Always", "main:a"})
	pod.Labels = map[string]string{"l": "v"}
	pod.Spec.NodeName = "n1"
	src := EnvSources{
		Pod: pod, PodIPs: []string{"10.0.0.7", "fd00::7"}, HostIPs: []string{"192.0.2.1"},
		Allocatable: podtest.Resources("cpu=3500m memory=8Gi"), Services: map[string]string{"SVC_HOST": "10.96.0.1"},
		ConfigMap: func(name string) (*corev1.ConfigMap, error) {
			if name != "cm" {
				return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmap"}, name)
			}
			return &corev1.ConfigMap{Data: map[string]string{"k": "v", "A": "from"}}, nil
		},
		Secret: func(name string) (*corev1.Secret, error) {
			return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secret"}, name)
		},
	}
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	ref := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	for _, c := range []struct {
		name string
		env  []corev1.EnvVar
		from []corev1.EnvFromSource
		want string
	}{
		{name: "services", want: "SVC_HOST=10.96.0.1"},
		{name: "expansion", env: []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)-$(SVC_HOST)-$(NO)-$$(A)"}}, want: "A=1 B=1-10.96.0.1-$(NO)-$(A) SVC_HOST=10.96.0.1"},
		{name: "later wins", env: []corev1.EnvVar{{Name: "SVC_HOST", Value: "mine"}, {Name: "A", Value: "1"}, {Name: "A", Value: "2"}}, want: "A=2 SVC_HOST=mine"},
		{name: "from with prefix", from: []corev1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("cm")}}}, want: "P_A=from P_k=v SVC_HOST=10.96.0.1"},
		{name: "env over from", env: []corev1.EnvVar{{Name: "A", Value: "env"}}, from: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("cm")}}}, want: "A=env SVC_HOST=10.96.0.1 k=v"},
		{name: "missing from", from: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref("no")}}}, want: `error: secret "no" not found`},
		{name: "missing optional from", from: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref("no"), Optional: &yes}}}, want: "SVC_HOST=10.96.0.1"},
		{name: "key", env: []corev1.EnvVar{{Name: "K", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref("cm"), Key: "k"}}}}, want: "K=v SVC_HOST=10.96.0.1"},
		{name: "no such key", env: []corev1.EnvVar{{Name: "K", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref("cm"), Key: "x"}}}}, want: "error: couldn't find key x in ConfigMap default/cm"},
		{name: "no such optional key", env: []corev1.EnvVar{{Name: "K", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref("cm"), Key: "x", Optional: &yes}}}}, want: "SVC_HOST=10.96.0.1"},
		{name: "fields", env: []corev1.EnvVar{{Name: "A", ValueFrom: field("status.podIP")}, {Name: "B", ValueFrom: field("status.podIPs")}, {Name: "C", ValueFrom: field("metadata.labels['l']")}, {Name: "D", ValueFrom: field("status.hostIP")}},
			want: "A=10.0.0.7 B=10.0.0.7,fd00::7 C=v D=192.0.2.1 SVC_HOST=10.96.0.1"},
		{name: "resources", env: []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}}, {Name: "B", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "requests.memory", Divisor: resource.MustParse("1Mi")}}}},
			want: "A=4 B=0 SVC_HOST=10.96.0.1"},
	} {
		got := ""
		if env, err := Environment(&corev1.Container{Name: "a", Env: c.env, EnvFrom: c.from}, src); err != nil {
			got = "error: " + err.Error()
		} else {
			got = envText(env)
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestServiceEnv(t *testing.T) {
	svc := func(ns, name, ip string, ports ...corev1.ServicePort) *corev1.Service {
		s := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
		s.Namespace, s.Name = ns, name
		return s
	}
	list := []*corev1.Service{
		svc("default", "kubernetes", "10.96.0.1", corev1.ServicePort{Name: "https", Port: 443, Protocol: "TCP"}),
		svc("ns", "my-db", "10.96.0.9", corev1.ServicePort{Port: 53, Protocol: "UDP"}),
		svc("ns", "headless", "None", corev1.ServicePort{Port: 1}),
		svc("other", "x", "10.96.0.8", corev1.ServicePort{Port: 1}),
	}
	with := ServiceEnvironment(list, "ns", true)
	for k, v := range map[string]string{
		"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_SERVICE_PORT_HTTPS": "443",
		"KUBERNETES_PORT": "tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
		"KUBERNETES_PORT_443_TCP_PORT": "443", "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1", "MY_DB_PORT_53_UDP": "udp://10.96.0.9:53", "MY_DB_SERVICE_PORT": "53",
	} {
		if with[k] != v {
			t.Errorf("%s=%q, want %q", k, with[k], v)
		}
	}
	if len(with) != 15 {
		t.Errorf("%d variables: %v", len(with), with)
	}
	if without := ServiceEnvironment(list, "ns", false); len(without) != 8 {
		t.Errorf("without links: %v", without)
	}
}

func TestHosts(t *testing.T) {
	pod := podtest.Parse(t, []string{"Always", "main:a"})
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"x", "y"}}}
	got := string(Hosts(pod, []string{"10.0.0.7"}, "p", "sub.default.svc.cluster.local", nil))
	want := "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n" +
		"fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n10.0.0.7\tp.sub.default.svc.cluster.local\tp\n\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHostname(t *testing.T) {
	pod := podtest.Parse(t, []string{"Always", "main:a"})
	pod.Name = strings.Repeat("a", 62) + ".b"
	name, domain, err := Hostname(pod, "cluster.local")
	if err != nil || name != strings.Repeat("a", 62) || domain != "" {
		t.Error(name, domain, err)
	}
	yes := true
	pod.Name, pod.Spec.Hostname, pod.Spec.Subdomain, pod.Spec.SetHostnameAsFQDN = "p", "h", "s", &yes
	name, domain, _ = Hostname(pod, "cluster.local")
	if got, err := KernelHostname(pod, name, domain); err != nil || got != "h.s.default.svc.cluster.local" {
		t.Error(got, err)
	}
	pod.Spec.Subdomain = strings.Repeat("s", 40)
	name, domain, _ = Hostname(pod, "cluster.local")
	if _, err := KernelHostname(pod, name, domain); err == nil {
		t.Error("a name of more than 64 characters was taken")
	}
}

func TestDNS(t *testing.T) {
	host := ParseResolvConf(strings.NewReader("# c\nnameserver 8.8.8.8\nsearch corp. .\noptions timeout:1\n"))
	show := func(c *cri.DNSConfig) string { return fmt.Sprint(c.Servers, c.Searches, c.Options) }
	pod := podtest.Parse(t, []string{"Always", "main:a"})
	one := "1"
	for _, c := range []struct {
		policy corev1.DNSPolicy
		host   bool
		cfg    *corev1.PodDNSConfig
		want   string
	}{
		{policy: corev1.DNSClusterFirst, want: "[10.96.0.10] [default.svc.cluster.local svc.cluster.local cluster.local corp] [ndots:5]"},
		{policy: corev1.DNSClusterFirst, host: true, want: "[8.8.8.8] [corp] [timeout:1]"},
		{policy: corev1.DNSClusterFirstWithHostNet, host: true, want: "[10.96.0.10] [default.svc.cluster.local svc.cluster.local cluster.local corp] [ndots:5]"},
		{policy: corev1.DNSDefault, want: "[8.8.8.8] [corp] [timeout:1]"},
		{policy: corev1.DNSNone, cfg: &corev1.PodDNSConfig{Nameservers: []string{"1.1.1.1"}, Searches: []string{"x"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &one}, {Name: "edns0"}}}, want: "[1.1.1.1] [x] [edns0 ndots:1]"},
		{policy: corev1.DNSDefault, cfg: &corev1.PodDNSConfig{Nameservers: []string{"8.8.8.8", "9.9.9.9"}}, want: "[8.8.8.8 9.9.9.9] [corp] [timeout:1]"},
	} {
		pod.Spec.DNSPolicy, pod.Spec.HostNetwork, pod.Spec.DNSConfig = c.policy, c.host, c.cfg
		got, _ := DNS(pod, host, []string{"10.96.0.10"}, "cluster.local")
		if show(got) != c.want {
			t.Errorf("%s: got %s, want %s", c.policy, show(got), c.want)
		}
	}
}

func TestNonRoot(t *testing.T) {
	yes, zero, one := true, int64(0), int64(1)
	pod := podtest.Parse(t, []string{"Always", "main:a"})
	c := &pod.Spec.Containers[0]
	for _, k := range []struct {
		user *int64
		uid  *int64
		name string
		want string
	}{
		{nil, &zero, "", `container has runAsNonRoot and image will run as root (pod: "p_default(u)", container: a)`},
		{nil, nil, "bob", `container has runAsNonRoot and image has non-numeric user (bob), cannot verify user is non-root (pod: "p_default(u)", container: a)`},
		{&zero, &one, "", `container's runAsUser breaks non-root policy (pod: "p_default(u)", container: a)`},
		{&one, &zero, "", ""}, {nil, &one, "", ""},
	} {
		got := ""
		if err := VerifyNonRoot(pod, c, &corev1.SecurityContext{RunAsNonRoot: &yes, RunAsUser: k.user}, k.uid, k.name); err != nil {
			got = err.Error()
		}
		if got != k.want {
			t.Errorf("got %s, want %s", got, k.want)
		}
	}
}
