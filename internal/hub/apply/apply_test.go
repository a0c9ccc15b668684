package apply

import (
	"encoding/json"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/openapi"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

var engine = New(openapi.Type, nil)

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

// stored is what the hub makes of a created object.
func stored(d *appsv1.Deployment) *appsv1.Deployment {
	d.UID, d.ResourceVersion = "u1", "1"
	return d
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
		if _, err := New(openapi.Type, nil).types.of(deployments.GVK()); err != nil {
			b.Fatal(err)
		}
	}
}
