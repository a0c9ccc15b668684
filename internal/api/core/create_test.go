package core

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite testdata/create")

func kinds() map[string]*api.Kind {
	out := map[string]*api.Kind{}
	for _, k := range []*api.Kind{
		Pods(), Nodes(), Services(), Endpoints(), Namespaces(), ConfigMaps(), Secrets(), ServiceAccounts(), Events(),
		ReplicationControllers(), Bindings(), LimitRanges(), PersistentVolumes(), PersistentVolumeClaims(), ResourceQuotas(),
	} {
		out[k.Resource] = k
	}
	return out
}

// TestCreate runs each file of testdata/create, named RESOURCE or RESOURCE_CASE: its first document is what a client sends,
// its second what is stored of it, after defaults and preparation. The second documents were compared with upstream's.
func TestCreate(t *testing.T) {
	files, err := filepath.Glob("testdata/create/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sent, want, _ := strings.Cut(string(data), "---\n")
			resource, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".yaml"), "_")
			k := kinds()[resource]
			obj := k.New()
			if err := yaml.UnmarshalStrict([]byte(sent), obj); err != nil {
				t.Fatal(err)
			}
			if k.Default != nil {
				k.Default(obj)
			}
			if k.PrepareCreate != nil {
				k.PrepareCreate(obj)
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				for i := range pod.Status.Conditions {
					pod.Status.Conditions[i].LastTransitionTime = metav1.Time{} // now
				}
			}
			if errs := k.Validate(obj); len(errs) > 0 && resource != "services" { // services lack their addresses
				t.Errorf("not valid: %v", errs)
			}
			got, err := yaml.Marshal(obj)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(sent+"---\n"+string(got)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestKinds checks what every kind must have for the hub to serve it.
func TestKinds(t *testing.T) {
	for name, k := range kinds() {
		if k.Version != "v1" || k.Kind == "" || k.Singular == "" || k.New == nil {
			t.Errorf("%s: incomplete", name)
		}
		if gvk, err := api.GVKOf(k.New()); err != nil || gvk != k.GVK() {
			t.Errorf("%s: New makes %v, %v", name, gvk, err)
		}
		if k.Virtual {
			continue
		}
		if k.Row == nil { // the hub's default: name and age
			continue
		}
		if n := len(k.Row(k.New())); n != len(k.Columns) {
			t.Errorf("%s: %d cells for %d columns", name, n, len(k.Columns))
		}
		if k.Fields == nil {
			continue
		}
		for label := range k.Fields(k.New()) {
			if !slices.Contains(k.FieldLabels, label) {
				t.Errorf("%s: field %s is not among the labels", name, label)
			}
		}
	}
	if got := kinds()["nodes"].Key("", "n"); got != "/registry/minions/n" {
		t.Errorf("key of a node: %s", got)
	}
}
