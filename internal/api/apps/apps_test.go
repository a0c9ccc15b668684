package apps

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apitest"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const template = `
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: i}]}
`

func deployment(t *testing.T, spec string) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := yaml.UnmarshalStrict([]byte("metadata: {name: d, namespace: ns}\nspec:"+template+spec), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDeploymentDefaults(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"", `{"replicas":1,"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":"25%"}},"revisionHistoryLimit":10,"progressDeadlineSeconds":600}`},
		{"  replicas: 0\n  strategy: {type: Recreate}\n  revisionHistoryLimit: 0\n", `{"replicas":0,"strategy":{"type":"Recreate"},"revisionHistoryLimit":0,"progressDeadlineSeconds":600}`},
		{"  strategy: {rollingUpdate: {maxSurge: 2}}\n", `{"replicas":1,"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":2}},"revisionHistoryLimit":10,"progressDeadlineSeconds":600}`},
	} {
		d := deployment(t, c.spec)
		Deployments().Default(d)
		if d.Spec.Template.Spec.RestartPolicy != "Always" {
			t.Error("the template is not defaulted")
		}
		s := d.Spec
		got, _ := json.Marshal(struct {
			Replicas                *int32                    `json:"replicas"`
			Strategy                appsv1.DeploymentStrategy `json:"strategy"`
			RevisionHistoryLimit    *int32                    `json:"revisionHistoryLimit"`
			ProgressDeadlineSeconds *int32                    `json:"progressDeadlineSeconds"`
		}{s.Replicas, s.Strategy, s.RevisionHistoryLimit, s.ProgressDeadlineSeconds})
		if string(got) != c.want {
			t.Errorf("%q:\ngot  %s\nwant %s", c.spec, got, c.want)
		}
	}
}

func TestDeploymentValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*appsv1.Deployment)
		want   string
	}{
		{"fine", func(*appsv1.Deployment) {}, ``},
		{"negative", func(d *appsv1.Deployment) { *d.Spec.Replicas = -1 }, `spec.replicas: Invalid value: -1: must be greater than or equal to 0`},
		{"no selector", func(d *appsv1.Deployment) { d.Spec.Selector = nil }, "spec.selector: Required value\nspec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"},
		{"empty selector", func(d *appsv1.Deployment) { d.Spec.Selector = &metav1.LabelSelector{} }, `spec.selector: Invalid value: {}: empty selector is invalid for deployment`},
		{"mismatch", func(d *appsv1.Deployment) { d.Spec.Template.Labels = map[string]string{"a": "c"} }, "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"},
		{"restart policy", func(d *appsv1.Deployment) { d.Spec.Template.Spec.RestartPolicy = "Never" }, `spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`},
		{"deadline", func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 600 }, `spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds`},
		{"recreate with rolling", func(d *appsv1.Deployment) { d.Spec.Strategy.Type = "Recreate" }, "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"},
		{"both zero", func(d *appsv1.Deployment) {
			d.Spec.Strategy.RollingUpdate.MaxUnavailable.StrVal, d.Spec.Strategy.RollingUpdate.MaxSurge.StrVal = "0%", "0%"
		}, "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"},
		{"over 100%", func(d *appsv1.Deployment) { d.Spec.Strategy.RollingUpdate.MaxUnavailable.StrVal = "101%" }, `spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%`},
		{"no percent", func(d *appsv1.Deployment) { d.Spec.Strategy.RollingUpdate.MaxSurge.StrVal = "1" }, `spec.strategy.rollingUpdate.maxSurge: Invalid value: "1": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := deployment(t, "")
			Deployments().Default(d)
			c.change(d)
			if got := apitest.Text(Deployments().Validate(d)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	d, old := deployment(t, ""), deployment(t, "")
	Deployments().Default(d)
	Deployments().Default(old)
	old.Spec.Selector.MatchLabels["x"] = "y"
	if got := apitest.Text(Deployments().ValidateUpdate(d, old)); !strings.HasPrefix(got, "spec.selector: Invalid value: ") || !strings.HasSuffix(got, "field is immutable") {
		t.Errorf("changed selector: %s", got)
	}
}

func TestDeploymentUpdate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*appsv1.Deployment)
		want   int64
	}{
		{"nothing", func(*appsv1.Deployment) {}, 3},
		{"labels", func(d *appsv1.Deployment) { d.Labels = map[string]string{"a": "b"} }, 3},
		{"spec", func(d *appsv1.Deployment) { d.Spec.Paused = true }, 4},
		{"annotations", func(d *appsv1.Deployment) { d.Annotations = map[string]string{"a": "b"} }, 4},
		{"generation by hand", func(d *appsv1.Deployment) { d.Generation = 99 }, 3},
	} {
		old := deployment(t, "")
		old.Generation, old.Status.Replicas = 3, 5
		d := old.DeepCopy()
		d.Status.Replicas = 7
		c.change(d)
		Deployments().PrepareUpdate(d, old)
		if d.Generation != c.want || d.Status.Replicas != 5 {
			t.Errorf("%s: generation %d, status %d", c.name, d.Generation, d.Status.Replicas)
		}
	}
	old := deployment(t, "")
	old.Labels = map[string]string{"kept": "yes"}
	d := deployment(t, "  paused: true\n")
	d.Status.Replicas = 2
	status := Deployments().Sub("status")
	status.PrepareUpdate(d, old)
	if d.Spec.Paused || d.Labels["kept"] == "" || d.Status.Replicas != 2 {
		t.Errorf("status update: %+v", d)
	}
	d.Status.ReadyReplicas, d.Status.AvailableReplicas = 1, 3
	want := "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas\n" +
		"status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas"
	if got := apitest.Text(status.ValidateUpdate(d, old)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestScale(t *testing.T) {
	for _, k := range []*api.Kind{Deployments(), ReplicaSets()} {
		obj := k.New()
		if err := yaml.Unmarshal([]byte("spec:"+template+"  replicas: 2\nstatus: {replicas: 1}\n"), obj); err != nil {
			t.Fatal(err)
		}
		s := k.Sub("scale").Scale
		s.Set(obj, 4)
		if spec, status, sel := s.Get(obj); spec != 4 || status != 1 || sel != "a=b" {
			t.Errorf("%s: %d %d %q", k.Kind, spec, status, sel)
		}
	}
}

func TestRows(t *testing.T) {
	d := deployment(t, "  replicas: 2\n")
	d.Status = appsv1.DeploymentStatus{ReadyReplicas: 1, UpdatedReplicas: 2, AvailableReplicas: 1}
	if got := fmt.Sprint(Deployments().Row(d)...); got != fmt.Sprint("d", "1/2", int64(2), int64(1), d.CreationTimestamp, "c", "i", "a=b") {
		t.Error(got)
	}
	yes := true
	r := &appsv1.ControllerRevision{Revision: 3}
	r.Name = "r"
	r.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "web", Controller: &yes}}
	if got := ControllerRevisions().Row(r)[1]; got != "statefulset.apps/web" {
		t.Error(got)
	}
}

func TestControllerRevisionValidate(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{`{"a":1}`, ``},
		{``, `data: Required value: data is mandatory`},
		{`null`, `data: Required value: data is mandatory`},
		{`[]`, `data: Required value: data must be a valid JSON object`},
		{`{`, `data: Invalid value: "<value omitted>": error parsing data: unexpected end of JSON input`},
	} {
		r := &appsv1.ControllerRevision{}
		if c.data != "" {
			r.Data = runtime.RawExtension{Raw: []byte(c.data)}
		}
		if got := apitest.Text(ControllerRevisions().Validate(r)); got != c.want {
			t.Errorf("%q: got %s", c.data, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	d := deployment(t, "")
	d.Name = "a.b"
	if w := Deployments().Warnings(d, nil); len(w) != 1 || !strings.HasPrefix(w[0], "metadata.name: this is used in Pod names and hostnames") {
		t.Errorf("got %q", w)
	}
	if w := Deployments().Warnings(d, d.DeepCopy()); len(w) != 0 {
		t.Errorf("no change, but %q", w)
	}
}
