package history

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func template() *corev1.PodTemplateSpec {
	return &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: new(int64(30)), DNSPolicy: corev1.DNSClusterFirst,
			SecurityContext: &corev1.PodSecurityContext{}, SchedulerName: "default-scheduler",
			Containers: []corev1.Container{{
				Name: "c", Image: "a<b&c", TerminationMessagePath: "/dev/termination-log",
				TerminationMessagePolicy: corev1.TerminationMessageReadFile, ImagePullPolicy: corev1.PullIfNotPresent,
			}},
		},
	}
}

// The data is the merge patch that upstream writes: fields in their order, the directive first, HTML escaped.
func TestPatch(t *testing.T) {
	data, err := Patch(template())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"a\u003cb\u0026c",` +
		`"imagePullPolicy":"IfNotPresent","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],` +
		`"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}}}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
	back, err := Template(data)
	if err != nil || !apiequality.Semantic.DeepEqual(back, template()) {
		t.Errorf("read back: %+v, %v", back, err)
	}
	for _, bad := range []string{`{}`, `{"spec":{"template":{}}}`, `[]`, ``} {
		if _, err := Template([]byte(bad)); err == nil {
			t.Errorf("%q is read as a template", bad)
		}
	}
}

// The hash is FNV-1 of the data and of the count of collisions in digits.
func TestHashAndName(t *testing.T) {
	zero, one := int32(0), int32(1)
	hashes := map[string]bool{}
	for _, h := range []string{Hash([]byte("{}"), nil), Hash([]byte("{}"), &zero), Hash([]byte("{}"), &one), Hash([]byte("{ }"), nil)} {
		hashes[h] = true
	}
	if len(hashes) != 4 {
		t.Errorf("hashes %v", hashes)
	}
	if Hash([]byte("{}"), &one) != Hash([]byte("{}1"), nil) {
		t.Error("collisions are not hashed as digits")
	}
	if got := Hash(nil, nil); got != "65bb57b6b5" { // 2166136261 in letters that make no words
		t.Errorf("hash of nothing: %s", got)
	}
	if got := Name(strings.Repeat("x", 300), "hash"); got != strings.Repeat("x", 223)+"-hash" {
		t.Errorf("name of %d characters", len(got))
	}
}

func TestSort(t *testing.T) {
	mk := func(name string, number, age int64) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1000-age, 0))}, Revision: number}
	}
	all := []*appsv1.ControllerRevision{mk("e", 3, 9), mk("c", 2, 1), mk("b", 2, 1), mk("a", 2, 5), mk("d", 1, 0)}
	Sort(all)
	var got string
	for _, r := range all {
		got += r.Name
	}
	if got != "dabce" {
		t.Errorf("order %s", got)
	}
	if Newest(all) != 3 || Newest(nil) != 0 {
		t.Errorf("newest %d, of none %d", Newest(all), Newest(nil))
	}
}
