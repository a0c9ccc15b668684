package authz

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// policy is a random set of roles and bindings, and decides by going through all of it, as upstream does.
type policy struct {
	clusterRoles map[string]*rbacv1.ClusterRole
	roles        map[string]*rbacv1.Role
	cluster      map[string]*rbacv1.ClusterRoleBinding
	bindings     map[string]*rbacv1.RoleBinding
}

func (p *policy) allows(a *Attributes) bool {
	applies := func(subjects []rbacv1.Subject, ns string) bool {
		for _, s := range subjects {
			switch s.Kind {
			case "User":
				if s.Name == a.User.Name {
					return true
				}
			case "Group":
				for _, g := range a.User.Groups {
					if g == s.Name {
						return true
					}
				}
			case "ServiceAccount":
				of := ns
				if s.Namespace != "" {
					of = s.Namespace
				}
				if of != "" && a.User.Name == "system:serviceaccount:"+of+":"+s.Name {
					return true
				}
			}
		}
		return false
	}
	rules := func(ref rbacv1.RoleRef, ns string) []rbacv1.PolicyRule {
		if r := p.clusterRoles[ref.Name]; ref.Kind == "ClusterRole" && r != nil {
			return r.Rules
		}
		if r := p.roles[ns+"/"+ref.Name]; ref.Kind == "Role" && r != nil {
			return r.Rules
		}
		return nil
	}
	for _, b := range p.cluster {
		if applies(b.Subjects, "") && RulesAllow(a, rules(b.RoleRef, "")) {
			return true
		}
	}
	for _, b := range p.bindings {
		if b.Namespace == a.Namespace && applies(b.Subjects, b.Namespace) && RulesAllow(a, rules(b.RoleRef, b.Namespace)) {
			return true
		}
	}
	return false
}

func TestRandomPolicies(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	some := func(from ...string) []string {
		out := []string{pick(from...)}
		if rnd.IntN(3) == 0 {
			out = append(out, pick(from...))
		}
		return out
	}
	rules := func() []rbacv1.PolicyRule {
		if rnd.IntN(5) == 0 {
			return []rbacv1.PolicyRule{{Verbs: some("get", "*"), NonResourceURLs: some("/a", "/a/*", "*", "/b*")}}
		}
		r := rbacv1.PolicyRule{Verbs: some("get", "list", "delete", "*"), APIGroups: some("", "apps", "*"), Resources: some("pods", "pods/log", "*/log", "secrets", "*")}
		if rnd.IntN(3) == 0 {
			r.ResourceNames = some("x", "y")
		}
		return []rbacv1.PolicyRule{r}
	}
	subjects := func() []rbacv1.Subject {
		var out []rbacv1.Subject
		for range 1 + rnd.IntN(2) {
			s := rbacv1.Subject{Kind: pick("User", "Group", "ServiceAccount"), Name: pick("ann", "bob", "crew")}
			if s.Kind == "ServiceAccount" {
				s.Namespace = pick("", "n1", "n2")
			}
			out = append(out, s)
		}
		return out
	}
	p := &policy{map[string]*rbacv1.ClusterRole{}, map[string]*rbacv1.Role{}, map[string]*rbacv1.ClusterRoleBinding{}, map[string]*rbacv1.RoleBinding{}}
	r := NewRBAC(nil)
	for step := range 5000 {
		name, ns := pick("a", "b", "c"), pick("n1", "n2")
		meta := metav1.ObjectMeta{Name: name, Namespace: ns}
		ref := rbacv1.RoleRef{Kind: pick("ClusterRole", "ClusterRole", "Role"), Name: pick("a", "b", "c")}
		gone := rnd.IntN(4) == 0
		switch rnd.IntN(4) {
		case 0:
			var obj *rbacv1.ClusterRole
			if !gone {
				obj = &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules()}
			}
			change(p.clusterRoles, name, obj, r.setClusterRole)
		case 1:
			var obj *rbacv1.Role
			if !gone {
				obj = &rbacv1.Role{ObjectMeta: meta, Rules: rules()}
			}
			change(p.roles, ns+"/"+name, obj, r.setRole)
		case 2:
			var obj *rbacv1.ClusterRoleBinding
			if !gone {
				obj = &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: subjects()}
			}
			change(p.cluster, name, obj, r.setClusterRoleBinding)
		case 3:
			var obj *rbacv1.RoleBinding
			if !gone {
				obj = &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects()}
			}
			change(p.bindings, ns+"/"+name, obj, r.setRoleBinding)
		}
		for range 20 {
			a := Attributes{User: api.User{Name: pick("ann", "bob", "system:serviceaccount:n1:ann", "system:serviceaccount:n2:crew"), Groups: some("crew", "bob", "x")}, Verb: pick("get", "list", "delete")}
			if rnd.IntN(4) == 0 {
				a.Path = pick("/a", "/a/b", "/b", "/bc", "/c")
			} else {
				a.Group, a.Resource, a.Subresource, a.Name, a.Namespace = pick("", "apps"), pick("pods", "secrets"), pick("", "log"), pick("", "x", "z"), pick("", "n1", "n2")
			}
			d, _, _ := r.Authorize(t.Context(), a)
			if want := p.allows(&a); (d == Allow) != want {
				t.Fatalf("step %d: %+v: %v, want %v", step, a, d, want)
			}
		}
	}
}

func change[T any](in map[string]*T, key string, obj *T, set func(old, obj *T)) {
	old := in[key]
	if old == nil && obj == nil {
		return
	}
	if set(old, obj); obj == nil {
		delete(in, key)
	} else {
		in[key] = obj
	}
}

// However pods come, change and go, a node reads exactly what its present pods name.
func TestRandomPods(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	g := newGraph()
	pods := map[string]*corev1.Pod{}
	for step := range 5000 {
		name := fmt.Sprint("p", rnd.IntN(6))
		old := pods[name]
		var pod *corev1.Pod
		switch {
		case old != nil && rnd.IntN(3) == 0:
			delete(pods, name)
		case old != nil && old.Spec.NodeName == "" && rnd.IntN(2) == 0:
			pod = old.DeepCopy()
			pod.Spec.NodeName = fmt.Sprint("n", rnd.IntN(3))
		case old != nil:
			pod = old.DeepCopy()
			pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: fmt.Sprint("c", rnd.IntN(4))}}}},
			}})
		default:
			pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name}, Spec: corev1.PodSpec{
				ServiceAccountName: fmt.Sprint("a", rnd.IntN(3)), NodeName: strings.Repeat("n1", rnd.IntN(2)),
				Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: fmt.Sprint("s", rnd.IntN(4))}}}},
			}}
			if rnd.IntN(5) == 0 {
				pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: ""}
			}
		}
		if pod != nil {
			pods[name] = pod
		}
		g.setPod(old, pod)

		want := map[string]bool{}
		for _, p := range pods {
			for v := range references(p) {
				want[fmt.Sprint(v, p.Spec.NodeName)] = p.Spec.NodeName != ""
			}
		}
		for i := range 6 {
			for _, v := range []vertex{
				{"pods", "d", fmt.Sprint("p", i)}, {"serviceaccounts", "d", fmt.Sprint("a", i)}, {"secrets", "d", fmt.Sprint("s", i)}, {"configmaps", "d", fmt.Sprint("c", i)},
			} {
				for n := range 3 {
					node := fmt.Sprint("n", n)
					if got := g.related(v, node); got != want[fmt.Sprint(v, node)] {
						t.Fatalf("step %d: %v on %s: %v", step, v, node, got)
					}
				}
			}
		}
	}
	for name, p := range pods {
		g.setPod(p, nil)
		delete(pods, name)
	}
	if len(g.mu.nodes) != 0 {
		t.Errorf("left behind: %v", g.mu.nodes)
	}
}
