//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestForeignRuntime has pods run in a containerd that somebody else set up, with the configuration that it comes with: it has
// no CNI plugins at all, and must be as it was, and alive, after a purge.
func TestForeignRuntime(t *testing.T) {
	c := newCluster(t)
	top := filepath.Join("/var/tmp", filepath.Base(c.dir)+"-foreign")
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	bin, conf := filepath.Join(top, "cni/bin"), filepath.Join(top, "cni/net.d")
	socket := filepath.Join(top, "containerd.sock")
	if err := os.MkdirAll(top, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(top, "config.toml"), fmt.Sprintf(`version = 3
root = %q
state = %q
[grpc]
  address = %q
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'sampan.dev/pause:1'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = [%q]
  conf_dir = %q
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = %q
`, filepath.Join(top, "root"), filepath.Join(top, "state"), socket, bin, conf, filepath.Join(c.bin, "runc")))
	ended := containerd(t, c.bin, filepath.Join(top, "config.toml"), socket)
	c.flags = append(c.flags, "--container-runtime-endpoint", "unix://"+socket)
	if out, err := c.sampan("image", "import", "--container-runtime-endpoint", socket, filepath.Join(c.bin, "pause.tar")); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	t.Logf("%s", c.up(t))
	c.imagesInto(t, "--container-runtime-endpoint", socket)
	c.kubectl(t, "run", "p", "--image=sampan.dev/busybox:1", "--image-pull-policy=Never", "--", "sleep", "3600")
	c.kubectl(t, "wait", "pod/p", "--for=condition=Ready", "--timeout=300s")
	if out := c.kubectl(t, "exec", "p", "--", "ip", "addr", "show", "lo"); !strings.Contains(out, "127.0.0.1/8") {
		t.Errorf("loopback in the pod: %s", out)
	}
	if out, err := c.sampan("purge", "--yes", "--data-dir", c.dir); err != nil {
		t.Fatalf("purge: %v\n%s", err, out)
	}
	if _, err := os.Stat(conf); err != nil {
		t.Errorf("the folder of configurations: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(top, "cni/*/*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	select {
	case err := <-ended:
		t.Fatalf("containerd ended: %v", err)
	case <-time.After(500 * time.Millisecond): // it ends at once when its folder goes
	}
	if out, err := c.sampan("image", "list", "--container-runtime-endpoint", socket); err != nil || !strings.Contains(out, "sampan.dev/busybox:1") {
		t.Errorf("its CRI: %v\n%s", err, out)
	}
}

// containerd runs one until the test ends.
func containerd(t *testing.T, bin, config, socket string) (ended chan error) {
	t.Helper()
	log, err := os.Create(filepath.Join(filepath.Dir(config), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(bin, "containerd"), "--config", config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")) // for its shim
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	gone := make(chan struct{})
	go func() { ended <- cmd.Wait(); close(gone) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-gone
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			t.Logf("containerd's log:\n%s", data)
		}
	})
	until(t, 30*time.Second, "containerd", func() error {
		conn, err := (&net.Dialer{}).DialContext(context.Background(), "unix", socket)
		if err != nil {
			return errors.Join(err)
		}
		return conn.Close()
	})
	return ended
}
