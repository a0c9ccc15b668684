package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	sandboxAPI "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What is read by field numbers is what the CRI's own package writes.
func TestPodConfig(t *testing.T) {
	node := cri.NamespaceMode_NODE
	for _, r := range []struct {
		name string
		in   *cri.PodSandboxConfig
		want podConfig
	}{
		{"empty", &cri.PodSandboxConfig{}, podConfig{}},
		{"all", &cri.PodSandboxConfig{
			Metadata: &cri.PodSandboxMetadata{Name: "n", Attempt: 7}, Hostname: "web-0", Labels: map[string]string{"a": "b"},
			DnsConfig: &cri.DNSConfig{Servers: []string{"10.0.0.10", "::1"}, Searches: []string{"a", "b"}, Options: []string{"ndots:5"}},
			Linux: &cri.LinuxPodSandboxConfig{
				CgroupParent: "/kubepods/x", Sysctls: map[string]string{"kernel.shm_rmid_forced": "1", "net.a": ""},
				SecurityContext: &cri.LinuxSandboxSecurityContext{Privileged: true, NamespaceOptions: &cri.NamespaceOption{Network: node, Pid: cri.NamespaceMode_CONTAINER, Ipc: node, TargetId: "t"}},
				Resources:       &cri.LinuxContainerResources{CpuShares: 5},
			},
		}, podConfig{
			hostname: "web-0", dns: true, servers: []string{"10.0.0.10", "::1"}, searches: []string{"a", "b"}, options: []string{"ndots:5"},
			cgroupParent: "/kubepods/x", network: nodeMode, pid: 1, ipc: nodeMode, sysctls: map[string]string{"kernel.shm_rmid_forced": "1", "net.a": ""},
		}},
		{"no name servers", &cri.PodSandboxConfig{DnsConfig: &cri.DNSConfig{}}, podConfig{dns: true}},
		{"user namespace", withUsers(&cri.UserNamespace{Mode: cri.NamespaceMode_POD}), podConfig{userNamespace: true}},
		{"the host's users", withUsers(&cri.UserNamespace{Mode: node}), podConfig{}},
	} {
		b, err := proto.Marshal(r.in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readPodConfig(b)
		if err != nil {
			t.Fatal(err)
		}
		if r.want.sysctls == nil {
			r.want.sysctls = map[string]string{}
		}
		if !reflect.DeepEqual(*got, r.want) {
			t.Errorf("%s: %+v, want %+v", r.name, *got, r.want)
		}
		if len(b) > 0 {
			if _, err := readPodConfig(b[:len(b)-1]); err == nil {
				t.Errorf("%s: cut short, and nobody minds", r.name)
			}
		}
	}
	if stateReady != cri.PodSandboxState_SANDBOX_READY.String() || stateNotReady != cri.PodSandboxState_SANDBOX_NOTREADY.String() {
		t.Error("states have other names")
	}
}

func withUsers(u *cri.UserNamespace) *cri.PodSandboxConfig {
	return &cri.PodSandboxConfig{Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
		NamespaceOptions: &cri.NamespaceOption{UsernsOptions: u},
	}}}
}

// sandboxRig is a rig with a program that holds namespaces, built from its source.
type sandboxRig struct {
	*rig
	svc *sandboxService
}

func newSandboxRig(t *testing.T) *sandboxRig {
	r := newRig(t)
	pause := filepath.Join(r.dir, "pause")
	if out, err := exec.Command("gcc", "-Os", "-static", "-o", pause, "../tools/pause/pause.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return &sandboxRig{r, newSandboxService(pause, filepath.Join(r.dir, "state"), func() {}, func() {})}
}

// netns starts a process in a network namespace of its own and returns the namespace's path.
func (r *sandboxRig) netns() string {
	r.Helper()
	return r.netnsWith(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
}

// netnsOf is a network namespace that belongs to a user namespace in which users are numbered from first on.
func (r *sandboxRig) netnsOf(first int) string {
	r.Helper()
	users := []syscall.SysProcIDMap{{HostID: first, Size: 1 << 16}}
	return r.netnsWith(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, UidMappings: users, GidMappings: users, GidMappingsEnableSetgroups: true})
}

func (r *sandboxRig) netnsWith(attr *syscall.SysProcAttr) string {
	r.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = attr
	r.must(cmd.Start())
	r.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
}

func (r *sandboxRig) create(id, netns string, c *cri.PodSandboxConfig) error {
	r.Helper()
	bundle := filepath.Join(r.dir, "bundles", id)
	work := filepath.Join(r.dir, "root", "io.containerd.sandbox.controller.v1.shim", "test", id)
	r.must(os.MkdirAll(bundle, 0o700))
	r.must(os.MkdirAll(work, 0o700))
	if err := os.Symlink(work, filepath.Join(bundle, "work")); err != nil && !os.IsExist(err) {
		r.Fatal(err)
	}
	b, err := proto.Marshal(c)
	r.must(err)
	_, err = r.svc.CreateSandbox(r.ctx, &sandboxAPI.CreateSandboxRequest{SandboxID: id, BundlePath: bundle, NetnsPath: netns, Options: &anypb.Any{Value: b}})
	return errgrpc.ToNative(err)
}

func (r *sandboxRig) begin(id string) (uint32, error) {
	s, err := r.svc.StartSandbox(r.ctx, &sandboxAPI.StartSandboxRequest{SandboxID: id})
	return s.GetPid(), errgrpc.ToNative(err)
}

func (r *sandboxRig) state(id string) string {
	r.Helper()
	s, err := r.svc.SandboxStatus(r.ctx, &sandboxAPI.SandboxStatusRequest{SandboxID: id})
	r.must(err)
	return s.State
}

// own are the kinds of namespaces in which a process is not with us.
func (r *sandboxRig) own(pid uint32) string {
	r.Helper()
	var out []string
	for _, kind := range []string{"ipc", "mnt", "net", "pid", "user", "uts"} {
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		r.must(err)
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		r.must(err)
		if its != ours {
			out = append(out, kind)
		}
	}
	return strings.Join(out, " ")
}

func (r *sandboxRig) read(path string) string {
	r.Helper()
	b, err := os.ReadFile(path)
	r.must(err)
	return string(b)
}

// inside runs a program in namespaces of a sandbox.
func (r *sandboxRig) inside(pid uint32, args ...string) string {
	r.Helper()
	out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(pid), "-n", "-u", "-i"}, args...)...).CombinedOutput()
	if err != nil {
		r.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestLifeOfASandbox(t *testing.T) {
	r := newSandboxRig(t)
	netns := r.netns()
	r.must(r.create("s", netns, &cri.PodSandboxConfig{
		Hostname:  "web-0",
		DnsConfig: &cri.DNSConfig{Servers: []string{"10.0.0.10"}, Searches: []string{"a", "b"}, Options: []string{"ndots:5"}},
		Linux:     &cri.LinuxPodSandboxConfig{Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "kernel/shm_rmid_forced": "1"}},
	}))
	if err := r.create("s", netns, &cri.PodSandboxConfig{}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a second of that name: %v", err)
	}
	if got := r.state("s"); got != stateNotReady {
		t.Errorf("before it is started: %s", got)
	}
	pid, err := r.begin("s")
	r.must(err)
	if got := r.state("s"); got != stateReady {
		t.Errorf("started: %s", got)
	}
	if _, err := r.begin("s"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("started again: %v", err)
	}

	if got := r.own(pid); got != "ipc mnt net pid uts" {
		t.Errorf("namespaces of its own: %s", got)
	}
	if got := r.inside(pid, "hostname"); got != "web-0" {
		t.Errorf("hostname %s", got)
	}
	for name, want := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv4/ip_unprivileged_port_start": "0", "net/ipv4/ping_group_range": "0\t2147483647", "kernel/shm_rmid_forced": "1",
	} {
		if got := r.inside(pid, "cat", "/proc/sys/"+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// Nothing is to be had of it: no files, no privileges, no arguments.
	root, err := os.ReadDir(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil || len(root) > 0 {
		t.Errorf("its root has %v (%v)", root, err)
	}
	status := r.read(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range []string{"Name:\tpause\n", "Uid:\t65535\t65535\t65535\t65535\n", "Gid:\t65535\t", "Groups:\t \n", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(status, line) {
			t.Errorf("no %q in\n%s", line, status)
		}
	}
	if got := strings.TrimRight(r.read(fmt.Sprintf("/proc/%d/cmdline", pid)), "\x00"); got != "/pause" {
		t.Errorf("arguments %q", got)
	}

	files := filepath.Join(r.dir, "root/io.containerd.grpc.v1.cri/sandboxes/s")
	for name, want := range map[string]string{"hostname": "web-0\n", "hosts": r.read("/etc/hosts"), "resolv.conf": "search a b\nnameserver 10.0.0.10\noptions ndots:5\n"} {
		if got := r.read(filepath.Join(files, name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	shm := filepath.Join(r.dir, "state/io.containerd.grpc.v1.cri/sandboxes/s/shm")
	if !strings.Contains(r.read("/proc/self/mountinfo"), shm+" ") {
		t.Error("no /dev/shm")
	}
	if _, err := r.svc.SandboxMetrics(r.ctx, &sandboxAPI.SandboxMetricsRequest{SandboxID: "s"}); err != nil {
		t.Errorf("numbers: %v", err)
	}

	_, err = r.svc.StopSandbox(r.ctx, &sandboxAPI.StopSandboxRequest{SandboxID: "s"})
	r.must(err)
	w, err := r.svc.WaitSandbox(r.ctx, &sandboxAPI.WaitSandboxRequest{SandboxID: "s"})
	r.must(err)
	if w.ExitStatus != 137 || r.state("s") != stateNotReady {
		t.Errorf("stopped with %d, and is %s", w.ExitStatus, r.state("s"))
	}
	if strings.Contains(r.read("/proc/self/mountinfo"), shm+" ") {
		t.Error("/dev/shm is still mounted")
	}
	_, err = r.svc.ShutdownSandbox(r.ctx, &sandboxAPI.ShutdownSandboxRequest{SandboxID: "s"})
	r.must(err)
	for _, dir := range []string{files, filepath.Dir(shm)} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
	if _, err := r.svc.SandboxStatus(r.ctx, &sandboxAPI.SandboxStatusRequest{SandboxID: "s"}); !errdefs.IsNotFound(errgrpc.ToNative(err)) {
		t.Errorf("after shutdown: %v", err)
	}
	if n := r.svc.count(); n != 0 {
		t.Errorf("%d left", n)
	}
}

// A pod may share any of the host's namespaces.
func TestSandboxOfTheHost(t *testing.T) {
	r := newSandboxRig(t)
	node := cri.NamespaceMode_NODE
	r.must(r.create("s", "", &cri.PodSandboxConfig{Hostname: "ignored", Linux: &cri.LinuxPodSandboxConfig{
		SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Network: node, Pid: node, Ipc: node}},
	}}))
	pid, err := r.begin("s")
	r.must(err)
	if got := r.own(pid); got != "mnt" {
		t.Errorf("namespaces of its own: %s", got)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "state/io.containerd.grpc.v1.cri/sandboxes/s/shm")); !os.IsNotExist(err) {
		t.Errorf("memory of its own: %v", err)
	}
	_, err = r.svc.ShutdownSandbox(r.ctx, &sandboxAPI.ShutdownSandboxRequest{SandboxID: "s"})
	r.must(err)
}

// A pod may have users of its own: all its namespaces belong to these, and nobody of the host's is in it.
func TestSandboxOfOtherUsers(t *testing.T) {
	r := newSandboxRig(t)
	netns := r.netnsOf(1 << 20)
	c := withUsers(&cri.UserNamespace{Mode: cri.NamespaceMode_POD})
	c.Hostname = "web-0"
	r.must(r.create("s", netns, c))
	pid, err := r.begin("s")
	r.must(err)
	if got := r.own(pid); got != "ipc mnt net pid user uts" {
		t.Errorf("namespaces of its own: %s", got)
	}
	if its, theirs := fmt.Sprintf("/proc/%d/ns/net", pid), netns; r.link(its) != r.link(theirs) || r.link(strings.TrimSuffix(its, "net")+"user") != r.link(strings.TrimSuffix(theirs, "net")+"user") {
		t.Error("it is not where containerd wants it")
	}
	if got := r.inside(pid, "hostname"); got != "web-0" {
		t.Errorf("hostname %s", got)
	}
	if got := r.inside(pid, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"); got != "0" {
		t.Errorf("ports from %s on are free", got)
	}
	status := r.read(fmt.Sprintf("/proc/%d/status", pid))
	nobody := 1<<20 + 65535
	for _, line := range []string{"Name:\tpause\n", fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", nobody), "CapEff:\t0000000000000000\n", "Seccomp:\t2\n", fmt.Sprintf("PPid:\t%d\n", os.Getpid())} {
		if !strings.Contains(status, line) {
			t.Errorf("no %q in\n%s", line, status)
		}
	}
	root, err := os.ReadDir(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil || len(root) > 0 {
		t.Errorf("its root has %v (%v)", root, err)
	}
	_, err = r.svc.StopSandbox(r.ctx, &sandboxAPI.StopSandboxRequest{SandboxID: "s"})
	r.must(err)
	w, err := r.svc.WaitSandbox(r.ctx, &sandboxAPI.WaitSandboxRequest{SandboxID: "s"})
	r.must(err)
	if w.ExitStatus != 137 {
		t.Errorf("stopped with %d", w.ExitStatus)
	}
	_, err = r.svc.ShutdownSandbox(r.ctx, &sandboxAPI.ShutdownSandboxRequest{SandboxID: "s"})
	r.must(err)
}

func (r *sandboxRig) link(path string) string {
	r.Helper()
	out, err := os.Readlink(path)
	r.must(err)
	return out
}

// The process ends with the monitor, which the kernel tells it by closing the lifeline.
func TestSandboxEndsWithTheMonitor(t *testing.T) {
	r := newSandboxRig(t)
	r.must(r.create("s", r.netns(), &cri.PodSandboxConfig{}))
	_, err := r.begin("s")
	r.must(err)
	b, err := r.svc.sandbox(r.ctx, "s")
	r.must(err)
	b.mu.Lock()
	b.mu.lifeline.Close()
	b.mu.Unlock()
	w, err := r.svc.WaitSandbox(r.ctx, &sandboxAPI.WaitSandboxRequest{SandboxID: "s"})
	r.must(err)
	if w.ExitStatus != 0 {
		t.Errorf("ended with %d", w.ExitStatus)
	}
	volatile := b.files.volatile
	sweepSandboxes(r.svc.state) // as the next monitor does
	if _, err := os.Stat(volatile); !os.IsNotExist(err) {
		t.Errorf("its memory is still there: %v", err)
	}
	_, err = r.svc.ShutdownSandbox(r.ctx, &sandboxAPI.ShutdownSandboxRequest{SandboxID: "s"})
	r.must(err)
}

// A sandbox that cannot be made says why, and leaves no process.
func TestSandboxCannotBeMade(t *testing.T) {
	r := newSandboxRig(t)
	r.must(r.create("sysctl", r.netns(), &cri.PodSandboxConfig{Linux: &cri.LinuxPodSandboxConfig{Sysctls: map[string]string{"net.no.such": "1"}}}))
	if _, err := r.begin("sysctl"); err == nil || !strings.Contains(err.Error(), "/proc/sys/net/no/such: No such file or directory") {
		t.Errorf("unknown sysctl: %v", err)
	}
	r.must(r.create("netns", "/no/such", &cri.PodSandboxConfig{}))
	if _, err := r.begin("netns"); err == nil || !strings.Contains(err.Error(), "/no/such: No such file or directory") {
		t.Errorf("unknown namespace: %v", err)
	}
	shared := withUsers(&cri.UserNamespace{Mode: cri.NamespaceMode_POD})
	shared.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
	if err := r.create("users", "", shared); !errdefs.IsNotImplemented(err) {
		t.Errorf("users of its own in the host's network: %v", err)
	}
	late := withUsers(&cri.UserNamespace{Mode: cri.NamespaceMode_POD})
	late.Linux.Sysctls = map[string]string{"net.no.such": "1"} // noticed by the process that takes the first one's place
	r.must(r.create("late", r.netnsOf(1<<20), late))
	if _, err := r.begin("late"); err == nil || !strings.Contains(err.Error(), "/proc/sys/net/no/such: No such file or directory") {
		t.Errorf("unknown sysctl of a pod with users of its own: %v", err)
	}
	for _, id := range []string{"sysctl", "netns", "late"} {
		if got := r.state(id); got != stateNotReady {
			t.Errorf("%s: %s", id, got)
		}
		if _, err := r.svc.ShutdownSandbox(context.WithoutCancel(r.ctx), &sandboxAPI.ShutdownSandboxRequest{SandboxID: id}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Who asks for more than the status is told what containerd tells of sandboxes of its own.
func TestSandboxInfo(t *testing.T) {
	r := newSandboxRig(t)
	netns := r.netns()
	r.must(r.create("s", netns, &cri.PodSandboxConfig{}))
	info := func(want string) {
		t.Helper()
		st, err := r.svc.SandboxStatus(r.ctx, &sandboxAPI.SandboxStatusRequest{SandboxID: "s", Verbose: true})
		r.must(err)
		if got := st.Info["info"]; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	info(`{"pid":0,"processStatus":"created","netNamespaceClosed":false,"runtimeType":"io.containerd.runc.v2"}`)
	pid, err := r.begin("s")
	r.must(err)
	info(fmt.Sprintf(`{"pid":%d,"processStatus":"running","netNamespaceClosed":false,"runtimeType":"io.containerd.runc.v2"}`, pid))
	if st, err := r.svc.SandboxStatus(r.ctx, &sandboxAPI.SandboxStatusRequest{SandboxID: "s"}); err != nil || st.Info != nil {
		t.Errorf("without being asked: %v, %v", st, err)
	}
	_, err = r.svc.StopSandbox(r.ctx, &sandboxAPI.StopSandboxRequest{SandboxID: "s"})
	r.must(err)
	info(`{"pid":0,"processStatus":"stopped","netNamespaceClosed":false,"runtimeType":"io.containerd.runc.v2"}`)
	_, err = r.svc.ShutdownSandbox(r.ctx, &sandboxAPI.ShutdownSandboxRequest{SandboxID: "s"})
	r.must(err)
}
