package hub

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestDeleteOptionsBodies: clients write the group and version of their own client into the body.
func TestDeleteOptionsBodies(t *testing.T) {
	h := start(t, nil)
	opts := metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)}
	raw, err := opts.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	env := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "apps/v1", Kind: "DeleteOptions"}, Raw: raw}
	pb, err := env.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ media, body string }{
		{"application/json", `{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","propagationPolicy":"Foreground"}`},
		{"application/json", `{"kind":"DeleteOptions","apiVersion":"apps/v1","propagationPolicy":"Foreground"}`},
		{"application/json", `{"propagationPolicy":"Foreground"}`},
		{"application/yaml", "propagationPolicy: Foreground\n"},
		{"application/vnd.kubernetes.protobuf", "k8s\x00" + string(pb)},
	} {
		makeMaps(t, h, 1)
		a := do(h, "DELETE", cms+"/m00", c.body, "Content-Type: "+c.media)
		if f, _ := dig(a.object(t), "metadata.finalizers").([]any); a.code != 200 || len(f) != 1 || f[0] != metav1.FinalizerDeleteDependents {
			t.Errorf("%s %q: %d %s", c.media, c.body, a.code, a.body)
		}
		do(h, "PATCH", cms+"/m00", `{"metadata":{"finalizers":null}}`, "Content-Type: application/merge-patch+json")
	}
	if a := do(h, "DELETE", cms+"/m00", `{"kind":"Pod","apiVersion":"v1"}`); a.code != 400 {
		t.Errorf("%d %s", a.code, a.body)
	}
}
