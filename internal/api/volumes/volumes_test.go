package volumes_test

import (
	"testing"

	"sampan.dev/internal/api/volumes"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func volume(name, size string, change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
	for _, f := range change {
		f(pv)
	}
	return pv
}

func claim(size string, change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c", UID: "1"},
		Spec: corev1.PersistentVolumeClaimSpec{
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func modes(m ...corev1.PersistentVolumeAccessMode) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { pv.Spec.AccessModes = m }
}

func named(uid types.UID) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) {
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "c", UID: uid}
	}
}

func on(node string) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) {
		pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}}}
	}
}

func TestFind(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelHostname: "n"}}}
	labelled := func(pv *corev1.PersistentVolume) { pv.Labels = map[string]string{"tier": "fast"} }
	class := func(name string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Spec.StorageClassName = name }
	}
	block := func(pv *corev1.PersistentVolume) { pv.Spec.VolumeMode = new(corev1.PersistentVolumeBlock) }
	phase := func(p corev1.PersistentVolumePhase) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Status.Phase = p }
	}
	selecting := func(c *corev1.PersistentVolumeClaim) {
		c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "fast"}}
	}
	for _, tc := range []struct {
		name  string
		s     volumes.Search
		claim *corev1.PersistentVolumeClaim
		want  string
	}{
		{"smallest that is large enough", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi"), volume("b", "5Gi"), volume("c", "3Gi")}}, claim("2Gi"), "c"},
		{"none is large enough", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi")}}, claim("2Gi"), ""},
		{"fewest modes before size", volumes.Search{Volumes: []*corev1.PersistentVolume{
			volume("many", "2Gi", modes(corev1.ReadWriteOnce, corev1.ReadWriteMany)), volume("one", "8Gi")}}, claim("1Gi"), "one"},
		{"a mode that nobody has", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi", modes(corev1.ReadOnlyMany))}}, claim("1Gi"), ""},
		{"kept for the claim before smaller ones", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi"), volume("b", "9Gi", named(""))}}, claim("1Gi"), "b"},
		{"kept for an earlier claim of the name", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("b", "9Gi", named("other"))}}, claim("1Gi"), ""},
		{"made for the claim, whatever its phase and class", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("b", "9Gi", named("1"), phase(corev1.VolumePending), class("x"))}, Waits: true}, claim("1Gi"), "b"},
		{"too small though kept", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("b", "1Gi", named(""))}}, claim("2Gi"), ""},
		{"of another class", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi", class("x"))}}, claim("1Gi"), ""},
		{"of the class", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi"), volume("b", "1Gi", class("x"))}},
			claim("1Gi", func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = new("x") }), "b"},
		{"released", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi", phase(corev1.VolumeReleased))}}, claim("1Gi"), ""},
		{"a device", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi", block)}}, claim("1Gi"), ""},
		{"by labels", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi"), volume("b", "7Gi", labelled)}}, claim("1Gi", selecting), "b"},
		{"to go", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi", func(pv *corev1.PersistentVolume) { pv.DeletionTimestamp = &metav1.Time{} })}}, claim("1Gi"), ""},
		{"the scheduler's to find", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi")}, Waits: true}, claim("1Gi"), ""},
		{"on the node", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi", on("m")), volume("b", "2Gi", on("n"))}, Node: node, Waits: true}, claim("1Gi"), "b"},
		{"kept, and elsewhere", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi", on("m"), named("")), volume("b", "2Gi")}, Node: node}, claim("1Gi"), ""},
		{"taken by another claim of the pod", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi"), volume("b", "2Gi")}, Node: node, Taken: map[string]bool{"a": true}}, claim("1Gi"), "b"},
		{"modes on the node", volumes.Search{Volumes: []*corev1.PersistentVolume{volume("a", "1Gi", modes(corev1.ReadOnlyMany))}, Node: node}, claim("1Gi"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pv, err := tc.s.Find(tc.claim)
			if err != nil {
				t.Fatal(err)
			}
			if got := map[bool]func() string{true: func() string { return "" }, false: func() string { return pv.Name }}[pv == nil](); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestGiven(t *testing.T) {
	for _, tc := range []struct {
		name          string
		pv            *corev1.PersistentVolume
		changed, mark bool
	}{
		{"free", volume("a", "1Gi"), true, true},
		{"kept by name", volume("a", "1Gi", named("")), true, false},
		{"given already", volume("a", "1Gi", named("1")), false, false},
		{"another's", volume("a", "1Gi", named("2")), true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, changed := volumes.Given(tc.pv, claim("1Gi"))
			_, mark := got.Annotations[volumes.BoundByController]
			if changed != tc.changed || mark != tc.mark || got.Spec.ClaimRef.UID != "1" {
				t.Errorf("changed %v, marked %v, %+v", changed, mark, got.Spec.ClaimRef)
			}
		})
	}
}

func TestAllowed(t *testing.T) {
	term := func(values ...string) corev1.TopologySelectorTerm {
		return corev1.TopologySelectorTerm{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: "zone", Values: values}}}
	}
	labels := map[string]string{"zone": "a"}
	for _, tc := range []struct {
		name  string
		terms []corev1.TopologySelectorTerm
		want  bool
	}{
		{"no terms", nil, true}, {"an empty term", []corev1.TopologySelectorTerm{{}}, false},
		{"its zone", []corev1.TopologySelectorTerm{term("b", "a")}, true}, {"another", []corev1.TopologySelectorTerm{term("b")}, false},
		{"one of two", []corev1.TopologySelectorTerm{term("b"), term("a")}, true},
	} {
		if got := volumes.Allowed(tc.terms, labels); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
