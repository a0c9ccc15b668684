package apply

import (
	"fmt"
	"testing"
	"time"

	"sampan.dev/internal/api"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Each row is an update by a manager of an object that two managers have written. What the short way says is what the long
// way says, and it is taken where it should be.
func TestOnlyLeaves(t *testing.T) {
	rows := []struct {
		name    string
		short   bool // the short way is taken
		manager string
		change  func(*appsv1.Deployment)
	}{
		{"nothing", true, "a", func(*appsv1.Deployment) {}},
		{"nothing, by a stranger", false, "c", func(*appsv1.Deployment) {}},
		{"a number", true, "a", func(d *appsv1.Deployment) { *d.Spec.Replicas = 9 }},
		{"a number of the other's", false, "a", func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 9 }},
		{"both", false, "b", func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 9; *d.Spec.Replicas = 9 }},
		{"a number to nothing", false, "b", func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 0 }},
		{"a pointer to nothing", false, "a", func(d *appsv1.Deployment) { d.Spec.Replicas = nil }},
		{"a string in a list", true, "a", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "i2" }},
		{"a key of a list", false, "a", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Name = "n2" }},
		{"a list longer", false, "a", func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: "n3", Image: "i"})
		}},
		{"a port, whose key are two fields", false, "a", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Ports[0].Name = "q" }},
		{"a word of a command", false, "a", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Command[0] = "w" }},
		{"a label", false, "a", func(d *appsv1.Deployment) { d.Labels = map[string]string{"app": "other"} }},
		{"a label of the template", false, "a", func(d *appsv1.Deployment) { d.Spec.Template.Labels["app"] = "other" }},
		{"a quantity", false, "a", func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("2")
		}},
		{"a port or name", true, "a", func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].ReadinessProbe.TCPSocket.Port = intstr.FromString("x")
		}},
		{"the status", true, "a", func(d *appsv1.Deployment) { d.Status.Replicas = 7 }},
		{"what was sent is empty", false, "a", func(d *appsv1.Deployment) { d.ManagedFields = []metav1.ManagedFieldsEntry{} }},
		{"what was sent is less", false, "a", func(d *appsv1.Deployment) { d.ManagedFields = d.ManagedFields[:1] }},
		{"nothing was sent", true, "a", func(d *appsv1.Deployment) { d.ManagedFields = nil }},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			old := base(t)
			old.UID, old.ManagedFields = "", nil
			c := &old.Spec.Template.Spec.Containers[0]
			c.Ports = []corev1.ContainerPort{{Name: "p", ContainerPort: 80, Protocol: "TCP"}}
			c.Command = []string{"v"}
			c.Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("1")}
			c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}}
			engine.Track(deployments, "", old, nil, "a")
			next := old.DeepCopy()
			next.Spec.MinReadySeconds = 5
			engine.Track(deployments, "", next, old, "b")
			age(next, time.Hour)

			bothWays(t, deployments, "", r.manager, next, r.short, func(o api.Object) { r.change(o.(*appsv1.Deployment)) })
		})
	}
}

// What a quiet cluster writes all the time goes the short way.
func TestHeartbeatsAreLeaves(t *testing.T) {
	at := func(n int64) metav1.Time { return metav1.Unix(1e9+n, 0) }
	micro := func(n int64) *metav1.MicroTime { m := metav1.NewMicroTime(at(n).Time); return &m }
	holder := "n"
	leases := &api.Kind{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease", Resource: "leases", Namespaced: true,
		New: func() api.Object { return &coordinationv1.Lease{} }}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "n"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: micro(0)}}
	engine.Track(leases, "", lease, nil, "kubelet")
	bothWays(t, leases, "", "kubelet", lease, true, func(o api.Object) { o.(*coordinationv1.Lease).Spec.RenewTime = micro(10) })

	nodes := &api.Kind{Version: "v1", Kind: "Node", Resource: "nodes", New: func() api.Object { return &corev1.Node{} },
		Subresources: []api.Subresource{{Name: "status"}}}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	engine.Track(nodes, "", node, nil, "kubelet")
	up := node.DeepCopy()
	for _, k := range []corev1.NodeConditionType{"Ready", "DiskPressure"} {
		up.Status.Conditions = append(up.Status.Conditions, corev1.NodeCondition{Type: k, Status: "True", LastHeartbeatTime: at(0), LastTransitionTime: at(0)})
	}
	engine.Track(nodes, "status", up, node, "kubelet")
	bothWays(t, nodes, "status", "kubelet", up, true, func(o api.Object) {
		for i := range o.(*corev1.Node).Status.Conditions {
			o.(*corev1.Node).Status.Conditions[i].LastHeartbeatTime = at(300)
		}
	})
	bothWays(t, nodes, "status", "other", up, false, func(o api.Object) { o.(*corev1.Node).Status.Conditions[1].Status = "Unknown" })
}

// bothWays reckons the managed fields after change by the schema and, where it says it can, by onlyLeaves.
func bothWays(t *testing.T, k *api.Kind, sub, manager string, old api.Object, short bool, change func(api.Object)) {
	t.Helper()
	tg := target{k, sub}
	if err := api.SetGVK(old); err != nil {
		t.Fatal(err)
	}
	byLeaves, bySchema := old.DeepCopyObject().(api.Object), old.DeepCopyObject().(api.Object)
	change(byLeaves)
	change(bySchema)
	byLeaves, bySchema = tg.without(byLeaves), tg.without(bySchema)
	if got := engine.onlyLeaves(tg, byLeaves, tg.without(old), manager); got != short {
		t.Fatalf("the short way is taken: %v, want %v", got, short)
	}
	if !short {
		return
	}
	m, err := engine.manager(tg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Update(tg.without(old), bySchema, manager); err != nil {
		t.Fatal(err)
	}
	if got, want := entries(byLeaves), entries(bySchema); got != want {
		t.Errorf("the short way leads to\n%s\nthe long one to\n%s", got, want)
	}
}

// entries prints managed fields in their order, and which of them are of now.
func entries(o api.Object) string {
	s := ""
	for _, e := range o.GetManagedFields() {
		s += fmt.Sprintln(e.Manager, e.Operation, e.Subresource, e.APIVersion, time.Since(e.Time.Time) < time.Minute, e.FieldsV1)
	}
	return s
}

// age makes managed fields older.
func age(o api.Object, by time.Duration) {
	all := o.GetManagedFields()
	for i := range all {
		then := metav1.NewTime(all[i].Time.Add(-by))
		all[i].Time = &then
	}
	o.SetManagedFields(all)
}
