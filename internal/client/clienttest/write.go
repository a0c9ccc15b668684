package clienttest

import (
	"reflect"
	"strings"
	"time"

	"sampan.dev/internal/client"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func createGet(v *visit) {
	c := v.put("a", map[string]string{"app": "x"})
	if c.UID == "" || c.ResourceVersion == "" || c.CreationTimestamp.IsZero() || c.APIVersion != "v1" || c.Kind != "ConfigMap" || c.Data["k"] != "v" {
		v.Errorf("created: %+v", c)
	}
	got := v.get("a")
	if !reflect.DeepEqual(got, c) {
		v.Errorf("got %+v\ncreated %+v", got, c)
	}
	if got := must[*corev1.ConfigMap](v)(client.Get[*corev1.ConfigMap](v.ctx, v, client.ConfigMaps, v.ns, "a")); got.ResourceVersion != c.ResourceVersion {
		v.Errorf("resourceVersion %s, created at %s", got.ResourceVersion, c.ResourceVersion)
	}
	if _, err := client.Create(v.ctx, v, client.ConfigMaps, v.config("a", nil)); !apierrors.IsAlreadyExists(err) {
		v.Errorf("create again: %v", err)
	}
}

// times: what is below a second gets lost in every encoding, and so it does where there is none.
func times(v *visit) {
	at := metav1.NewTime(time.Unix(1e9, 123456789))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v.ns + "-n"}}
	node = must[*corev1.Node](v)(client.Create(v.ctx, v, client.Nodes, node)).DeepCopy()
	defer func() {
		if err := client.Delete(v.ctx, v, client.Nodes, "", node.Name, ""); err != nil {
			v.Error(err)
		}
	}()
	node.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute, TimeAdded: &at}}
	must[*corev1.Node](v)(client.Update(v.ctx, v, client.Nodes, node))
	got := must[*corev1.Node](v)(client.Get[*corev1.Node](v.ctx, v, client.Nodes, "", node.Name))
	if len(got.Spec.Taints) != 1 || !got.Spec.Taints[0].TimeAdded.Time.Equal(time.Unix(1e9, 0)) {
		v.Errorf("taints %+v", got.Spec.Taints)
	}
	if !at.Time.Equal(time.Unix(1e9, 123456789)) {
		v.Error("what went in was changed")
	}
}

func generateName(v *visit) {
	names := map[string]bool{}
	for range 3 {
		c := v.config("", nil)
		c.GenerateName = "gen-"
		c = must[*corev1.ConfigMap](v)(client.Create(v.ctx, v, client.ConfigMaps, c))
		if !strings.HasPrefix(c.Name, "gen-") || len(c.Name) != len("gen-")+5 || names[c.Name] {
			v.Errorf("name %q", c.Name)
		}
		names[c.Name] = true
	}
}

func inputs(v *visit) {
	in := v.config("a", nil)
	before := in.DeepCopy()
	must[*corev1.ConfigMap](v)(client.Create(v.ctx, v, client.ConfigMaps, in))
	if !reflect.DeepEqual(in, before) {
		v.Errorf("create changed its input: %+v", in)
	}
	in.Data["k"] = "changed behind the door's back"
	if got := v.get("a"); got.Data["k"] != "v" {
		v.Error("the door kept what was put in")
	}
	in = v.get("a").DeepCopy()
	in.Data["k"] = "2"
	before = in.DeepCopy()
	must[*corev1.ConfigMap](v)(client.Update(v.ctx, v, client.ConfigMaps, in))
	if !reflect.DeepEqual(in, before) {
		v.Errorf("update changed its input: %+v", in)
	}
	in.Data["k"] = "changed behind the door's back"
	if got := v.get("a"); got.Data["k"] != "2" {
		v.Error("the door kept what was put in")
	}
}

func outputs(v *visit) {
	made := v.put("a", nil)
	got := v.get("a")
	listed := must[*client.List](v)(v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{FieldSelector: "metadata.name=a"})).Items[0]
	copies := []any{made.DeepCopy(), got.DeepCopy(), listed.DeepCopyObject()}
	v.touch("a", "2")
	must[any](v)(v.Patch(v.ctx, v.ref(client.ConfigMaps, "a"), types.MergePatchType, []byte(`{"data":{"x":"y"},"metadata":{"labels":{"l":"1"}}}`), metav1.PatchOptions{}))
	v.remove("a")
	for i, o := range []any{made, got, listed} {
		if !reflect.DeepEqual(o, copies[i]) {
			v.Errorf("an object that was handed out has changed: %+v", o)
		}
	}
}

func update(v *visit) {
	first := v.put("a", nil)
	second := v.touch("a", "2")
	if second.ResourceVersion == first.ResourceVersion || second.UID != first.UID || second.Data["k"] != "2" {
		v.Errorf("updated: %+v", second)
	}
	stale := first.DeepCopy()
	stale.Data["k"] = "3"
	if _, err := client.Update(v.ctx, v, client.ConfigMaps, stale); !apierrors.IsConflict(err) {
		v.Errorf("stale update: %v", err)
	}
	blind := v.config("a", nil)
	blind.Data["k"] = "4"
	if got, err := client.Update(v.ctx, v, client.ConfigMaps, blind); err != nil || got.Data["k"] != "4" || got.UID != first.UID {
		v.Errorf("unconditional update: %+v %v", got, err)
	}
	other := v.config("a", nil)
	other.UID = "another"
	if _, err := client.Update(v.ctx, v, client.ConfigMaps, other); !apierrors.IsConflict(err) {
		v.Errorf("update of another incarnation: %v", err)
	}
	if _, err := client.Update(v.ctx, v, client.ConfigMaps, v.config("none", nil)); !apierrors.IsNotFound(err) {
		v.Errorf("update of nothing: %v", err)
	}
	same := v.get("a").DeepCopy()
	if got, err := client.Update(v.ctx, v, client.ConfigMaps, same); err != nil || got.ResourceVersion != same.ResourceVersion {
		v.Errorf("an update that changes nothing made revision %s of %s, %v", got.ResourceVersion, same.ResourceVersion, err)
	}
}

func (v *visit) deployment(name string) *appsv1.Deployment {
	v.Helper()
	labels := map[string]string{"app": name}
	return must[*appsv1.Deployment](v)(client.Create(v.ctx, v, client.Deployments, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: v.ns, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32), // nothing for controllers to do
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}, {Name: "d", Image: "i"}}},
			},
		},
		Status: appsv1.DeploymentStatus{ReadyReplicas: 9},
	}))
}

func subresources(v *visit) {
	d := v.deployment("d")
	if d.Status.ReadyReplicas != 0 || d.Generation != 1 || d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		v.Errorf("created: generation %d, %+v", d.Generation, d.Status)
	}
	s := d.DeepCopy()
	s.ResourceVersion = ""
	s.Status.Replicas = 7
	s.Spec.Paused = true
	s = must[*appsv1.Deployment](v)(client.UpdateStatus(v.ctx, v, client.Deployments, s))
	if s.Status.Replicas != 7 || s.Spec.Paused || s.Generation != 1 {
		v.Errorf("after a status update: paused %v, generation %d, %+v", s.Spec.Paused, s.Generation, s.Status)
	}
	s = s.DeepCopy()
	s.ResourceVersion = ""
	s.Status.Replicas = 8
	s.Spec.Paused = true
	s = must[*appsv1.Deployment](v)(client.Update(v.ctx, v, client.Deployments, s))
	if s.Status.Replicas == 8 || !s.Spec.Paused || s.Generation != 2 {
		v.Errorf("after a spec update: paused %v, generation %d, %+v", s.Spec.Paused, s.Generation, s.Status)
	}
	ref := v.ref(client.Deployments, "d")
	ref.Subresource = "scale"
	scale, ok := must[any](v)(v.Get(v.ctx, ref, metav1.GetOptions{})).(*autoscalingv1.Scale)
	if !ok || scale.Spec.Replicas != 0 || scale.Status.Selector != "app=d" || scale.Kind != "Scale" {
		v.Fatalf("scale: %+v", scale)
	}
	scale = scale.DeepCopy()
	scale.Spec.Replicas = 1
	scale, ok = must[any](v)(v.Update(v.ctx, ref, scale, metav1.UpdateOptions{})).(*autoscalingv1.Scale)
	if !ok || scale.Spec.Replicas != 1 {
		v.Errorf("scaled: %+v", scale)
	}
	if got := must[*appsv1.Deployment](v)(client.Get[*appsv1.Deployment](v.ctx, v, client.Deployments, v.ns, "d")); *got.Spec.Replicas != 1 || got.Generation != 3 {
		v.Errorf("after scaling: %d replicas, generation %d", *got.Spec.Replicas, got.Generation)
	}
}

func patches(v *visit) {
	v.deployment("d")
	ref := v.ref(client.Deployments, "d")
	patch := func(pt types.PatchType, body string) *appsv1.Deployment {
		v.Helper()
		return must[any](v)(v.Patch(v.ctx, ref, pt, []byte(body), metav1.PatchOptions{})).(*appsv1.Deployment)
	}
	d := patch(types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"d","image":"new"}]}}}}`)
	if cs := d.Spec.Template.Spec.Containers; len(cs) != 2 || cs[0].Image != "i" && cs[1].Image != "i" {
		v.Errorf("strategic: %+v", cs)
	}
	d = patch(types.MergePatchType, `{"metadata":{"annotations":{"a":"1"}},"spec":{"template":{"spec":{"containers":[{"name":"e","image":"j"}]}}}}`)
	if cs := d.Spec.Template.Spec.Containers; len(cs) != 1 || cs[0].Name != "e" || d.Annotations["a"] != "1" {
		v.Errorf("merge: %+v", cs)
	}
	d = patch(types.JSONPatchType, `[{"op":"test","path":"/metadata/annotations/a","value":"1"},{"op":"replace","path":"/metadata/annotations/a","value":"2"}]`)
	if d.Annotations["a"] != "2" {
		v.Errorf("json: %+v", d.Annotations)
	}
	_, err := v.Patch(v.ctx, ref, types.JSONPatchType, []byte(`[{"op":"test","path":"/metadata/annotations/a","value":"no"}]`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		v.Errorf("a test that fails: %v", err)
	}
	if _, err := v.Patch(v.ctx, ref, types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"1"}}`), metav1.PatchOptions{}); !apierrors.IsConflict(err) {
		v.Errorf("patch with a stale resourceVersion: %v", err)
	}
	if _, err := v.Patch(v.ctx, ref, types.MergePatchType, []byte(`{`), metav1.PatchOptions{}); !apierrors.IsBadRequest(err) {
		v.Errorf("broken patch: %v", err)
	}
	if _, err := v.Patch(v.ctx, v.ref(client.Deployments, "none"), types.MergePatchType, []byte(`{}`), metav1.PatchOptions{}); !apierrors.IsNotFound(err) {
		v.Errorf("patch of nothing: %v", err)
	}
	ref.Subresource = "status"
	d = patch(types.MergePatchType, `{"spec":{"paused":true},"status":{"replicas":3}}`)
	if d.Spec.Paused || d.Status.Replicas != 3 {
		v.Errorf("status: paused %v, %+v", d.Spec.Paused, d.Status)
	}
}

func applies(v *visit) {
	ref := v.ref(client.ConfigMaps, "a")
	apply := func(manager, value string, force bool) (*corev1.ConfigMap, error) {
		body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"` + v.ns + `"},"data":{"k":"` + value + `"}}`
		o, err := v.Patch(v.ctx, ref, types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: manager, Force: &force})
		c, _ := o.(*corev1.ConfigMap)
		return c, err
	}
	if c, err := apply("one", "1", false); err != nil || c.Data["k"] != "1" || len(c.ManagedFields) != 1 || c.ManagedFields[0].Manager != "one" {
		v.Fatalf("apply creates: %+v %v", c, err)
	}
	if _, err := apply("two", "2", false); !apierrors.IsConflict(err) {
		v.Errorf("apply against another manager: %v", err)
	}
	if c, err := apply("two", "2", true); err != nil || c.Data["k"] != "2" {
		v.Errorf("forced apply: %+v %v", c, err)
	}
}

func dryRun(v *visit) {
	o, err := v.Create(v.ctx, v.ref(client.ConfigMaps, ""), v.config("a", nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil || o.(*corev1.ConfigMap).UID == "" {
		v.Errorf("dry create: %+v %v", o, err)
	}
	if _, err := v.Get(v.ctx, v.ref(client.ConfigMaps, "a"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		v.Errorf("a dry create was stored: %v", err)
	}
	v.put("b", nil)
	if err := v.Delete(v.ctx, v.ref(client.ConfigMaps, "b"), metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		v.Error(err)
	}
	v.get("b")
}

func deletes(v *visit) {
	c := v.put("a", nil)
	ref := v.ref(client.ConfigMaps, "a")
	wrong, old := types.UID("wrong"), c.ResourceVersion
	v.touch("a", "2")
	for name, p := range map[string]*metav1.Preconditions{"uid": {UID: &wrong}, "resourceVersion": {ResourceVersion: &old}} {
		if err := v.Delete(v.ctx, ref, metav1.DeleteOptions{Preconditions: p}); !apierrors.IsConflict(err) {
			v.Errorf("delete with a wrong %s: %v", name, err)
		}
	}
	if err := client.Delete(v.ctx, v, client.ConfigMaps, v.ns, "a", c.UID); err != nil {
		v.Error(err)
	}
	if err := client.Delete(v.ctx, v, client.ConfigMaps, v.ns, "a", ""); !apierrors.IsNotFound(err) {
		v.Errorf("delete again: %v", err)
	}
	if _, err := v.Get(v.ctx, ref, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		v.Errorf("get of the deleted: %v", err)
	}
	if again := v.put("a", nil); again.UID == c.UID {
		v.Error("made anew with the same UID")
	}
}

func finalizers(v *visit) {
	c := v.config("a", nil)
	c.Finalizers = []string{"example.com/hold"}
	must[*corev1.ConfigMap](v)(client.Create(v.ctx, v, client.ConfigMaps, c))
	v.remove("a")
	held := v.get("a")
	if held.DeletionTimestamp == nil || held.DeletionGracePeriodSeconds == nil {
		v.Errorf("held: %+v", held.ObjectMeta)
	}
	must[any](v)(client.MergePatch(v.ctx, v, v.ref(client.ConfigMaps, "a"), map[string]any{"metadata": map[string]any{"finalizers": nil}}))
	if _, err := v.Get(v.ctx, v.ref(client.ConfigMaps, "a"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		v.Errorf("after its last finalizer: %v", err)
	}
}

func deleteCollection(v *visit) {
	for _, n := range []string{"a", "b", "c"} {
		v.put(n, map[string]string{"name": n})
	}
	if err := v.DeleteCollection(v.ctx, v.ref(client.ConfigMaps, ""), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "name in (a,b)"}); err != nil {
		v.Fatal(err)
	}
	if l := must[*client.List](v)(v.List(v.ctx, v.ref(client.ConfigMaps, ""), metav1.ListOptions{LabelSelector: "name"})); len(l.Items) != 1 || l.Items[0].GetName() != "c" {
		v.Errorf("left: %v", l.Items)
	}
}
