package apply

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is remembered of one create and used for another is what would have been reckoned for it.
func TestCreatesThatAreAlike(t *testing.T) {
	fresh := func() *Engine { return &Engine{types: engine.types} }
	shared := fresh()
	for i := range 3 * memoSize {
		d := base(t)
		d.UID, d.ManagedFields = "", nil
		d.Name = fmt.Sprint("d", i)
		switch i % 5 {
		case 1:
			d.Labels = map[string]string{"x": "y"}
		case 2:
			d.Spec.Template.Spec.Containers[0].Name = "other"
		case 3:
			d.ManagedFields = []metav1.ManagedFieldsEntry{}
		case 4:
			d.Annotations = map[string]string{"n": fmt.Sprint(i)} // like no other
		}
		manager := fmt.Sprint("m", i%2)
		alone := d.DeepCopy()
		shared.Track(deployments, "", d, nil, manager)
		fresh().Track(deployments, "", alone, nil, manager)
		if got, want := fmt.Sprint(owners(d)), fmt.Sprint(owners(alone)); got != want {
			t.Fatalf("%d: owners are\n%s\nwant\n%s", i, got, want)
		}
		if len(d.ManagedFields) > 0 && d.ManagedFields[0].Time.IsZero() {
			t.Fatal("no time")
		}
		if d.Name != fmt.Sprint("d", i) || d.Namespace != alone.Namespace {
			t.Fatalf("name and namespace are now %s, %s", d.Name, d.Namespace)
		}
	}
}

func TestCreatesThatAreAlikeCostLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	make := func() *appsv1.Deployment {
		d := base(t)
		d.UID, d.ManagedFields = "", nil
		return d
	}
	d := make()
	engine.Track(deployments, "", d, nil, "m")
	if allocs := testing.AllocsPerRun(100, func() {
		d.ManagedFields = nil
		engine.Track(deployments, "", d, nil, "m")
	}); allocs > 20 {
		t.Errorf("%.0f allocations", allocs)
	}
}

// The pods of a DaemonSet differ in the node that each is to go to, and are of one shape.
func TestPodsOfADaemonSetAreAlike(t *testing.T) {
	pod := func(node string) *corev1.Pod {
		p := largePod(1)
		term := corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}}}
		return p
	}
	a, err := appendShape(nil, pod("one"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := appendShape(nil, pod("another")); err != nil || string(a) != string(b) {
		t.Errorf("the shapes of pods for two nodes differ: %q, %q, %v", a, b, err)
	}
}
