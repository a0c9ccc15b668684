package kubelet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/probe"
	"sampan.dev/internal/node/runtime"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
)

// probes runs the probes of one pod: for every running container its startup probe, and after that has succeeded (or
// without one) its liveness and readiness probes.
type probes struct {
	base *base
	pod  *record
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		running map[string]map[probe.Kind]context.CancelFunc // by container id
		results map[probe.Kind]map[string]probe.Result
	}
}

func newProbes(b *base, pod *record) *probes {
	p := &probes{base: b, pod: pod}
	p.mu.running = map[string]map[probe.Kind]context.CancelFunc{}
	p.mu.results = map[probe.Kind]map[string]probe.Result{probe.Liveness: {}, probe.Readiness: {}, probe.Startup: {}}
	return p
}

// results are copies of the readiness and startup results, for the status.
func (p *probes) results() (readiness, startup map[string]probe.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.mu.results[probe.Readiness]), maps.Clone(p.mu.results[probe.Startup])
}

// verdicts are copies of the liveness and startup results, for the step.
func (p *probes) verdicts() (liveness, startup map[string]probe.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.mu.results[probe.Liveness]), maps.Clone(p.mu.results[probe.Startup])
}

// sync starts and stops probes so that they fit what runs. A terminating pod keeps its readiness probes only, and so does a
// container that has been stopped to be started again: while its image is pulled, the probe tells that it does not answer.
func (p *probes) sync(pod *corev1.Pod, obs *runtime.Pod, st stage, replaced map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	live := map[string]bool{}
	if st <= terminating {
		for i := range obs.Containers {
			c := &obs.Containers[i]
			spec := pods.Container(pod, c.Name)
			giving := c.State == runtime.Exited && replaced[c.ID] && p.mu.running[c.ID] != nil
			if spec != nil && (c.State == runtime.Running || giving) {
				live[c.ID] = true
				p.fitLocked(pod, spec, c, cmp.Or(append(obs.IPs(), hostIP(pod, p.base)...)...), st == terminating || giving)
			}
		}
	}
	for id, kinds := range p.mu.running {
		if !live[id] {
			for _, cancel := range kinds {
				cancel()
			}
			delete(p.mu.running, id)
			for _, results := range p.mu.results {
				delete(results, id)
			}
		}
	}
}

func hostIP(pod *corev1.Pod, b *base) []string {
	if pod.Spec.HostNetwork {
		return b.node.IPs()
	}
	return nil
}

// fitLocked makes the probes of one running container what they should be.
func (p *probes) fitLocked(pod *corev1.Pod, spec *corev1.Container, c *runtime.Container, ip string, ending bool) {
	kinds := p.mu.running[c.ID]
	if kinds == nil {
		kinds = map[probe.Kind]context.CancelFunc{}
		p.mu.running[c.ID] = kinds
		p.seedLocked(spec, c)
	}
	started := spec.StartupProbe == nil || p.mu.results[probe.Startup][c.ID] == probe.Success
	want := map[probe.Kind]*corev1.Probe{}
	if started {
		want[probe.Readiness] = spec.ReadinessProbe
	}
	if !ending {
		if started {
			want[probe.Liveness] = spec.LivenessProbe
		} else {
			want[probe.Startup] = spec.StartupProbe
		}
	}
	for kind, cancel := range kinds {
		if want[kind] == nil {
			cancel()
		}
	}
	for kind, pr := range want {
		if pr == nil || kinds[kind] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		kinds[kind] = cancel
		wk := p.worker(pod, spec, c, ip, kind, pr)
		p.wg.Go(func() { wk.Run(ctx) })
	}
}

// seedLocked sets what counts before the first probe: not ready, not started. A container that ran before this process did
// keeps what the hub was told of it, so that a restart of ours does not make it unready.
func (p *probes) seedLocked(spec *corev1.Container, c *runtime.Container) {
	before := c.StartedAt.Before(p.base.began)
	var was *corev1.ContainerStatus
	if before {
		s := p.pod.current().Status
		if was = pods.FindStatus(s.ContainerStatuses, c.Name); was == nil {
			was = pods.FindStatus(s.InitContainerStatuses, c.Name)
		}
		if was != nil && pods.BareID(was.ContainerID) != c.ID {
			was = nil
		}
	}
	if spec.StartupProbe != nil && was != nil && was.Started != nil && *was.Started {
		p.mu.results[probe.Startup][c.ID] = probe.Success
	}
	if spec.ReadinessProbe != nil && was == nil {
		p.mu.results[probe.Readiness][c.ID] = probe.Failure
	}
}

func (p *probes) worker(pod *corev1.Pod, spec *corev1.Container, c *runtime.Container, ip string, kind probe.Kind, pr *corev1.Probe) *probe.Worker {
	b, id := p.base, c.ID
	return &probe.Worker{
		Kind: kind, Probe: pr, Started: c.StartedAt, Late: c.StartedAt.Before(b.began),
		Target: probe.Target{Container: spec, PodIP: ip, Exec: func(ctx context.Context, cmd []string, timeout time.Duration) ([]byte, int32, error) {
			out, errOut, code, err := b.rt.ExecSync(ctx, id, cmd, timeout)
			if status.Code(err) == codes.DeadlineExceeded {
				err = timedOut{fmt.Sprintf("command timed out: %q timed out after %s", strings.Join(cmd, " "), timeout)}
			}
			return append(out, errOut...), code, err
		}},
		Report: func(r probe.Result) {
			p.mu.Lock()
			was, known := p.mu.results[kind][id]
			if p.mu.running[id] != nil {
				p.mu.results[kind][id] = r
			}
			p.mu.Unlock()
			if !known || was != r {
				p.pod.poke()
			}
		},
		Count: func(r probe.Result) {
			b.probed.Add(probe.Counted{Kind: kind, Result: r, Namespace: pod.Namespace, Pod: pod.Name, Container: c.Name, UID: pod.UID})
		},
		Event: func(reason, message string) {
			b.events.Pod(pod, c.Name, corev1.EventTypeWarning, reason, "%s", message)
		},
	}
}

// timedOut is the error of a command that took too long.
type timedOut struct{ text string }

func (t timedOut) Error() string        { return t.text }
func (t timedOut) Is(target error) bool { return target == context.DeadlineExceeded }

// stopAll ends every probe and waits for it.
func (p *probes) stopAll() {
	p.mu.Lock()
	for _, kinds := range p.mu.running {
		for _, cancel := range kinds {
			cancel()
		}
	}
	clear(p.mu.running)
	p.mu.Unlock()
	p.wg.Wait()
}
