package apply

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/openapi"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

var engine = New(openapi.Types)

var deployments = &api.Kind{
	Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments", Namespaced: true,
	New:     func() api.Object { return &appsv1.Deployment{} },
	NewList: func() runtime.Object { return &appsv1.DeploymentList{} },
	Subresources: []api.Subresource{
		{Name: "status", ResetFields: []string{"spec", "metadata.labels"}},
		{Name: "scale", GVK: autoscalingv1.SchemeGroupVersion.WithKind("Scale"), New: func() runtime.Object { return &autoscalingv1.Scale{} }, Scale: &api.Scale{}},
	},
}

var configMaps = &api.Kind{
	Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true,
	New: func() api.Object { return &corev1.ConfigMap{} },
}

// base is stored: it has a uid, as what the hub patches always has.
func base(t *testing.T) *appsv1.Deployment {
	t.Helper()
	const doc = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","namespace":"ns","uid":"u1","resourceVersion":"5"},
	"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[
	 {"name":"one","image":"i:1","env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],"ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]},
	 {"name":"two","image":"j:1"}]}}}}`
	d := &appsv1.Deployment{}
	if err := json.Unmarshal([]byte(doc), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func patch(t *testing.T, old api.Object, pt types.PatchType, data string, o Options) (*appsv1.Deployment, error) {
	t.Helper()
	before, _ := json.Marshal(old)
	out, err := engine.Patch(deployments, "", old, pt, []byte(data), o)
	after, _ := json.Marshal(old)
	if string(before) != string(after) {
		t.Fatalf("the old object was changed:\n%s\n%s", before, after)
	}
	if err != nil {
		return nil, err
	}
	return out.(*appsv1.Deployment), nil
}

// TestPatch holds one row per engine and directive; want is the JSON of what got returns.
func TestPatch(t *testing.T) {
	spec := func(d *appsv1.Deployment) any { return d.Spec.Template.Spec.Containers }
	env := func(d *appsv1.Deployment) any { return d.Spec.Template.Spec.Containers[0].Env }
	ports := func(d *appsv1.Deployment) any { return d.Spec.Template.Spec.Containers[0].Ports }
	names := func(d *appsv1.Deployment) any {
		var n []string
		for _, c := range d.Spec.Template.Spec.Containers {
			n = append(n, c.Name+"="+c.Image)
		}
		return n
	}
	in := func(c string) string { return `{"spec":{"template":{"spec":{"containers":[` + c + `]}}}}` }
	for _, c := range []struct {
		name, data string
		pt         types.PatchType
		got        func(*appsv1.Deployment) any
		want       string
	}{
		{"json replace", `[{"op":"replace","path":"/spec/replicas","value":7}]`, types.JSONPatchType, func(d *appsv1.Deployment) any { return d.Spec.Replicas }, `7`},
		{"json remove", `[{"op":"test","path":"/spec/template/spec/containers/1/name","value":"two"},{"op":"remove","path":"/spec/template/spec/containers/1"}]`, types.JSONPatchType, names, `["one=i:1"]`},
		{"merge replaces lists", in(`{"name":"x","image":"y"}`), types.MergePatchType, spec, `[{"name":"x","image":"y","resources":{}}]`},
		{"merge null removes", `{"spec":{"replicas":null}}`, types.MergePatchType, func(d *appsv1.Deployment) any { return d.Spec.Replicas }, `null`},
		{"strategic merges containers", in(`{"name":"two","image":"j:2"}`), types.StrategicMergePatchType, names, `["one=i:1","two=j:2"]`},
		{"strategic adds container", in(`{"name":"new","image":"n:1"}`), types.StrategicMergePatchType, names, `["new=n:1","one=i:1","two=j:1"]`},
		{"strategic orders", `{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"two"},{"name":"one"}],"containers":[{"name":"one","image":"i:2"}]}}}}`, types.StrategicMergePatchType, names, `["two=j:1","one=i:2"]`},
		{"strategic deletes by key", in(`{"$patch":"delete","name":"one"}`), types.StrategicMergePatchType, names, `["two=j:1"]`},
		{"strategic env", in(`{"name":"one","env":[{"name":"B","value":"3"},{"name":"C","value":"4"}]}`), types.StrategicMergePatchType, env, `[{"name":"A","value":"1"},{"name":"B","value":"3"},{"name":"C","value":"4"}]`},
		{"strategic ports merge by number", in(`{"name":"one","ports":[{"containerPort":80,"name":"http"}]}`), types.StrategicMergePatchType, ports, `[{"name":"http","containerPort":80,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]`},
		{"strategic replace", in(`{"name":"one","env":[{"name":"Z","value":"9"},{"$patch":"replace"}]}`), types.StrategicMergePatchType, env, `[{"name":"Z","value":"9"}]`},
		{"strategic retain keys", `{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}`, types.StrategicMergePatchType, func(d *appsv1.Deployment) any { return d.Spec.Strategy }, `{"type":"Recreate"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := patch(t, base(t), c.pt, c.data, Options{Manager: "m"})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := json.Marshal(c.got(d)); string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if len(d.Kind) == 0 {
				t.Error("no kind")
			}
		})
	}
}

func TestPatchErrors(t *testing.T) {
	for _, c := range []struct {
		name, data string
		pt         types.PatchType
		level      string
		code       int32
		message    string // or the warning, when code is 0
	}{
		{"not json", `{`, types.MergePatchType, "", 400, "error decoding patch"},
		{"bad pointer", `[{"op":"remove","path":"/spec/nothing"}]`, types.JSONPatchType, "", 422, "the server rejected our request"},
		{"failed test", `[{"op":"test","path":"/spec/replicas","value":1}]`, types.JSONPatchType, "", 422, "the server rejected our request"},
		{"wrong type", `{"spec":{"replicas":"x"}}`, types.MergePatchType, "", 422, "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"},
		{"unknown strict", `{"spec":{"foo":1}}`, types.MergePatchType, "Strict", 422, `strict decoding error: unknown field "spec.foo"`},
		{"unknown warned", `{"spec":{"foo":1}}`, types.MergePatchType, "Warn", 0, `unknown field "spec.foo"`},
		{"unknown ignored", `{"spec":{"foo":1}}`, types.MergePatchType, "Ignore", 0, ""},
		{"duplicate strict", `{"spec":{"replicas":1,"replicas":2}}`, types.MergePatchType, "Strict", 422, `duplicate field "spec.replicas"`},
		{"strategic unknown strict", `{"spec":{"foo":1}}`, types.StrategicMergePatchType, "Strict", 422, `strict decoding error: unknown field "spec.foo"`},
		{"strategic unknown warned", `{"spec":{"foo":1}}`, types.StrategicMergePatchType, "", 0, `unknown field "spec.foo"`},
		{"json op unknown", `[{"op":"add","path":"/metadata/labels","value":{},"x":1}]`, types.JSONPatchType, "", 0, `json patch unknown field "[0].x"`},
		{"too many", "[" + strings.Repeat(`{"op":"test","path":"/spec/replicas","value":2},`, 10000) + `{"op":"test","path":"/spec/replicas","value":2}]`, types.JSONPatchType, "", 413, "The allowed maximum operations in a JSON patch is 10000, got 10001"},
		{"kind changed", `{"kind":"ReplicaSet"}`, types.MergePatchType, "", 400, "changes the kind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var warned []string
			_, err := patch(t, base(t), c.pt, c.data, Options{Manager: "m", Validation: c.level, Warn: func(w string) { warned = append(warned, w) }})
			if c.code == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(warned, "\n"); got != c.message {
					t.Errorf("warned %q, want %q", got, c.message)
				}
				return
			}
			s, ok := err.(apierrors.APIStatus)
			if !ok {
				t.Fatalf("got %v (%T)", err, err)
			}
			if st := s.Status(); st.Code != c.code || !strings.Contains(st.Message, c.message) {
				t.Errorf("got %d %s", st.Code, st.Message)
			}
		})
	}
	if _, err := patch(t, nil, types.MergePatchType, `{}`, Options{Name: "gone"}); !apierrors.IsNotFound(err) || err.Error() != `deployments.apps "gone" not found` {
		t.Errorf("patch of nothing: %v", err)
	}
}

const applied = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: ns}
spec:
  replicas: 3
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - name: one
        image: i:1
        ports: [{containerPort: 80}]
        env: [{name: A, value: "1"}]
`

// stored is what the hub makes of a created object.
func stored(d *appsv1.Deployment) *appsv1.Deployment {
	d.UID, d.ResourceVersion = "u1", "1"
	return d
}

func apply(t *testing.T, old api.Object, data, manager string, force bool) (*appsv1.Deployment, error) {
	t.Helper()
	return patch(t, old, types.ApplyYAMLPatchType, data, Options{Manager: manager, Force: force})
}

func must(t *testing.T) func(*appsv1.Deployment, error) *appsv1.Deployment {
	return func(d *appsv1.Deployment, err error) *appsv1.Deployment {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

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

func TestApply(t *testing.T) {
	is := must(t)
	d := stored(is(apply(t, nil, applied, "alice", false)))
	if *d.Spec.Replicas != 3 || d.Name != "d" || len(d.ManagedFields) != 1 || d.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Fatalf("create by apply: %+v", d)
	}

	// Another manager, another value: refused with the field named, then taken by force, and then alice no longer owns it.
	five := strings.Replace(applied, "replicas: 3", "replicas: 5", 1)
	_, err := apply(t, d, five, "bob", false)
	st, ok := err.(apierrors.APIStatus)
	if !ok || !apierrors.IsConflict(err) {
		t.Fatalf("want a conflict, got %v", err)
	}
	if s := st.Status(); s.Message != `Apply failed with 1 conflict: conflict with "alice": .spec.replicas` || s.Details == nil ||
		s.Details.Causes[0].Field != ".spec.replicas" || s.Details.Causes[0].Type != metav1.CauseTypeFieldManagerConflict {
		t.Errorf("conflict reads %+v", s)
	}
	d = is(apply(t, d, five, "bob", true))
	if *d.Spec.Replicas != 5 {
		t.Errorf("force left %d replicas", *d.Spec.Replicas)
	}
	if o := owners(d); strings.Contains(o["alice Apply"], "f:replicas") || !strings.Contains(o["bob Apply"], "f:replicas") {
		t.Errorf("owners after force: %v", o)
	}

	// The same value is shared, not fought over.
	d = is(apply(t, d, five, "alice", false))
	if o := owners(d); !strings.Contains(o["alice Apply"], "f:replicas") {
		t.Errorf("alice should share replicas: %v", o)
	}

	// What nobody applies any more goes away; what another still applies stays.
	less := strings.Replace(five, "        env: [{name: A, value: \"1\"}]\n", "", 1)
	d = is(apply(t, d, less, "alice", false))
	if len(d.Spec.Template.Spec.Containers[0].Env) != 1 {
		t.Error("env went though bob applies it")
	}
	d = is(apply(t, d, less, "bob", false))
	if len(d.Spec.Template.Spec.Containers[0].Env) != 0 {
		t.Error("env stayed though nobody applies it")
	}
}

func TestApplyLists(t *testing.T) {
	is := must(t)
	d := stored(is(apply(t, nil, applied, "alice", false)))
	more := `
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: ns}
spec:
  template:
    spec:
      containers:
      - name: one
        ports: [{containerPort: 81, protocol: UDP}]
      - name: side
        image: s:1
`
	d = is(apply(t, d, more, "bob", false))
	c := d.Spec.Template.Spec.Containers
	if len(c) != 2 || c[0].Image != "i:1" || len(c[0].Ports) != 2 || c[1].Name != "side" {
		t.Fatalf("containers %+v", c)
	}
	d = is(apply(t, d, strings.Split(more, "      - name: side")[0], "bob", false))
	if c := d.Spec.Template.Spec.Containers; len(c) != 1 || len(c[0].Ports) != 2 {
		t.Fatalf("bob's container should be gone and his port stay: %+v", c)
	}
}

func TestApplyErrors(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"unknown field", strings.Replace(applied, "replicas: 3", "foo: 3", 1), `failed to create typed patch object (ns/d; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema`},
		{"other kind", strings.Replace(applied, "kind: Deployment", "kind: ReplicaSet", 1), `invalid object type: apps/v1, Kind=ReplicaSet`},
		{"managed fields", strings.Replace(applied, "namespace: ns", "namespace: ns, managedFields: [{manager: x}]", 1), "metadata.managedFields must be nil"},
		{"not yaml", "a: b: c", "error decoding patch"},
		{"duplicate entries", strings.Replace(applied, `{name: A, value: "1"}`, `{name: A, value: "1"}, {name: A, value: "2"}`, 1), "duplicate entries for key"},
	} {
		if _, err := apply(t, nil, c.data, "alice", false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
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

	// An update that changes nothing changes no fields, and KeepTimes sees that.
	same := up.DeepCopy()
	engine.Track(deployments, "", same, up, "someone")
	KeepTimes(same, up)
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

// TestUpgrade: kubectl apply --server-side takes over from kubectl apply without a conflict on what that had applied.
func TestUpgrade(t *testing.T) {
	is := must(t)
	d := base(t)
	d.UID = ""
	last := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","namespace":"ns"},"spec":{"replicas":2}}`
	d.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: last}
	engine.Track(deployments, "", d, nil, "kubectl-client-side-apply")
	stored(d)
	mine := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","namespace":"ns"},"spec":{"replicas":9}}`
	if _, err := apply(t, d, mine, "other", false); !apierrors.IsConflict(err) {
		t.Errorf("another manager should meet a conflict: %v", err)
	}
	got := is(apply(t, d, mine, "kubectl", false))
	if *got.Spec.Replicas != 9 || !strings.Contains(got.Annotations[corev1.LastAppliedConfigAnnotation], `"replicas":9`) {
		t.Errorf("got %d, %s", *got.Spec.Replicas, got.Annotations)
	}
}

func TestKeepTimes(t *testing.T) {
	is := must(t)
	d := stored(is(apply(t, nil, applied, "alice", false)))
	d.ManagedFields[0].Time = &metav1.Time{Time: time.Unix(1e9, 0)}
	again := is(apply(t, d, applied, "alice", false))
	KeepTimes(again, d)
	if !again.ManagedFields[0].Time.Equal(d.ManagedFields[0].Time) {
		t.Error("an apply that changes nothing must not look like a change")
	}
	again.Spec.Paused = true
	again.ManagedFields[0].Time = &metav1.Time{Time: time.Unix(2e9, 0)}
	KeepTimes(again, d)
	if again.ManagedFields[0].Time.Equal(d.ManagedFields[0].Time) {
		t.Error("a change keeps its time")
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

func TestConfigMap(t *testing.T) {
	out, err := engine.Patch(configMaps, "", nil, types.ApplyYAMLPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"k":"v"}}`), Options{Manager: "m"})
	if err != nil || out.(*corev1.ConfigMap).Data["k"] != "v" {
		t.Fatalf("%v %v", out, err)
	}
	if err := CheckFields(out.GetManagedFields()); err != nil {
		t.Error(err)
	}
	if err := CheckFields([]metav1.ManagedFieldsEntry{{Operation: "Bad"}}); err == nil {
		t.Error("a bad operation passed")
	}
}

// TestScale: whoever scales a workload takes its replica count, in the workload's own fields.
func TestScale(t *testing.T) {
	d := stored(must(t)(apply(t, nil, applied, "alice", false)))
	fields, err := ScaleFields(deployments, d)
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
	if d.ManagedFields, err = ParentFields(deployments, d, out.GetManagedFields()); err != nil {
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

func BenchmarkTrackUpdate(b *testing.B) {
	d := base(&testing.T{})
	engine.Track(deployments, "", d, nil, "creator")
	for b.Loop() {
		up := d.DeepCopy()
		up.Status.Replicas++
		engine.Track(deployments, "status", up, d, "controller")
	}
}

func BenchmarkApply(b *testing.B) {
	d, err := engine.Patch(deployments, "", nil, types.ApplyYAMLPatchType, []byte(applied), Options{Manager: "alice"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := engine.Patch(deployments, "", d, types.ApplyYAMLPatchType, []byte(applied), Options{Manager: "alice"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTypes(b *testing.B) {
	for b.Loop() {
		if _, err := New(openapi.Types).types(); err != nil {
			b.Fatal(err)
		}
	}
}
