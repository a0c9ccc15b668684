package admit

import (
	"testing"

	"sampan.dev/internal/api/pods/podtest"

	corev1 "k8s.io/api/core/v1"
)

func TestAdmission(t *testing.T) {
	node := &corev1.Node{}
	node.Labels = map[string]string{"zone": "a", corev1.LabelOSStable: "linux"}
	node.Status.Allocatable = podtest.Resources("cpu=2 memory=1Gi pods=3")
	with := func(req string, change func(*corev1.Pod)) *corev1.Pod {
		p := podtest.Parse(t, []string{"Always", "main:a"})
		p.Spec.Containers[0].Resources.Requests = podtest.Resources(req)
		if change != nil {
			change(p)
		}
		return p
	}
	port := func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 1}}
	}
	others := []*corev1.Pod{with("cpu=1500m memory=512Mi", port)}
	for _, c := range []struct {
		name string
		pod  *corev1.Pod
		want string
	}{
		{"fits", with("cpu=500m", nil), ""},
		{"cpu", with("cpu=501m", nil), "OutOfcpu: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000"},
		{"memory", with("memory=1Gi", nil), "OutOfmemory: Node didn't have enough resource: memory, requested: 1073741824, used: 536870912, capacity: 1073741824"},
		{"unknown resource", with("example.com/gpu=1", nil), ""},
		{"selector", with("", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "b"} }), "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"},
		{"ports", with("", port), "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"},
		{"os", with("", func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: "windows"} }), "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS"},
	} {
		got := ""
		if r := Fits(c.pod, others, node); r != nil {
			got = r.Reason + ": " + r.Message
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	node.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute}}
	if r := Fits(with("", nil), nil, node); r == nil || r.Reason != "TaintToleration" {
		t.Errorf("%+v", r)
	}
	ok := with("", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} })
	if r := Fits(ok, nil, node); r != nil {
		t.Errorf("%+v", r)
	}
}

// A kernel parameter is the pod's to set where it has the namespace for itself, and the node lets it.
func TestSysctls(t *testing.T) {
	for _, c := range []struct {
		name  string
		shape func(*corev1.PodSpec)
		want  string
	}{
		{"net.ipv4.tcp_syncookies", nil, ""},
		{"net.ipv4.tcp_syncookies", func(s *corev1.PodSpec) { s.HostNetwork = true }, `forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host Net enabled`},
		{"kernel/shm_rmid_forced", func(s *corev1.PodSpec) { s.HostIPC = true }, `forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host IPC enabled`},
		{"net.core.somaxconn", nil, `forbidden sysctl: "net.core.somaxconn" not allowlisted`},
		{"user.max_user_namespaces", nil, `forbidden sysctl: "user.max_user_namespaces" not allowed with host User enabled`},
		{"user.max_user_namespaces", func(s *corev1.PodSpec) { s.HostUsers = new(false) }, ""},
	} {
		p := podtest.Parse(t, []string{"Always", "main:a"})
		p.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: c.name, Value: "1"}}}
		if c.shape != nil {
			c.shape(&p.Spec)
		}
		got := ""
		if r := Sysctls(p, []string{"user.*"}); r != nil {
			got = r.Message
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}
