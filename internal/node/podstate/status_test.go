package podstate

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func statusText(pod *corev1.Pod, s *corev1.PodStatus) string {
	flags := ""
	for _, c := range []struct {
		t    corev1.PodConditionType
		flag string
	}{{corev1.PodReadyToStartContainers, "s"}, {corev1.PodInitialized, "i"}, {corev1.ContainersReady, "c"}, {corev1.PodReady, "r"}} {
		if pods.FindCondition(s.Conditions, c.t).Status == corev1.ConditionTrue {
			flags += c.flag
		}
	}
	if flags == "" {
		flags = "-"
	}
	out := []string{string(s.Phase), flags}
	for _, st := range append(slices.Clone(s.InitContainerStatuses), s.ContainerStatuses...) {
		text := st.Name + "="
		switch {
		case st.State.Running != nil:
			text += "running"
		case st.State.Terminated != nil:
			text += fmt.Sprintf("exited(%d)", st.State.Terminated.ExitCode)
		default:
			text += "waiting(" + st.State.Waiting.Reason + ")"
		}
		if st.Ready {
			text += "*"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestStatus(t *testing.T) {
	f, err := os.Open("testdata/status.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var name string
	var fs Facts
	cases := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		verb, rest, _ := strings.Cut(strings.TrimSpace(sc.Text()), " ")
		switch verb {
		case "case":
			name = rest
		case "pod":
			fs = Facts{Pod: podtest.Parse(t, strings.Fields(rest)), Old: &corev1.PodStatus{}, RuntimeName: "x"}
		case "obs":
			words := strings.Fields(rest)
			if fs.Terminal = words[len(words)-1] == "done"; fs.Terminal {
				words = words[:len(words)-1]
			}
			v := parseObs(t, fs.Pod, words)
			fs.Obs, fs.Startup = v.Obs, v.Startup
		case "want":
			cases++
			s := Status(fs)
			if got := statusText(fs.Pod, &s); got != rest {
				t.Errorf("%s:\n got %s\nwant %s", name, got, rest)
			}
		}
	}
	if cases < 15 {
		t.Errorf("only %d cases read", cases)
	}
}

func TestStatusKeepsWhatTheRuntimeForgot(t *testing.T) {
	pod := podtest.Parse(t, []string{"Never", "main:a"})
	old := &corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "a", ContainerID: "x://1",
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}
	s := Status(Facts{Pod: pod, Old: old, Obs: &runtime.Pod{}})
	st := s.ContainerStatuses[0]
	if st.LastTerminationState.Terminated == nil || st.LastTerminationState.Terminated.ExitCode != 137 || st.RestartCount != 1 {
		t.Errorf("%+v", st)
	}
	if s.Phase != corev1.PodFailed {
		t.Errorf("a pod that runs once would run twice: %s", s.Phase)
	}
}

func TestStatusShowsWhyAContainerWaits(t *testing.T) {
	pod := podtest.Parse(t, []string{"Always", "main:a"})
	v := parseObs(t, pod, []string{"ready", "a=exited:1"})
	s := Status(Facts{Pod: pod, Old: &corev1.PodStatus{}, Obs: v.Obs, Wait: map[string]Waiting{"a": {Reason: "CrashLoopBackOff", Message: "back-off"}}})
	st := s.ContainerStatuses[0]
	if st.State.Waiting == nil || st.State.Waiting.Reason != "CrashLoopBackOff" || st.LastTerminationState.Terminated == nil || s.Phase != corev1.PodRunning {
		t.Errorf("%s %+v", s.Phase, st)
	}
}

func TestReadinessGates(t *testing.T) {
	pod := podtest.Parse(t, []string{"Always", "main:a"})
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "x/gate"}}
	obs := parseObs(t, pod, []string{"ready", "a=running"}).Obs
	s := Status(Facts{Pod: pod, Old: &corev1.PodStatus{}, Obs: obs})
	c := pods.FindCondition(s.Conditions, corev1.PodReady)
	if c.Status != corev1.ConditionFalse || c.Reason != "ReadinessGatesNotReady" || c.Message != `corresponding condition of pod readiness gate "x/gate" does not exist.` {
		t.Errorf("%+v", c)
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: "x/gate", Status: corev1.ConditionTrue}}
	s = Status(Facts{Pod: pod, Old: &corev1.PodStatus{}, Obs: obs})
	if pods.FindCondition(s.Conditions, corev1.PodReady).Status != corev1.ConditionTrue {
		t.Error("the gate is open and the pod not ready")
	}
}

func TestStampKeepsTransitionTimes(t *testing.T) {
	pod := podtest.Parse(t, []string{"Always", "main:a"})
	at := metav1.NewTime(time.Unix(100, 0))
	s := Status(Facts{Pod: pod, Old: &corev1.PodStatus{}, Obs: &runtime.Pod{}})
	Stamp(pod, &s, &corev1.PodStatus{}, at)
	later := metav1.NewTime(time.Unix(200, 0))
	n := Status(Facts{Pod: pod, Old: &s, Obs: parseObs(t, pod, []string{"ready", "a=running"}).Obs})
	Stamp(pod, &n, &s, later)
	if got := pods.FindCondition(n.Conditions, corev1.PodScheduled).LastTransitionTime; !got.Equal(&at) {
		t.Errorf("PodScheduled moved to %v", got)
	}
	if got := pods.FindCondition(n.Conditions, corev1.PodReady).LastTransitionTime; !got.Equal(&later) {
		t.Errorf("Ready did not move: %v", got)
	}
	if !n.StartTime.Equal(&at) {
		t.Errorf("start time moved to %v", n.StartTime)
	}
}

// A status shares what its containers ended with with the one before it, which may be on its way to the hub: it is not changed there.
func TestStampChangesNoOlderStatus(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	at := metav1.NewTime(time.Unix(1, 500))
	state := func() corev1.ContainerState {
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}, Terminated: &corev1.ContainerStateTerminated{FinishedAt: at, Message: strings.Repeat("x", 20<<10)}}
	}
	old := corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "c", State: state(), LastTerminationState: state()}}}
	s := corev1.PodStatus{ContainerStatuses: slices.Clone(old.ContainerStatuses)}
	Stamp(pod, &s, &old, at)
	for _, was := range []corev1.ContainerState{old.ContainerStatuses[0].State, old.ContainerStatuses[0].LastTerminationState} {
		if !reflect.DeepEqual(was, state()) {
			t.Error("the older status was changed")
		}
	}
	for _, is := range []corev1.ContainerState{s.ContainerStatuses[0].State, s.ContainerStatuses[0].LastTerminationState} {
		if is.Running.StartedAt.Nanosecond() != 0 || is.Terminated.FinishedAt.Nanosecond() != 0 || len(is.Terminated.Message) != 12<<10 {
			t.Errorf("%v, %d bytes", is.Running.StartedAt, len(is.Terminated.Message))
		}
	}
}
