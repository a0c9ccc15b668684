package apply

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

var pods = &api.Kind{
	Version: "v1", Kind: "Pod", Resource: "pods", Namespaced: true,
	New:          func() api.Object { return &corev1.Pod{} },
	NewList:      func() runtime.Object { return &corev1.PodList{} },
	Subresources: []api.Subresource{{Name: "status", ResetFields: []string{"spec"}}},
}

// largePod has so many containers, each with an environment.
func largePod(containers int) *corev1.Pod {
	p := &corev1.Pod{}
	p.Name, p.Namespace, p.UID, p.ResourceVersion = "p", "ns", "u1", "5"
	p.Labels, p.Finalizers = map[string]string{"a": "b"}, []string{"example.com/one", "example.com/two"}
	var owned []string
	for i := range containers {
		owned = append(owned, fmt.Sprintf(`"k:{\"name\":\"c%d\"}":{".":{},"f:image":{},"f:name":{}}`, i))
		c := corev1.Container{Name: fmt.Sprint("c", i), Image: "i:1"}
		for j := range 10 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprint("E", j), Value: "v"})
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:metadata":{"f:finalizers":{".":{},"v:\"example.com/one\"":{}}},"f:spec":{"f:containers":{` + strings.Join(owned, ",") + `}}}`)}}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
	return p
}

// What a patch makes is what the library makes of the whole object, whatever fields the patch touches, and nothing of it is the old object's.
func TestStrategicIsThatOfTheWholeObject(t *testing.T) {
	cm := &corev1.ConfigMap{Data: map[string]string{"a": "1", "b": "2"}, BinaryData: map[string][]byte{"x": {1}}}
	cm.Name, cm.UID = "c", "u1"
	for _, c := range []struct {
		kind *api.Kind
		old  api.Object
		data string
	}{
		{pods, largePod(2), `{"metadata":{"uid":"u1","$deleteFromPrimitiveList/finalizers":["example.com/one"]}}`},
		{pods, largePod(2), `{"metadata":{"uid":"u1"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`},
		{pods, largePod(2), `{"status":{"$setElementOrder/conditions":[{"type":"Ready"},{"type":"PodScheduled"}],"conditions":[{"type":"Ready","status":"True"}]}}`},
		{pods, largePod(2), `{"status":null}`},
		{pods, largePod(2), `{"metadata":null}`},
		{pods, largePod(2), `{"metadata":{"managedFields":[]}}`},
		{pods, largePod(2), `{"metadata":{"$patch":"replace","name":"p","uid":"u1"}}`},
		{pods, largePod(2), `{"metadata":{"$retainKeys":["name"],"name":"p"}}`},
		{pods, largePod(2), `{"status":{"conditions":[{"type":"PodScheduled","$patch":"delete"}]}}`},
		{pods, largePod(2), `{"spec":{"containers":[{"name":"c1","image":"i:2"}]}}`},
		{pods, largePod(2), `{"apiVersion":"v1","kind":"Pod","spec":{"nodeName":"n"}}`},
		{pods, largePod(2), `{}`},
		{pods, largePod(2), `{"$patch":"replace","metadata":{"name":"p","uid":"u1"}}`},
		{deployments, base(t), `{"spec":{"replicas":null},"status":{"replicas":3}}`},
		{deployments, base(t), `{"metadata":{"labels":{"x":"y"},"annotations":null}}`},
		{configMaps, cm, `{"data":{"a":null,"c":"3"}}`},
		{configMaps, cm, `{"immutable":true}`},
	} {
		doc, err := json.Marshal(c.old)
		if err != nil {
			t.Fatal(err)
		}
		merged, err := strategicpatch.StrategicMergePatch(doc, []byte(c.data), c.kind.New())
		if err != nil {
			t.Fatalf("%s: %v", c.data, err)
		}
		want := c.kind.New()
		if err := json.Unmarshal(merged, want); err != nil {
			t.Fatal(err)
		}
		got, err := strategic(target{c.kind, ""}, c.old, []byte(c.data), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.data, err)
			continue
		}
		got.GetObjectKind().SetGroupVersionKind(want.GetObjectKind().GroupVersionKind())
		if !apiequality.Semantic.DeepEqual(got, want) {
			have, _ := json.Marshal(got)
			t.Errorf("%s makes\n%s, want\n%s", c.data, have, merged)
		}
		scribble(got)
		if after, _ := json.Marshal(c.old); string(after) != string(doc) {
			t.Errorf("%s: what it made shares with the old object:\n%s\n%s", c.data, after, doc)
		}
	}
}

// scribble changes what an object refers to.
func scribble(obj api.Object) {
	for k := range obj.GetLabels() {
		obj.GetLabels()[k] = "changed"
	}
	for _, e := range obj.GetManagedFields() {
		e.FieldsV1.Raw[0] = '!'
	}
	for i := range obj.GetFinalizers() {
		obj.GetFinalizers()[i] = "changed"
	}
	containers := func(list []corev1.Container) {
		for i := range list {
			list[i].Name = "changed"
			for j := range list[i].Env {
				list[i].Env[j].Name = "changed"
			}
		}
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		containers(o.Spec.Containers)
		for i := range o.Status.Conditions {
			o.Status.Conditions[i].Type = "changed"
		}
	case *appsv1.Deployment:
		containers(o.Spec.Template.Spec.Containers)
	case *corev1.ConfigMap:
		for k := range o.Data {
			o.Data[k] = "changed"
		}
		for k := range o.BinaryData {
			o.BinaryData[k][0]++
		}
	}
}

// A patch of a pod's status or of its finalizers costs a copy of its spec and no more, however large that is.
func TestStrategicCostsWhatItTouches(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, data := range []string{`{"status":{"phase":"Running"}}`, `{"metadata":{"uid":"u1","$deleteFromPrimitiveList/finalizers":["example.com/one"]}}`} {
		cost := func(containers int) float64 {
			old := largePod(containers)
			return testing.AllocsPerRun(100, func() {
				if _, err := strategic(target{pods, ""}, old, []byte(data), Options{}); err != nil {
					t.Fatal(err)
				}
			})
		}
		small, large := cost(1), cost(50)
		t.Logf("%s: %.0f allocations with one container, %.0f with fifty", data, small, large)
		if large > small+100 { // a slice for each environment; 50 containers of ten variables were 2,500 maps and more
			t.Errorf("%s: %.0f allocations with one container, %.0f with fifty", data, small, large)
		}
	}
}
