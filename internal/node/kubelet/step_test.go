package kubelet

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/node/probe"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// parseObs reads the obs line of a script into a view.
func parseObs(t *testing.T, pod *corev1.Pod, words []string) view {
	t.Helper()
	v := view{pod: pod, obs: &runtime.Pod{UID: pod.UID}, liveness: map[string]probe.Result{}, startup: map[string]probe.Result{}}
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
			v.obs.Sandboxes = append([]runtime.Sandbox{s}, v.obs.Sandboxes...)
			continue
		}
		name, state, ok := strings.Cut(w, "=")
		if !ok {
			t.Fatalf("what is %q?", w)
		}
		if kind, of, isProbe := strings.Cut(name, ":"); isProbe {
			r := map[string]probe.Result{"success": probe.Success, "failure": probe.Failure, "unknown": probe.Unknown}[state]
			m := v.liveness
			if kind == "start" {
				m = v.startup
			}
			m[v.obs.Container(of).ID] = r
			continue
		}
		spec := containerSpec(pod, name)
		c := runtime.Container{ID: name + strconv.Itoa(i), Name: name, SandboxID: v.obs.Sandboxes[0].ID, CreatedAt: at, Hash: hashContainer(spec)}
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
		v.obs.Containers = append([]runtime.Container{c}, v.obs.Containers...)
	}
	return v
}

func (a actions) text(pod *corev1.Pod) string {
	var out []string
	if a.KillPod && (!a.CreateSandbox || a.SandboxID != "") {
		out = append(out, "killpod")
	}
	for _, k := range a.Kill {
		out = append(out, fmt.Sprintf("kill:%s(%s)", k.name, k.message))
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
	var v view
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
		case "want":
			cases++
			if got := step(v).text(pod); got != rest {
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
	b := backoff{}
	var waits []time.Duration
	for range 8 {
		exited := now
		if until, held := b.holds("c", exited, now); held {
			waits = append(waits, until.Sub(now))
			now = until
		} else {
			waits = append(waits, 0)
		}
		b.next("c", exited, now)
		now = now.Add(time.Second)
	}
	want := "[0s 10s 20s 40s 1m20s 2m40s 5m0s 5m0s]"
	if got := fmt.Sprint(waits); got != want {
		t.Errorf("waits %s, want %s", got, want)
	}
	if _, held := b.holds("c", now.Add(11*time.Minute), now.Add(11*time.Minute)); held {
		t.Error("a container that ran for eleven minutes is held back")
	}
}
