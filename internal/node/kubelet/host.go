package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/metrics"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/serve"
	"sampan.dev/internal/node/stats"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

var _ serve.Host = hostRun{}

// Pods implements serve.Host.
func (k *Kubelet) Pods() []*corev1.Pod {
	list := k.roster.all()
	out := make([]*corev1.Pod, len(list))
	for i, rec := range list {
		out[i] = rec.current()
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return out
}

// Pod implements serve.Host. Of several pods of that name (one going, one come anew) it is the one that is not going.
func (k *Kubelet) Pod(namespace, name string) (*corev1.Pod, bool) {
	var found *corev1.Pod
	for _, p := range k.Pods() {
		if p.Namespace == namespace && p.Name == name && (found == nil || found.DeletionTimestamp != nil) {
			found = p
		}
	}
	return found, found != nil
}

// RunningPods implements serve.Host.
func (k *Kubelet) RunningPods(ctx context.Context) ([]*corev1.Pod, error) {
	pods, err := k.rt.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []*corev1.Pod
	for _, p := range pods {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID}}
		for _, c := range p.Containers {
			if c.State == runtime.Running {
				pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: c.Name, Image: c.Image})
			}
		}
		if len(pod.Spec.Containers) > 0 {
			out = append(out, pod)
		}
	}
	return out, nil
}

// findRun looks for one container run among all pods.
func (k *Kubelet) findRun(ctx context.Context, id string) (*runtime.Container, error) {
	pods, err := k.rt.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		for i := range p.Containers {
			if p.Containers[i].ID != id {
				continue
			}
			full, err := k.rt.Pod(ctx, p.UID)
			if err != nil {
				return nil, err
			}
			for j := range full.Containers {
				if full.Containers[j].ID == id {
					return &full.Containers[j], nil
				}
			}
		}
	}
	return nil, fmt.Errorf("unable to retrieve container logs for %s://%s", k.health.Name(), id)
}

// LogPath implements serve.Host.
func (k *Kubelet) LogPath(ctx context.Context, id string) (string, error) {
	c, err := k.findRun(ctx, id)
	if err != nil {
		return "", err
	}
	return c.LogPath, nil
}

// Running implements serve.Host.
func (k *Kubelet) Running(ctx context.Context, id string) (bool, error) {
	c, err := k.findRun(ctx, id)
	if err != nil {
		return false, nil // removed: it does not run
	}
	return c.State == runtime.Running, nil
}

// running finds the running container of that name.
func (k *Kubelet) running(ctx context.Context, pod *corev1.Pod, name string) (string, error) {
	p, err := k.rt.Pod(ctx, pod.UID)
	if err != nil {
		return "", err
	}
	if c := p.Container(name); c != nil && c.State == runtime.Running {
		return c.ID, nil
	}
	return "", fmt.Errorf("container not found (%q)", name)
}

// Exec implements serve.Host.
func (k *Kubelet) Exec(ctx context.Context, pod *corev1.Pod, container string, cmd []string, s serve.Stdio) (*url.URL, error) {
	id, err := k.running(ctx, pod, container)
	if err != nil {
		return nil, err
	}
	return k.rt.Exec(ctx, id, cmd, runtime.Stdio(s))
}

// Attach implements serve.Host. A container without a terminal of its own is attached to without one.
func (k *Kubelet) Attach(ctx context.Context, pod *corev1.Pod, container string, s serve.Stdio) (*url.URL, error) {
	id, err := k.running(ctx, pod, container)
	if err != nil {
		return nil, err
	}
	if c := pods.Container(pod, container); c != nil {
		s.TTY = c.TTY
	}
	return k.rt.Attach(ctx, id, runtime.Stdio(s))
}

// PortForward implements serve.Host.
func (k *Kubelet) PortForward(ctx context.Context, pod *corev1.Pod, ports []int32) (*url.URL, error) {
	p, err := k.rt.Pod(ctx, pod.UID)
	if err != nil {
		return nil, err
	}
	if len(p.Sandboxes) == 0 {
		return nil, fmt.Errorf("failed to find sandboxID for pod %s", pods.Describe(pod))
	}
	return k.rt.PortForward(ctx, p.Sandboxes[0].ID, ports)
}

// hostRun is the kubelet with the one method of serve.Host whose name (Run) is that of a component's life.
type hostRun struct{ *Kubelet }

// RunCommand runs a command in a container and returns its output.
func (k *Kubelet) RunCommand(ctx context.Context, pod *corev1.Pod, container string, cmd []string) ([]byte, error) {
	id, err := k.running(ctx, pod, container)
	if err != nil {
		return nil, err
	}
	out, errOut, code, err := k.rt.ExecSync(ctx, id, cmd, 0)
	out = append(out, errOut...)
	if err == nil && code != 0 {
		err = fmt.Errorf("command terminated with exit code %d", code)
	}
	return out, err
}

// Run implements serve.Host.
func (h hostRun) Run(ctx context.Context, pod *corev1.Pod, container string, cmd []string) ([]byte, error) {
	return h.RunCommand(ctx, pod, container, cmd)
}

// Host is the kubelet as its HTTPS server sees it.
func (k *Kubelet) Host() serve.Host { return hostRun{k} }

// Healthy implements serve.Host: the runtime answers.
func (k *Kubelet) Healthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := k.rt.Version(ctx); err != nil {
		return errors.New("container runtime does not answer")
	}
	return nil
}

// Configz implements serve.Host.
func (k *Kubelet) Configz() any {
	d := func(v time.Duration) metav1.Duration { return metav1.Duration{Duration: v} }
	reservation, swap := k.cfg.Memory.Policies()
	return map[string]any{
		"memoryReservationPolicy": reservation, "memorySwap": map[string]string{"swapBehavior": swap}, "singleProcessOOMKill": k.cfg.Memory.OneProcess || !k.cgroups.Unified(),
		"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
		"staticPodPath": k.cfg.StaticPods, "staticPodURL": k.cfg.ManifestURL, "port": k.cfg.Port,
		"clusterDomain": k.cfg.ClusterDomain, "clusterDNS": k.cfg.ClusterDNS, "resolvConf": k.cfg.ResolvConf,
		"nodeStatusUpdateFrequency": d(k.cfg.StatusEvery), "nodeStatusReportFrequency": d(k.cfg.ReportEvery),
		"nodeLeaseDurationSeconds": int(k.cfg.LeaseDuration / time.Second), "cgroupRoot": k.cfg.CgroupRoot, "cgroupDriver": k.cfg.CgroupDriver,
		"maxPods": k.cfg.MaxPods, "podPidsLimit": k.cfg.PodPids, "evictionHard": k.cfg.EvictionHard,
		"containerLogMaxSize": fmt.Sprint(k.cfg.LogMaxSize), "containerLogMaxFiles": k.cfg.LogMaxFiles,
		"systemReserved": k.cfg.SystemReserved, "kubeReserved": k.cfg.KubeReserved, "allowedUnsafeSysctls": k.cfg.AllowedUnsafeSysctls,
		"registerNode": k.cfg.Register, "registerWithTaints": k.cfg.Taints, "containerRuntimeEndpoint": k.cfg.RuntimeEndpoint,
		"podLogsDir": k.cfg.LogDir, "enableServer": true, "cgroupsPerQOS": !k.cfg.NoCgroups,
	}
}

// Summary implements serve.Host.
func (k *Kubelet) Summary(ctx context.Context, onlyCPUAndMemory bool) (*statsv1.Summary, error) {
	list, err := k.rt.Stats(ctx)
	if err != nil {
		return nil, err
	}
	out := &statsv1.Summary{Pods: []statsv1.PodStats{}}
	out.Node.NodeName, out.Node.StartTime = k.cfg.NodeName, metav1.NewTime(k.began)
	if u, ok := k.cgroups.Root(); ok {
		out.Node.CPU = stats.CPU(u, k.rates.Rate("/", u.At, u.CPU))
		mem := k.node.Capacity()[corev1.ResourceMemory]
		out.Node.Memory, out.Node.IO = stats.Memory(u, uint64(mem.Value())), stats.IO(u)
	}
	if !onlyCPUAndMemory {
		out.Node.Network, out.Node.Fs = stats.Network(0), stats.FS(k.cfg.RootDir)
		out.Node.Runtime = &statsv1.RuntimeStats{ImageFs: stats.FS(k.cfg.RootDir), ContainerFs: stats.FS(k.cfg.RootDir)}
	}
	live := map[string]bool{"/": true} // whose readings are kept
	for _, s := range list {
		live[s.GetAttributes().GetId()] = true
	}
	for _, pod := range k.Pods() {
		live[string(pod.UID)] = true
		ps := statsv1.PodStats{PodRef: statsv1.PodReference{Name: pod.Name, Namespace: pod.Namespace, UID: string(pod.UID)}, Containers: []statsv1.ContainerStats{}}
		if pod.Status.StartTime != nil {
			ps.StartTime = *pod.Status.StartTime
		}
		for _, s := range list {
			if s.GetAttributes().GetLabels()[runtime.LabelPodUID] != string(pod.UID) {
				continue
			}
			name := s.GetAttributes().GetMetadata().GetName()
			started := time.Time{}
			if cs := pods.FindStatus(append(slices.Clone(pod.Status.ContainerStatuses), pod.Status.InitContainerStatuses...), name); cs != nil && cs.State.Running != nil {
				started = cs.State.Running.StartedAt.Time
			}
			ps.Containers = append(ps.Containers, stats.Container(s, name, started, k.rates))
		}
		if len(ps.Containers) == 0 {
			continue
		}
		if u, ok := k.cgroups.Usage(podspec.Cgroup(pod)); ok {
			ps.CPU, ps.Memory = stats.CPU(u, k.rates.Rate(string(pod.UID), u.At, u.CPU)), stats.Memory(u, u.Limit)
			ps.IO = stats.IO(u)
			ps.ProcessStats = &statsv1.ProcessStats{ProcessCount: &u.Pids}
		}
		if !onlyCPUAndMemory {
			k.addFiles(ctx, pod, &ps)
		}
		out.Pods = append(out.Pods, ps)
	}
	k.rates.Keep(func(key string) bool { return live[key] })
	return out, nil
}

// Metrics are the handlers of the kubelet's resource metrics.
func (k *Kubelet) Metrics() serve.Metrics {
	text := func(write func(w http.ResponseWriter, s *statsv1.Summary)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := k.Summary(r.Context(), true)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			write(w, s)
		})
	}
	return serve.Metrics{
		Kubelet: k.counts.Handler(k.gauges),
		Probes: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			k.probed.Write(w)
		}),
		Resource: text(func(w http.ResponseWriter, s *statsv1.Summary) { stats.Resource(w, s) }),
		CAdvisor: text(func(w http.ResponseWriter, s *statsv1.Summary) { stats.CAdvisor(w, s) }),
	}
}

// gauges are what of the node is seen when somebody asks.
func (k *Kubelet) gauges() []metrics.Gauge {
	s := metrics.State{Node: k.cfg.NodeName, Version: k.cfg.Version, CgroupVersion: 1, Containers: map[string]int{}}
	if k.cgroups.Unified() {
		s.CgroupVersion = 2
	}
	for _, rec := range k.roster.all() {
		pod, active := rec.active()
		s.Count(pod, pods.IsStatic(pod), active)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, _ := k.rt.List(ctx) // one that does not answer runs nothing that anybody knows of
	for _, p := range list {
		if slices.ContainsFunc(p.Sandboxes, func(sb runtime.Sandbox) bool { return sb.Ready }) {
			s.Sandboxes++
		}
		for i := range p.Containers {
			s.Containers[p.Containers[i].State.String()]++
		}
	}
	return append(s.Gauges(), metrics.Volumes(k.claims(ctx))...)
}

// claims are how full the volumes of pods' claims are.
func (k *Kubelet) claims(ctx context.Context) (out []statsv1.VolumeStats) {
	for _, pod := range k.Pods() {
		ps := statsv1.PodStats{}
		k.addClaims(ctx, pod, &ps)
		out = append(out, ps.VolumeStats...)
	}
	return out
}

// removeVolumes removes the directories that the node's annotations want removed, and says so there.
func (k *Kubelet) removeVolumes(ctx context.Context, node *corev1.Node) {
	names := k.own.Asked(node)
	if len(names) == 0 || k.own.Dir == "" {
		return
	}
	k.wg.Go(func() {
		k.removing.Lock()
		defer k.removing.Unlock()
		for _, name := range names {
			if err := k.own.Remove(name); err != nil {
				k.cfg.Log.Warn("volume not removed", "volume", name, "error", err)
				continue // the next change of the node, a heartbeat at the latest, tries again
			}
			done := map[string]any{"metadata": map[string]any{"annotations": map[string]any{volumes.RemovePrefix + name: volumes.RemoveDone}}}
			if _, err := client.MergePatch(ctx, k.cfg.Door, client.Ref{Resource: client.Nodes, Name: k.cfg.NodeName}, done); err != nil && ctx.Err() == nil {
				k.cfg.Log.Warn("removal of a volume not told", "volume", name, "error", err)
			}
		}
	})
}
