package register

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/evict"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions keep their order and the time of their last change, and each change has its event.
func TestConditions(t *testing.T) {
	s, now := &corev1.NodeStatus{}, metav1.Unix(1000, 0)
	step := func(f facts, want, events string) {
		t.Helper()
		before := slices.Clone(s.Conditions)
		now = metav1.NewTime(now.Add(time.Minute))
		setConditions(s, f, now)
		var got []string
		for _, c := range s.Conditions {
			got = append(got, string(c.Type)+"="+string(c.Status))
			i := slices.IndexFunc(before, func(o corev1.NodeCondition) bool { return o.Type == c.Type })
			if changed := i < 0 || before[i].Status != c.Status; changed != c.LastTransitionTime.Equal(&now) {
				t.Errorf("%s: changed %t, at %v", c.Type, changed, c.LastTransitionTime)
			}
			if !c.LastHeartbeatTime.Equal(&now) {
				t.Errorf("%s: heartbeat at %v", c.Type, c.LastHeartbeatTime)
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("got  %s\nwant %s", text, want)
		}
		if text := strings.Join(changes(before, s.Conditions), " "); text != events {
			t.Errorf("events %s, want %s", text, events)
		}
	}
	step(facts{}, "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=True", "NodeHasSufficientMemory NodeHasNoDiskPressure NodeHasSufficientPID NodeReady")
	step(facts{}, "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=True", "")
	step(facts{pressure: evict.Pressure{Disk: true}}, "MemoryPressure=False DiskPressure=True PIDPressure=False Ready=True", "NodeHasDiskPressure")
	step(facts{trouble: []error{errors.New("a"), errors.New("b")}}, "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=False", "NodeHasNoDiskPressure NodeNotReady")
	if c := s.Conditions[3]; c.Reason != "KubeletNotReady" || c.Message != "[a, b]" {
		t.Errorf("%+v", c)
	}
	step(facts{trouble: []error{errors.New("a")}}, "MemoryPressure=False DiskPressure=False PIDPressure=False Ready=False", "")
	if c := s.Conditions[3]; c.Message != "a" {
		t.Errorf("%+v", c)
	}
}

func TestMoved(t *testing.T) {
	for _, c := range []struct {
		was, now string
		want     bool
	}{
		{"192.0.2.1", "192.0.2.1", false}, {"192.0.2.1", "192.0.2.2", true}, {"192.0.2.1", "", false}, {"192.0.2.1", "2001:db8::1", false},
		{"2001:db8::1", "2001:db8::2", true}, {"", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.1 2001:db8::1", true},
	} {
		if got := moved(strings.Fields(c.was), strings.Fields(c.now)); got != c.want {
			t.Errorf("%q to %q: %t", c.was, c.now, got)
		}
	}
}

// Addresses are replaced in whole; nothing is written when nothing differs.
func TestStatusPatch(t *testing.T) {
	address := func(list ...string) corev1.NodeStatus {
		s := corev1.NodeStatus{}
		for _, a := range list {
			s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
		return s
	}
	a, b := address("192.0.2.1"), address("192.0.2.2", "2001:db8::2")
	if p, err := statusPatch(&a, &a); p != nil || err != nil {
		t.Errorf("%s, %v", p, err)
	}
	p, err := statusPatch(&a, &b)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Status struct{ Addresses []map[string]string }
	}
	if err := json.Unmarshal(p, &got); err != nil {
		t.Fatal(err)
	}
	if list := got.Status.Addresses; len(list) != 3 || list[0]["address"] != "192.0.2.2" || list[1]["address"] != "2001:db8::2" || list[2]["$patch"] != "replace" {
		t.Errorf("%s", p)
	}
}

// Of the labels that an administrator has changed only the machine's own are set right again.
func TestCorrections(t *testing.T) {
	c := &Config{Name: "n", Hostname: "h", Labels: map[string]string{"team": "a", corev1.LabelTopologyZone: "z"}}
	is := c.identity()
	is.Labels["team"], is.Labels[corev1.LabelHostname], is.Labels[corev1.LabelTopologyZone] = "b", "other", "y"
	delete(is.Annotations, AnnotationAttachDetach)
	labels, annotations := corrections(is, c.identity())
	promising := &Config{Name: "n", Hostname: "h", Annotations: map[string]string{pods.EndsExclusiveAfter: "60s"}}
	if _, got := corrections(is, promising.identity()); got[pods.EndsExclusiveAfter] != "60s" {
		t.Errorf("a promise is not made: %v", got)
	}
	if _, got := corrections(promising.identity(), c.identity()); len(got) != 1 || got[pods.EndsExclusiveAfter] != nil {
		t.Errorf("an earlier kubelet's promise stands: %v", got)
	}
	if len(labels) != 2 || labels[corev1.LabelHostname] != "h" || labels[corev1.LabelTopologyZone] != "z" || len(annotations) != 1 || annotations[AnnotationAttachDetach] != "true" {
		t.Errorf("%v %v", labels, annotations)
	}
}
