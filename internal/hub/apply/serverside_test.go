package apply

import (
	"strings"
	"testing"

	"sampan.dev/internal/api"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

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

func apply(t *testing.T, old api.Object, data, manager string, force bool) (*appsv1.Deployment, error) {
	t.Helper()
	return patch(t, old, types.ApplyYAMLPatchType, data, Options{Manager: manager, Force: force})
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
		{"not yaml", "a: b: c", "error encoding patch: yaml: mapping values are not allowed in this context"},
		{"duplicate entries", strings.Replace(applied, `{name: A, value: "1"}`, `{name: A, value: "1"}, {name: A, value: "2"}`, 1), "duplicate entries for key"},
	} {
		if _, err := apply(t, nil, c.data, "alice", false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
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
