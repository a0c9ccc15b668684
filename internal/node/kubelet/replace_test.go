package kubelet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/client"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestVirtualReplacedContainer reads every status that the hub is told of a pod whose container makes place for its next run. A
// stop and a start that belong together are told as one step, as upstream's kubelet tells them, however long the image is pulled;
// what ends by itself, fails its readiness probe meanwhile or cannot be started again is told at once.
func TestVirtualReplacedContainer(t *testing.T) {
	const pull = 5 * time.Second
	patch := func(change string) func(*virtual, types.UID) {
		return func(v *virtual, _ types.UID) {
			if _, err := v.hub.Own().Patch(v.Context(), pod.client(), types.StrategicMergePatchType, []byte(change), metav1.PatchOptions{}); err != nil {
				v.Fatal(err)
			}
		}
	}
	newImage := patch(`{"spec":{"containers":[{"name":"a","image":"next"}]}}`)
	for name, c := range map[string]struct {
		spec    string
		probe   *corev1.Probe // of readiness
		refuses string        // the call that fails once the pod is up …
		times   int32         // … so often; 0: always
		change  func(v *virtual, uid types.UID)
		want    string
	}{
		"another image": {spec: "Always main:a", change: newImage, want: "running#0* running#1*"},
		"another image of a pod that never restarts": {spec: "Never main:a", change: newImage, want: "running#0* running#1*"},
		"another image of a sidecar":                 {spec: "Always side:a main:b", change: patch(`{"spec":{"initContainers":[{"name":"a","image":"next"}]}}`), want: "running#0* running#1*"},
		"another image that cannot be pulled":        {spec: "Always main:a", refuses: "Pull", change: newImage, want: "running#0* ErrImagePull#0"},
		"a start that fails":                         {spec: "Always main:a", refuses: "StartContainer", change: newImage, want: "running#0* RunContainerError#0"},
		"a failed liveness probe":                    {spec: "Always main:a?live", refuses: "ExecSync", times: 1, change: func(*virtual, types.UID) {}, want: "running#0* running#1*"},
		"a readiness probe that fails meanwhile": {spec: "Always main:a", refuses: "ExecSync", change: newImage,
			probe: &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 2}, want: "running#0* running#0 running#1"},
		"an end of its own": {spec: "Always main:a", change: func(v *virtual, uid types.UID) { v.rt.Exit(uid, "a", 3) },
			want: "running#0* exited#0 running#1*"},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(v *virtual) {
				p := podtest.Parse(v.T, strings.Fields(c.spec))
				if c.probe != nil {
					c.probe.ProbeHandler = corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"look"}}}
					p.Spec.Containers[0].ReadinessProbe = c.probe
				}
				for _, m := range p.Spec.Containers {
					if m.LivenessProbe != nil {
						m.LivenessProbe.PeriodSeconds, m.LivenessProbe.FailureThreshold = 1, 1
						m.LivenessProbe.ProbeHandler = corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"look"}}}
					}
				}
				uid := v.create(p)
				time.Sleep(5 * time.Second)
				told := v.told("a")
				v.rt.SetAbsent("next:latest")
				var refused atomic.Int32
				v.rt.SetFail(func(call, _ string) error {
					switch call {
					case "Pull":
						time.Sleep(pull)
					case "StartContainer":
						time.Sleep(time.Second / 2)
					}
					if call == c.refuses && (c.times == 0 || refused.Add(1) <= c.times) {
						return status.Error(codes.DeadlineExceeded, "no answer")
					}
					return nil
				})
				c.change(v, uid)
				time.Sleep(pull + 9*time.Second/10)
				if got := strings.Join(told(), " "); got != c.want {
					v.Errorf("told %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

// told collects what the hub says of one container of the pod from now on, without repetitions: its state, #restarts, * when ready.
func (v *virtual) told(container string) func() []string {
	ctx, cancel := context.WithCancel(v.Context())
	w, err := v.hub.Own().Watch(ctx, client.Ref{Resource: client.Pods, Namespace: "default"}, metav1.ListOptions{})
	if err != nil {
		v.Fatal(err)
	}
	out := make(chan []string, 1)
	go func() {
		var seen []string
		for e := range w.ResultChan() {
			p, ok := e.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			for _, st := range append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...) {
				if text := stateText(&st); st.Name == container && (len(seen) == 0 || seen[len(seen)-1] != text) {
					seen = append(seen, text)
				}
			}
		}
		out <- seen
	}()
	return func() []string { cancel(); w.Stop(); return <-out }
}

func stateText(st *corev1.ContainerStatus) string {
	text := "running"
	switch {
	case st.State.Terminated != nil:
		text = "exited"
	case st.State.Waiting != nil:
		text = st.State.Waiting.Reason
	}
	text = fmt.Sprintf("%s#%d", text, st.RestartCount)
	if st.Ready {
		text += "*"
	}
	return text
}
