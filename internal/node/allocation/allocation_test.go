package allocation

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func pod(uid, cpu string, priority int32) *corev1.Pod {
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Name: uid},
		Spec: corev1.PodSpec{Priority: &priority, Containers: []corev1.Container{{Name: "a", Resources: corev1.ResourceRequirements{Requests: list}}}}}
}

func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	m, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, uid := range []string{"u1", "u2", "u3", "u4"} {
		wg.Go(func() {
			m.Admit(pod(uid, "1", 0))
			if err := m.Flush(); err != nil {
				t.Error(err)
			}
			again, err := New(dir)
			if err != nil || again.Allocated.Get(types.UID(uid)) == nil || again.Actuated.Get(types.UID(uid)) == nil {
				t.Errorf("%s is not there after its flush: %v", uid, err)
			}
		})
	}
	wg.Wait()
	again, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	asks := pod("u1", "3", 0)
	if got := again.Given(asks); got == asks || got.Spec.Containers[0].Resources.Requests.Cpu().String() != "1" || asks.Spec.Containers[0].Resources.Requests.Cpu().String() != "3" {
		t.Errorf("given %v", got.Spec.Containers[0].Resources)
	}
	if same := pod("u1", "1", 0); again.Given(same) != same {
		t.Error("a pod that has what it asks for was copied")
	}
	again.Admit(asks)
	if got := again.Given(asks).Spec.Containers[0].Resources.Requests.Cpu().String(); got != "1" {
		t.Errorf("a second admission gave it %s", got)
	}
	again.Keep(func(uid types.UID) bool { return uid == "u1" })
	again.Allocated.Set("u1", Of(asks))
	if err := again.Flush(); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, AllocatedFile))
	if strings.Contains(string(b), "u2") || !strings.Contains(string(b), "u1") {
		t.Errorf("the file has %s", b)
	}
	if err := os.WriteFile(filepath.Join(dir, AllocatedFile), []byte(strings.Replace(string(b), `"3\"`, `"4\"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir); err == nil || !strings.Contains(err.Error(), "checkpoint is corrupted") {
		t.Errorf("a changed file was read: %v", err)
	}
}

// TestReadsUpstreams has a checkpoint as a kubelet v1.37 writes it.
func TestReadsUpstreams(t *testing.T) {
	s, err := Open("testdata/allocated_pods_state")
	if err != nil {
		t.Fatal(err)
	}
	info := s.Get("4ca32a1e-0bc8-4bd5-9d5c-4d2d9f0a8d6b")
	if info == nil {
		t.Fatal("the pod is not there")
	}
	if a := ContainerAmounts(nil, new(info.ContainerResources["c1"])); a != (Amounts{200, 300, 200 << 20, 300 << 20}) {
		t.Errorf("%+v", a)
	}
}

func TestOrder(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	list := []Pending{
		{Pod: pod("late", "2", 0), Given: pod("late", "1", 0), Since: at(9)},
		{Pod: pod("new", "2", 0), Given: pod("new", "1", 0)},
		{Pod: pod("early", "2", 0), Given: pod("early", "1", 0), Since: at(3)},
		{Pod: pod("important", "2", 5), Given: pod("important", "1", 5)},
		{Pod: pod("less", "1", 0), Given: pod("less", "2", 0)},
	}
	Order(list)
	var got []string
	for _, p := range list {
		got = append(got, p.Pod.Name)
	}
	if s := strings.Join(got, " "); s != "less important early late new" {
		t.Error(s)
	}
}

func TestInfeasible(t *testing.T) {
	guaranteed := func(cpu string) *corev1.Pod {
		p := pod("u", cpu, 0)
		p.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1Gi")
		p.Spec.Containers[0].Resources.Limits = p.Spec.Containers[0].Resources.Requests.DeepCopy()
		return p
	}
	for _, c := range []struct {
		pod, given *corev1.Pod
		x          Exclusive
		want       string
	}{
		{guaranteed("2"), guaranteed("1"), Exclusive{}, ""},
		{guaranteed("2"), guaranteed("1"), Exclusive{CPUs: true}, `Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"`},
		{guaranteed("2"), guaranteed("1"), Exclusive{Memory: true}, ""},
		{pod("u", "2", 0), pod("u", "1", 0), Exclusive{CPUs: true, Memory: true}, ""},
	} {
		if got := Infeasible(c.pod, c.given, c.x); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestMessage(t *testing.T) {
	want := `Pod resize started: {"containers":[{"name":"a","resources":{"requests":{"cpu":"2"}}}],"generation":3}`
	if got := Message("Pod resize started", pod("u", "2", 0), 3, ""); got != want {
		t.Error(got)
	}
}
