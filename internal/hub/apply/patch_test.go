package apply

import (
	"encoding/json"
	"strings"
	"testing"

	"sampan.dev/internal/api"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

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
		{"not json", `{`, types.MergePatchType, "", 400, "invalid JSON patch"},
		{"no JSON patch", `{}`, types.JSONPatchType, "", 400, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"},
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
		{"kind changed", `{"kind":"ReplicaSet"}`, types.MergePatchType, "", 422, "converting (v1.ReplicaSet) to (apps.Deployment): unknown conversion"},
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
