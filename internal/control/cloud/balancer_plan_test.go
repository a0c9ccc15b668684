package cloud

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func balanced(change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", UID: "1"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080}}}}
	if change != nil {
		change(s)
	}
	return s
}

func TestNext(t *testing.T) {
	class := "other.example.com/x"
	now := metav1.NewTime(time.Unix(1, 0))
	held := []string{Finalizer}
	old := balanced(nil)
	for _, c := range []struct {
		name    string
		svc     *corev1.Service
		was     done
		nodes   string
		matters bool
		want    step
	}{
		{"new", balanced(nil), done{}, "n", false, ensure},
		{"as it was", balanced(nil), done{old, "n"}, "n", false, leave},
		{"status only", balanced(func(s *corev1.Service) { s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "1.2.3.4"}} }), done{old, "n"}, "n", false, leave},
		{"other nodes", balanced(nil), done{old, "n"}, "m", false, point},
		{"other nodes, which matter", balanced(nil), done{old, "n"}, "m", true, ensure},
		{"other port", balanced(func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 }), done{old, "n"}, "n", false, ensure},
		{"other target", balanced(func(s *corev1.Service) { s.Spec.Ports[0].TargetPort.IntVal = 81 }), done{old, "n"}, "n", false, ensure},
		{"source ranges", balanced(func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"10.0.0.0/8"} }), done{old, "n"}, "n", false, ensure},
		{"annotation", balanced(func(s *corev1.Service) { s.Annotations = map[string]string{"a": "b"} }), done{old, "n"}, "n", false, ensure},
		{"label", balanced(func(s *corev1.Service) { s.Labels = map[string]string{"a": "b"} }), done{old, "n"}, "n", false, leave},
		{"traffic policy", balanced(func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = "Local" }), done{old, "n"}, "n", false, ensure},
		{"second family", balanced(func(s *corev1.Service) { s.Spec.IPFamilies = []corev1.IPFamily{"IPv4", "IPv6"} }), done{old, "n"}, "n", false, ensure},
		{"made anew", balanced(func(s *corev1.Service) { s.UID = "2" }), done{old, "n"}, "n", false, ensure},
		{"class of somebody else", balanced(func(s *corev1.Service) { s.Spec.LoadBalancerClass = &class }), done{}, "n", false, leave},
		{"no balancer", balanced(func(s *corev1.Service) { s.Spec.Type = "ClusterIP" }), done{}, "n", false, leave},
		{"no longer", balanced(func(s *corev1.Service) { s.Spec.Type, s.Finalizers = "ClusterIP", held }), done{}, "n", false, remove},
		{"no longer, and no finalizer", balanced(func(s *corev1.Service) { s.Spec.Type = "ClusterIP" }), done{old, "n"}, "n", false, remove},
		{"deleted", balanced(func(s *corev1.Service) { s.DeletionTimestamp, s.Finalizers = &now, held }), done{old, "n"}, "n", false, remove},
	} {
		if got := next(c.svc, c.was, c.nodes, c.matters); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEligible(t *testing.T) {
	now := metav1.NewTime(time.Unix(1, 0))
	node := func(name string, change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if change != nil {
			change(n)
		}
		return n
	}
	label := func(v string) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelNodeExcludeBalancers: v} }
	}
	got := eligible([]*corev1.Node{
		node("plain", nil), node("excluded", label("true")), node("any value", label("")), node("included", label("false")),
		node("going", func(n *corev1.Node) { n.DeletionTimestamp = &now }),
		node("drained", func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: toBeDeleted}} }),
		node("cordoned", func(n *corev1.Node) { n.Spec.Unschedulable = true }),
	})
	var names []string
	for _, n := range got {
		names = append(names, n.Name)
	}
	if want := []string{"cordoned", "included", "plain"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}
