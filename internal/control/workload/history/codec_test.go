package history

import (
	"bytes"
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// Upstream writes a StatefulSet's data with client-go's codec and a DaemonSet's with encoding/json, each from the whole object.
// Both are what Patch makes of the template alone.
func TestPatchIsWhatUpstreamsCodecsWrite(t *testing.T) {
	rich := template()
	rich.Annotations = map[string]string{"b": "ü < 1", "a": ""}
	rich.Spec.Tolerations = []corev1.Toleration{{Key: "k", TolerationSeconds: new(int64(1 << 60))}}
	rich.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("1e9")}
	rich.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "EMPTY"}, {Name: "N", Value: "1"}}
	rich.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	set, err := runtime.Encode(scheme.Codecs.LegacyCodec(appsv1.SchemeGroupVersion), &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Template: *rich}})
	if err != nil {
		t.Fatal(err)
	}
	daemons, err := json.Marshal(&appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: *rich}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Patch(rich)
	if err != nil {
		t.Fatal(err)
	}
	for kind, encoded := range map[string][]byte{"StatefulSet": set, "DaemonSet": daemons} {
		var raw map[string]any
		if err := json.Unmarshal(encoded, &raw); err != nil {
			t.Fatal(err)
		}
		of := raw["spec"].(map[string]any)["template"].(map[string]any)
		of["$patch"] = "replace"
		want, err := json.Marshal(map[string]any{"spec": map[string]any{"template": of}})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", kind, got, want)
		}
	}
}
