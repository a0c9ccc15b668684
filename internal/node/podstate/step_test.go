package podstate

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/node/probe"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// parseObs reads the obs line of a script into a view.
func parseObs(t *testing.T, pod *corev1.Pod, words []string) View {
	t.Helper()
	v := View{Pod: pod, Obs: &runtime.Pod{UID: pod.UID}, Liveness: map[string]probe.Result{}, Startup: map[string]probe.Result{}}
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, w := range words {
		at := base.Add(time.Duration(i) * time.Second)
		switch w {
		case "none":
			continue
		case "ready", "notready", "noip":
			s := runtime.Sandbox{ID: fmt.Sprintf("s%d", i), Ready: w != "notready", HasNetwork: true, CreatedAt: at}
			if w == "ready" {
				s.IPs = []string{"10.0.0.1"}
			}
			v.Obs.Sandboxes = append([]runtime.Sandbox{s}, v.Obs.Sandboxes...)
			continue
		}
		name, state, ok := strings.Cut(w, "=")
		if !ok {
			t.Fatalf("what is %q?", w)
		}
		if kind, of, isProbe := strings.Cut(name, ":"); isProbe {
			r := map[string]probe.Result{"success": probe.Success, "failure": probe.Failure, "unknown": probe.Unknown}[state]
			m := v.Liveness
			if kind == "start" {
				m = v.Startup
			}
			m[v.Obs.Container(of).ID] = r
			continue
		}
		spec := pods.Container(pod, name)
		c := runtime.Container{ID: name + strconv.Itoa(i), Name: name, SandboxID: v.Obs.Sandboxes[0].ID, CreatedAt: at, Hash: HashContainer(spec)}
		state, code, _ := strings.Cut(state, ":")
		if strings.HasSuffix(state, "!") {
			c.Hash++
			state = strings.TrimSuffix(state, "!")
		}
		c.State = map[string]runtime.State{"running": runtime.Running, "exited": runtime.Exited, "created": runtime.Created, "unknown": runtime.Unknown}[state]
		if code != "" {
			n, _ := strconv.Atoi(code)
			c.ExitCode = int32(n)
		}
		v.Obs.Containers = append([]runtime.Container{c}, v.Obs.Containers...)
	}
	return v
}

func (a Actions) text(pod *corev1.Pod) string {
	var out []string
	if a.KillPod && (!a.CreateSandbox || a.SandboxID != "") {
		out = append(out, "killpod")
	}
	for _, r := range a.Reset {
		what := "reset:"
		if r.Kill {
			what = "killreset:"
		}
		out = append(out, what+r.Name)
	}
	for _, k := range a.Kill {
		out = append(out, fmt.Sprintf("kill:%s(%s)", k.Name, k.Message))
	}
	if a.CreateSandbox {
		out = append(out, fmt.Sprintf("sandbox#%d", a.Attempt))
	}
	for _, i := range a.Ephemeral {
		out = append(out, "eph:"+pod.Spec.EphemeralContainers[i].Name)
	}
	for _, i := range a.Init {
		out = append(out, "init:"+pod.Spec.InitContainers[i].Name)
	}
	for _, i := range a.Main {
		out = append(out, "main:"+pod.Spec.Containers[i].Name)
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, " ")
}

func TestStep(t *testing.T) {
	f, err := os.Open("testdata/step.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var name string
	var pod *corev1.Pod
	var v View
	cases := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		verb, rest, _ := strings.Cut(sc.Text(), " ")
		switch verb {
		case "case":
			name = rest
		case "pod":
			pod = podtest.Parse(t, strings.Fields(rest))
		case "obs":
			v = parseObs(t, pod, strings.Fields(rest))
			v.RestartAll = restartsAll(pod, v.Obs, &corev1.PodStatus{})
		case "want":
			cases++
			if got := Step(v).text(pod); got != rest {
				t.Errorf("%s:\n got %s\nwant %s", name, got, rest)
			}
		}
	}
	if cases < 30 {
		t.Errorf("only %d cases read", cases)
	}
}

func TestBackoff(t *testing.T) {
	now := time.Unix(1000, 0)
	b := NewBackoff(BackoffMax)
	var waits []time.Duration
	for range 8 {
		exited := now
		if until, held := b.Holds("c", exited, now); held {
			waits = append(waits, until.Sub(now))
			now = until
		} else {
			waits = append(waits, 0)
		}
		b.Next("c", exited, now)
		now = now.Add(time.Second)
	}
	want := "[0s 10s 20s 40s 1m20s 2m40s 5m0s 5m0s]"
	if got := fmt.Sprint(waits); got != want {
		t.Errorf("waits %s, want %s", got, want)
	}
	if _, held := b.Holds("c", now.Add(11*time.Minute), now.Add(11*time.Minute)); held {
		t.Error("a container that ran for eleven minutes is held back")
	}
}
