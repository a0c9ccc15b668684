package kubelet

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/podhost"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/volume"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// real is a kubelet with a containerd of its own and a hub without a server.
type real struct {
	hub  *hub.Hub
	root client.Interface
	cri  *runtime.CRI
	cfg  Config
	stop func()
}

const busybox = "sampan.dev/busybox:test"

// newReal starts one, or skips the test. Pods need hostNetwork: there is no pod network.
func newReal(t *testing.T) *real {
	t.Helper()
	bin, _ := filepath.Abs("../../../bin")
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for _, f := range []string{"containerd", "containerd-shim-runc-v2", "runc", "pause.tar"} {
		if _, err := os.Stat(filepath.Join(bin, f)); err != nil {
			t.Skipf("needs bin/%s (make build)", f)
		}
	}
	image := busyboxImage(t)
	root, err := os.MkdirTemp("", "sampan-klt-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctd := &runtime.Containerd{
		Bin: filepath.Join(bin, "containerd"), Runc: filepath.Join(bin, "runc"),
		Root: filepath.Join(root, "c"), State: filepath.Join(root, "s"), NetNSDir: true,
		PauseImage: "sampan.dev/pause:1", PauseTar: filepath.Join(bin, "pause.tar"),
		CNIBinDirs: []string{filepath.Join(root, "cni")}, CNIConfDir: filepath.Join(root, "cni"), Log: log,
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- ctd.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	if err := runtime.ImportImage(ctx, ctd.Endpoint(), "k8s.io", bytes.NewReader(image)); err != nil {
		t.Fatal(err)
	}
	cri, err := runtime.Dial(ctd.Endpoint(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cri.Close() })
	r := &real{hub: newHub(t), cri: cri}
	r.root = r.hub.Own()
	door := r.hub.Door(api.Node("n1"), "kubelet")
	set := cache.NewSet(door, log)
	services := cache.For[*corev1.Service](set, client.Services, cache.Options{})
	sctx, scancel := context.WithCancel(context.Background())
	sdone := make(chan struct{})
	go func() { set.Run(sctx); close(sdone) }()
	t.Cleanup(func() { scancel(); <-sdone })
	r.cfg = Config{
		NodeName: "n1", RootDir: filepath.Join(root, "k"), LogDir: filepath.Join(root, "logs"), ContainerLogs: filepath.Join(root, "clogs"),
		Runtime: cri, Door: door, Services: services, Log: log, Register: true, ClusterDNS: []string{"10.96.0.10"},
		StaticPods: filepath.Join(root, "static"), PodKind: all.Kinds().Resource(client.Pods),
		CgroupRoot: "/sampan-test-" + filepath.Base(root), EvictionHard: map[string]string{},
	}
	t.Cleanup(func() { // after the kubelet has ended, before containerd does
		ctx := context.Background()
		pods, _ := cri.List(ctx)
		for _, p := range pods {
			for _, s := range p.Sandboxes {
				cri.StopSandbox(ctx, s.ID)
				cri.RemoveSandbox(ctx, s.ID)
			}
		}
		groups, err := cgroup.New("/sys/fs/cgroup", r.cfg.CgroupRoot, "cgroupfs", false)
		if err == nil {
			err = groups.RemoveAll()
		}
		if err != nil {
			t.Error(err)
		}
		v1, _ := filepath.Glob("/sys/fs/cgroup/*" + r.cfg.CgroupRoot)
		for _, dir := range append(v1, "/sys/fs/cgroup"+r.cfg.CgroupRoot) {
			os.Remove(dir)
		}
		if err := volume.UnmountBelow(r.cfg.RootDir); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(r.cfg.StaticPods, 0o755); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	return r
}

// busyboxImage makes a docker archive of the host's static busybox, or skips the test.
func busyboxImage(t *testing.T) []byte {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs a static busybox (busybox-static)")
	}
	if f, err := elf.Open(path); err != nil {
		t.Skip(err)
	} else if libs, _ := f.ImportedLibraries(); len(libs) > 0 {
		t.Skipf("%s is not static", path)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command(path, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	var layer, out bytes.Buffer
	lw, ow := tar.NewWriter(&layer), tar.NewWriter(&out)
	put := func(w *tar.Writer, h tar.Header, data []byte) {
		h.Size = int64(len(data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	for _, dir := range []string{"bin/", "tmp/"} {
		put(lw, tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	}
	put(lw, tar.Header{Name: "bin/busybox", Mode: 0o755}, program)
	for applet := range strings.FieldsSeq(string(list)) {
		if applet != "busybox" {
			put(lw, tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	lw.Close()
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`,
		goruntime.GOARCH, sha256.Sum256(layer.Bytes()))
	put(ow, tar.Header{Name: "config.json", Mode: 0o644}, []byte(config))
	put(ow, tar.Header{Name: "layer.tar", Mode: 0o644}, layer.Bytes())
	put(ow, tar.Header{Name: "manifest.json", Mode: 0o644}, []byte(`[{"Config":"config.json","RepoTags":["`+busybox+`"],"Layers":["layer.tar"]}]`))
	ow.Close()
	return out.Bytes()
}

// newHub runs a hub over the memory store, with what a controller would make of the default namespace.
func newHub(t *testing.T) *hub.Hub {
	t.Helper()
	key, err := pki.NewAuthority("sa")
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Config{
		Kinds: all.Kinds(), Store: memory.New(), Log: slog.New(slog.DiscardHandler), Bootstrap: true, DNS: true,
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
		IssuerURL: "https://kubernetes.default.svc.cluster.local", SigningKey: key.Key,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-h.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}
	if _, err := client.Create(t.Context(), h.Own(), client.ServiceAccounts, sa); err != nil {
		t.Fatal(err)
	}
	ca := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": "x"}}
	if _, err := client.Create(t.Context(), h.Own(), client.ConfigMaps, ca); err != nil {
		t.Fatal(err)
	}
	return h
}

func (r *real) paths() podhost.Paths { return podhost.Paths{Logs: r.cfg.LogDir} }

func (r *real) start(t *testing.T) {
	k, err := New(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	r.stop = func() { cancel(); <-done }
	t.Cleanup(r.stop)
}

func (r *real) pod(name string, cmd ...string) *corev1.Pod {
	grace := int64(5)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PodSpec{
		NodeName: "n1", HostNetwork: true, TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{Name: "c", Image: busybox, Command: cmd}},
	}}
}

// patience is how long something may take that is at once on a machine with nothing else to do: others may keep this one busy.
const patience = 3 * time.Minute

// wait returns the pod once it satisfies cond.
func (r *real) wait(t *testing.T, name string, what string, cond func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	begin := time.Now()
	var last *corev1.Pod
	for time.Since(begin) < patience {
		p, err := client.Get[*corev1.Pod](t.Context(), r.root, client.Pods, "default", name)
		if err != nil {
			p = nil
		}
		last = p
		if cond(p) {
			t.Logf("%s %s after %v", name, what, time.Since(begin).Round(time.Millisecond))
			return p
		}
		time.Sleep(5 * time.Millisecond)
	}
	if last != nil {
		b, _ := api.EncodeJSON(last)
		t.Logf("%s", b)
	}
	t.Fatalf("%s is not %s", name, what)
	return nil
}

func (r *real) create(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if _, err := client.Create(t.Context(), r.root, client.Pods, pod); err != nil {
		t.Fatal(err)
	}
}

func ready(p *corev1.Pod) bool {
	if p == nil {
		return false
	}
	c := pods.FindCondition(p.Status.Conditions, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

func phase(want corev1.PodPhase) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool { return p != nil && p.Status.Phase == want }
}

func (r *real) log(t *testing.T, p *corev1.Pod, c string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.paths().PodLogs(p), c, "0.log"))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestRealPod(t *testing.T) {
	r := newReal(t)
	r.create(t, r.pod("a", "sleep", "1000"))
	r.wait(t, "a", "ready", ready)

	// A restart of the kubelet changes nothing.
	before, _ := client.Get[*corev1.Pod](t.Context(), r.root, client.Pods, "default", "a")
	r.stop()
	r.start(t)
	time.Sleep(500 * time.Millisecond)
	after, _ := client.Get[*corev1.Pod](t.Context(), r.root, client.Pods, "default", "a")
	if after.ResourceVersion != before.ResourceVersion || after.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("a restart changed the pod: %v, then %v", before.Status, after.Status)
	}

	if err := client.Delete(t.Context(), r.root, client.Pods, "default", "a", ""); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a", "gone", func(p *corev1.Pod) bool { return p == nil })
}

func TestRealVolumesAndEnvironment(t *testing.T) {
	r := newReal(t)
	ctx := t.Context()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "cm"}, Data: map[string]string{"k": "one", "x": "y"}}
	if _, err := client.Create(ctx, r.root, client.ConfigMaps, cm); err != nil {
		t.Fatal(err)
	}
	sec := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sec"}, Data: map[string][]byte{"pw": []byte("hush")}}
	if _, err := client.Create(ctx, r.root, client.Secrets, sec); err != nil {
		t.Fatal(err)
	}
	p := r.pod("v", "sh", "-c", `echo "env $A $B $C $D $E $PRE_x"; id; ls -ln /vol/; cat /vol/cm/k /vol/sec/pw; cat /vol/down/labels; echo; cat /sub; cat /etc/hosts | head -1; touch /vol/empty/f; ls -ldn /vol/empty /vol/empty/f /vol/mem; grep -c /vol/mem /proc/mounts; echo bye > /dev/termination-log; wc -c < /var/run/secrets/kubernetes.io/serviceaccount/token; ls -l /vol/sec/..data/; sleep 1000`)
	p.Labels = map[string]string{"app": "v"}
	gid, uid := int64(2000), int64(1000)
	p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &gid, RunAsUser: &uid}
	c := &p.Spec.Containers[0]
	c.Env = []corev1.EnvVar{{Name: "A", Value: "a"}, {Name: "B", Value: "$(A)b"},
		{Name: "C", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}},
		{Name: "D", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "sec"}, Key: "pw"}}},
		{Name: "E", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "k"}}}}
	c.EnvFrom = []corev1.EnvFromSource{{Prefix: "PRE_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "cm", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}},
		{Name: "sec", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "sec"}}},
		{Name: "down", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}},
		{Name: "empty", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "mem", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
	}
	for _, name := range []string{"cm", "sec", "down", "empty", "mem"} {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/vol/" + name})
	}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "cm", MountPath: "/sub", SubPath: "k"}, corev1.VolumeMount{Name: "empty", MountPath: "/deep", SubPath: "a/b"})
	r.create(t, p)
	p = r.wait(t, "v", "ready", ready)
	time.Sleep(300 * time.Millisecond)
	t.Log(r.log(t, p, "c"))
	// An update of a config map shows up by itself.
	cm.Data["k"] = "two"
	if _, err := client.Update(ctx, r.root, client.ConfigMaps, cm); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for {
		b, err := os.ReadFile(filepath.Join(filepath.Join(r.cfg.RootDir, "pods", string(p.UID)), "volumes/kubernetes.io~configmap/cm/k"))
		if string(b) == "two" {
			break
		}
		if time.Since(begin) > patience {
			t.Fatal("not updated", err)
		}
		time.Sleep(time.Millisecond)
	}
	t.Log("config map updated after", time.Since(begin))
	zero := int64(1)
	if err := r.root.Delete(ctx, client.Ref{Resource: client.Pods, Namespace: "default", Name: "v"}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "v", "gone", func(p *corev1.Pod) bool { return p == nil })
	for begin := time.Now(); ; time.Sleep(time.Millisecond) { // it goes after the pod has: nothing tells when
		_, err := os.Stat(filepath.Join(r.cfg.RootDir, "pods", string(p.UID)))
		if os.IsNotExist(err) {
			break
		}
		if time.Since(begin) < patience {
			continue
		}
		t.Error("pod directory left", err)
		break
	}
}

func TestRealLifecycle(t *testing.T) {
	r := newReal(t)
	never := func(name string, cmd ...string) *corev1.Pod {
		p := r.pod(name, cmd...)
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		return p
	}
	r.create(t, never("ok", "true"))
	bad := never("bad", "sh", "-c", "echo why; exit 3")
	bad.Spec.Containers[0].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	r.create(t, bad)
	always := corev1.ContainerRestartPolicyAlways
	side := never("side", "sh", "-c", "sleep 1; ls /x")
	side.Spec.Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	m := []corev1.VolumeMount{{Name: "x", MountPath: "/x"}}
	side.Spec.Containers[0].VolumeMounts = m
	side.Spec.InitContainers = []corev1.Container{
		{Name: "i1", Image: busybox, Command: []string{"touch", "/x/one"}, VolumeMounts: m},
		{Name: "s1", Image: busybox, Command: []string{"sh", "-c", "trap 'echo term; exit 0' TERM; touch /x/side; while :; do sleep 0.1; done"}, RestartPolicy: &always, VolumeMounts: m,
			StartupProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", "/x/side"}}}, PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 10, SuccessThreshold: 1}},
		{Name: "i2", Image: busybox, Command: []string{"test", "-e", "/x/side"}, VolumeMounts: m},
	}
	r.create(t, side)
	crash := r.pod("crash", "false")
	r.create(t, crash)
	live := r.pod("live", "sh", "-c", "touch /tmp/ok; sleep 2; rm /tmp/ok; sleep 1000")
	live.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"cat", "/tmp/ok"}}}, PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 1, SuccessThreshold: 1}
	one := int64(1)
	live.Spec.TerminationGracePeriodSeconds = &one
	r.create(t, live)
	noimg := r.pod("noimg", "x")
	noimg.Spec.Containers[0].Image = "localhost:1/nothing:1"
	r.create(t, noimg)
	miss := r.pod("miss", "x")
	miss.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "nosuch"}}}}
	r.create(t, miss)
	hook := r.pod("hook", "sh", "-c", "while :; do sleep 0.1; done")
	hook.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "echo post > /dev/termination-log"}}},
		PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "echo pre >> /proc/1/fd/1"}}}}
	r.create(t, hook)
	nocmd := r.pod("nocmd", "/no/such/binary")
	r.create(t, nocmd)
	waiting := func(reason string) func(p *corev1.Pod) bool {
		return func(p *corev1.Pod) bool {
			return p != nil && len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].State.Waiting.Reason == reason
		}
	}
	show := func(p *corev1.Pod) { t.Logf("%s: %s %+v", p.Name, p.Status.Phase, p.Status.ContainerStatuses[0].State) }
	r.wait(t, "ok", "succeeded", phase(corev1.PodSucceeded))
	p := r.wait(t, "bad", "failed", phase(corev1.PodFailed))
	if st := p.Status.ContainerStatuses[0].State.Terminated; st.ExitCode != 3 || st.Message != "why\n" || st.Reason != "Error" {
		t.Errorf("bad: %+v", st)
	}
	p = r.wait(t, "miss", "waiting", waiting("CreateContainerConfigError"))
	t.Log(p.Status.ContainerStatuses[0].State.Waiting)
	p = r.wait(t, "noimg", "waiting", waiting("ErrImagePull"))
	t.Log(p.Status.ContainerStatuses[0].State.Waiting)
	p = r.wait(t, "nocmd", "waiting", waiting("RunContainerError"))
	t.Log(p.Status.ContainerStatuses[0].State.Waiting)
	p = r.wait(t, "crash", "backing off", waiting("CrashLoopBackOff"))
	t.Log(p.Status.ContainerStatuses[0].State.Waiting, p.Status.ContainerStatuses[0].LastTerminationState.Terminated)
	p = r.wait(t, "side", "succeeded", phase(corev1.PodSucceeded))
	t.Log(r.log(t, p, "c"), r.log(t, p, "s1"))
	for _, s := range p.Status.InitContainerStatuses {
		t.Logf("%s %+v", s.Name, s.State)
	}
	r.wait(t, "noimg", "backing off", waiting("ImagePullBackOff"))
	p = r.wait(t, "live", "restarted", func(p *corev1.Pod) bool {
		return p != nil && p.Status.ContainerStatuses[0].RestartCount == 1 && ready(p)
	})
	show(p)
	r.wait(t, "hook", "ready", ready)
	if err := client.Delete(t.Context(), r.root, client.Pods, "default", "hook", ""); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "hook", "gone", func(p *corev1.Pod) bool { return p == nil })
	events, err := client.ListAll[*corev1.Event](t.Context(), r.root, client.Events, "default", metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		t.Logf("%-8s %-7s %-22s %s x%d", e.InvolvedObject.Name, e.Type, e.Reason, e.Message, e.Count)
	}
}

func TestRealStaticPod(t *testing.T) {
	r := newReal(t)
	file := filepath.Join(r.cfg.StaticPods, "web.yaml")
	write := func(cmd string) {
		t.Helper()
		text := "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  hostNetwork: true\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: c, image: " + busybox + ", command: [sleep, \"" + cmd + "\"]}\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("1000")
	p := r.wait(t, "web-n1", "ready", ready)
	if p.Annotations[pods.AnnotationMirror] == "" || p.Annotations[pods.AnnotationSource] != "file" || p.OwnerReferences[0].Kind != "Node" {
		t.Errorf("%+v", p.ObjectMeta)
	}
	// A restart of the kubelet leaves it alone.
	id := p.Status.ContainerStatuses[0].ContainerID
	r.stop()
	r.start(t)
	time.Sleep(500 * time.Millisecond)
	p = r.wait(t, "web-n1", "ready", ready)
	if p.Status.ContainerStatuses[0].ContainerID != id {
		t.Error("a restart of the kubelet restarted a static pod")
	}
	// A mirror that is deleted comes back.
	if err := client.Delete(t.Context(), r.root, client.Pods, "default", "web-n1", ""); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "web-n1", "mirrored again", func(n *corev1.Pod) bool { return n != nil && n.UID != p.UID && ready(n) })
	// A changed file is a new pod.
	write("1001")
	r.wait(t, "web-n1", "replaced", func(n *corev1.Pod) bool {
		return n != nil && ready(n) && n.Spec.Containers[0].Command[1] == "1001" && n.Status.ContainerStatuses[0].ContainerID != id
	})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "web-n1", "gone", func(n *corev1.Pod) bool { return n == nil })
	for {
		pods, err := r.cri.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(pods) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
