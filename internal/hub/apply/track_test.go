package apply

import (
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// owners lists "manager operation subresource: fields".
func owners(d metav1.Object) map[string]string {
	out := map[string]string{}
	for _, e := range d.GetManagedFields() {
		k := e.Manager + " " + string(e.Operation)
		if e.Subresource != "" {
			k += " " + e.Subresource
		}
		out[k] = e.FieldsV1.String()
	}
	return out
}

func TestTrack(t *testing.T) {
	d := base(t)
	d.UID = ""
	engine.Track(deployments, "", d, nil, "kubectl-create")
	if o := owners(d); len(o) != 1 || !strings.Contains(o["kubectl-create Update"], `f:replicas`) || strings.Contains(o["kubectl-create Update"], "f:status") {
		t.Fatalf("after create: %v", o)
	}
	stored(d)

	up := d.DeepCopy()
	up.Labels = map[string]string{"x": "y"} // not to be owned through status
	up.Status.Replicas = 2
	up.Status.Conditions = []appsv1.DeploymentCondition{{Type: "Available", Status: "True"}}
	engine.Track(deployments, "status", up, d, "kube-controller-manager")
	if o := owners(up)["kube-controller-manager Update status"]; !strings.Contains(o, `k:{\"type\":\"Available\"}`) || strings.Contains(o, "f:labels") {
		t.Fatalf("after status: %s", o)
	}

	// An update that changes nothing changes no fields.
	same := up.DeepCopy()
	engine.Track(deployments, "", same, up, "someone")
	if len(same.ManagedFields) != 2 {
		t.Errorf("no change, but owners are %v", owners(same))
	}

	// A client that sends an empty list asks for the fields to be forgotten.
	reset := up.DeepCopy()
	reset.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	engine.Track(deployments, "", reset, up, "someone")
	if len(reset.ManagedFields) != 0 {
		t.Errorf("after reset: %v", owners(reset))
	}

	// One that does not know of them keeps them.
	blind := up.DeepCopy()
	blind.ManagedFields = nil
	blind.Spec.Paused = true
	engine.Track(deployments, "", blind, up, "blind")
	if len(blind.ManagedFields) != 3 {
		t.Errorf("blind update: %v", owners(blind))
	}
}

func TestOnlyTimes(t *testing.T) {
	is := must(t)
	d := stored(is(apply(t, nil, applied, "alice", false)))
	if OnlyTimes(d.DeepCopy(), d) {
		t.Error("nothing differs")
	}
	again := d.DeepCopy()
	again.ManagedFields[0].Time = &metav1.Time{Time: time.Unix(1e9, 0)}
	if !OnlyTimes(again, d) {
		t.Error("a time differs")
	}
	again.ManagedFields[0].Manager = "bob"
	if OnlyTimes(again, d) {
		t.Error("the manager differs")
	}
}

func TestManager(t *testing.T) {
	for _, c := range []struct{ option, agent, want string }{
		{"me", "kubectl/v1", "me"},
		{"", "kubectl/v1.37.1 (linux/amd64)", "kubectl"},
		{"", "a\x00b\u00a0/1", "ab"},
		{"", strings.Repeat("é", 100), strings.Repeat("é", 64)},
	} {
		if got := Manager(c.option, c.agent); got != c.want {
			t.Errorf("Manager(%q, %q) = %q, want %q", c.option, c.agent, got, c.want)
		}
	}
}

// TestScale: whoever scales a workload takes its replica count, in the workload's own fields.
func TestScale(t *testing.T) {
	d := stored(must(t)(apply(t, nil, applied, "alice", false)))
	fields, err := ScaleFields(deployments, &api.Scale{}, d)
	if err != nil || len(fields) != 1 || fields[0].APIVersion != "autoscaling/v1" {
		t.Fatalf("%v %v", fields, err)
	}
	s := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "ns", UID: "u1", ManagedFields: fields}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}
	const five = `{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":5}}`
	if _, err := engine.Patch(deployments, "scale", s, types.ApplyYAMLPatchType, []byte(five), Options{Manager: "hpa"}); !apierrors.IsConflict(err) {
		t.Errorf("alice applied the count: %v", err)
	}
	out, err := engine.Patch(deployments, "scale", s, types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), Options{Manager: "kubectl"})
	if err != nil || out.(*autoscalingv1.Scale).Spec.Replicas != 5 {
		t.Fatalf("%v %v", out, err)
	}
	if d.ManagedFields, err = ParentFields(deployments, &api.Scale{}, d, out.GetManagedFields()); err != nil {
		t.Fatal(err)
	}
	if o := owners(d); strings.Contains(o["alice Apply"], "f:replicas") || o["kubectl Update scale"] != `{"f:spec":{"f:replicas":{}}}` {
		t.Errorf("owners %v", o)
	}
}

func TestOwnFields(t *testing.T) {
	pods := &api.Kind{
		Version: "v1", Kind: "Pod", Resource: "pods", New: func() api.Object { return &corev1.Pod{} },
		Subresources: []api.Subresource{{Name: "resize", OwnFields: []string{"spec.containers.*.resources"}}},
	}
	old := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	engine.Track(pods, "", old, nil, "creator")
	obj := old.DeepCopy()
	obj.UID, old.UID = "u", "u"
	obj.Labels = map[string]string{"a": "b"}
	obj.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1")}
	engine.Track(pods, "resize", obj, old, "resizer")
	if o := owners(obj)["resizer Update resize"]; !strings.Contains(o, "f:limits") || strings.Contains(o, "f:labels") {
		t.Errorf("resize owns %s", o)
	}
}

// TestConcurrent: many writers reckon with one frozen object at once.
func TestConcurrent(t *testing.T) {
	d := base(t)
	engine.Track(deployments, "", d, nil, "creator")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				up := d.DeepCopy()
				up.Spec.Paused = true
				engine.Track(deployments, "", up, d, "writer")
				if len(up.ManagedFields) != 2 {
					t.Errorf("owners %v", owners(up))
				}
			}
		})
	}
	wg.Wait()
}
