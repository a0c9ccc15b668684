package runtime

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// newContainerd describes a containerd made of the binaries that `make build` puts into bin/, or skips the test.
func newContainerd(t *testing.T) *Containerd {
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
	root, err := os.MkdirTemp("", "sampan-ctd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(root)
		groups, _ := filepath.Glob("/sys/fs/cgroup/*/k8s.io") // runc's, for a sandbox without a parent
		for _, dir := range append(groups, "/sys/fs/cgroup/k8s.io") {
			_ = os.Remove(dir) // stays while another has something in it
		}
	})
	return &Containerd{
		Bin: filepath.Join(bin, "containerd"), Runc: filepath.Join(bin, "runc"),
		Root: filepath.Join(root, "r"), State: filepath.Join(root, "s"), NetNSDir: true,
		PauseImage: "sampan.dev/pause:1", PauseTar: filepath.Join(bin, "pause.tar"),
		CNIBinDirs: []string{filepath.Join(root, "cni")}, CNIConfDir: filepath.Join(root, "cni"),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
}

func TestContainerdRunsAPod(t *testing.T) {
	c := newContainerd(t)
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	begin := time.Now()
	go func() { done <- c.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	t.Logf("ready with sandbox image after %v", time.Since(begin))
	defer func() { cancel(); <-done }()

	cl, err := Dial(c.Endpoint(), c.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	events := make(chan Event, 100)
	go cl.Events(ctx, func(e Event) { events <- e })
	<-events // the first tells that the stream stands

	sbc := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "p", Namespace: "default", Uid: "u1"},
		LogDirectory: filepath.Join(c.Root, "log"),
		Labels:       map[string]string{LabelPodName: "p", LabelPodNamespace: "default", LabelPodUID: "u1"},
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER}}},
	}
	begin = time.Now()
	sb, err := cl.RunSandbox(ctx, sbc, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		bg := context.Background()
		cl.StopSandbox(bg, sb)
		if err := cl.RemoveSandbox(bg, sb); err != nil {
			t.Error(err)
		}
	}()
	id, err := cl.CreateContainer(ctx, sb, &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: c.PauseImage}, LogPath: "c/0.log",
		Labels: map[string]string{LabelPodName: "p", LabelPodNamespace: "default", LabelPodUID: "u1", LabelContainerName: "c"},
		Linux:  &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: sbc.Linux.SecurityContext.NamespaceOptions}},
	}, sbc)
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.StartContainer(ctx, id); err != nil {
		t.Fatal(err)
	}
	t.Logf("sandbox and container after %v", time.Since(begin))
	p, err := cl.Pod(ctx, "u1")
	if err != nil || len(p.Containers) != 1 || p.Containers[0].State != Running || !p.Sandboxes[0].Ready || !p.Sandboxes[0].HostNetwork {
		t.Fatalf("pod %+v, %v", p, err)
	}
	if err := cl.StopContainer(ctx, id, 5); err != nil {
		t.Fatal(err)
	}
	for e := range events {
		if e.UID != "u1" {
			continue
		}
		if p, _ := cl.Pod(ctx, "u1"); p.Containers[0].State == Exited {
			return
		}
	}
}

// TestContainerdOutlivesUs checks that a second supervisor attaches to the containerd that the first left running.
func TestContainerdOutlivesUs(t *testing.T) {
	c := newContainerd(t)
	c.KeepRunning = true
	t.Cleanup(func() { c.Stop() })
	pid := ""
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := c.Run(ctx, cancel); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(c.pidFile())
		if err != nil {
			t.Fatal(err)
		}
		if pid != "" && string(b) != pid {
			t.Fatalf("pid %s, then %s", pid, b)
		}
		pid = string(b)
	}
}
