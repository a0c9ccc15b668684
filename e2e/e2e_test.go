//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cluster is the one cluster that all scripts of a run share.
type cluster struct {
	bin        string // folder of the binaries
	dir        string // data directory
	kubeconfig string
	port       string
}

func TestScripts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("real containers need root")
	}
	c := start(t)
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: c.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"background": background,
		},
		RequireExplicitExec: false,
		ContinueOnError:     false,
	})
}

func start(t *testing.T) *cluster {
	t.Helper()
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{bin: filepath.Join(top, "bin"), dir: fmt.Sprintf("/var/tmp/sampan-e2e-%d", os.Getpid())}
	c.kubeconfig = filepath.Join(c.dir, "admin.kubeconfig")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, c.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	t.Cleanup(func() {
		if t.Failed() {
			keep := "/tmp/sampan-e2e-failed.log"
			_ = exec.Command("cp", filepath.Join(c.dir, "sampan.log"), keep).Run()
			t.Logf("the cluster's log is kept in %s", keep)
		}
		out, err := c.sampan("purge", "--yes", "--data-dir", c.dir)
		if err != nil {
			t.Errorf("purge: %v\n%s", err, out)
		}
	})
	begin := time.Now()
	out, err := c.sampan("up", "--detach", "--no-merge", "--data-dir", c.dir, "--listen", "0.0.0.0:"+c.port)
	if err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	t.Logf("up took %v\n%s", time.Since(begin).Round(time.Millisecond), out)
	c.images(t, top)
	return c
}

// images builds busybox images from the host's static busybox and gives them to the node.
func (c *cluster) images(t *testing.T, top string) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("busybox-static is not installed; .ci/run and the README say how")
	}
	rootfs := filepath.Join(t.TempDir(), "rootfs")
	for _, d := range []string{"bin", "etc", "tmp", "root", "var/run", "www"} {
		if err := os.MkdirAll(filepath.Join(rootfs, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "cp", busybox, filepath.Join(rootfs, "bin/busybox"))
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			_ = os.Symlink("busybox", filepath.Join(rootfs, "bin", applet))
		}
	}
	write(t, filepath.Join(rootfs, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
	write(t, filepath.Join(rootfs, "etc/group"), "root:x:0:\nnogroup:x:65534:\n")
	for _, version := range []string{"1", "2"} {
		write(t, filepath.Join(rootfs, "etc/image-version"), version+"\n")
		tar := filepath.Join(t.TempDir(), "busybox.tar")
		run(t, "go", "-C", top, "run", "./tools/mkimage", "-o", tar, "-tag", "sampan.dev/busybox:"+version, "-cmd", "sh", "-dir", rootfs)
		if out, err := c.sampan("image", "import", "--data-dir", c.dir, tar); err != nil {
			t.Fatalf("image import: %v\n%s", err, out)
		}
	}
}

func (c *cluster) sampan(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(c.bin, "sampan"), args...).CombinedOutput()
	return string(out), err
}

// setup gives a script its namespace and the binaries on its path.
func (c *cluster) setup(env *testscript.Env) error {
	ns := "e2e-" + strings.ToLower(filepath.Base(env.WorkDir))
	ns = strings.NewReplacer("script-", "", "_", "-").Replace(ns)
	env.Setenv("PATH", c.bin+":"+env.Getenv("PATH"))
	env.Setenv("KUBECONFIG", filepath.Join(env.WorkDir, "kubeconfig"))
	env.Setenv("ADMIN", c.kubeconfig)
	env.Setenv("NS", ns)
	env.Setenv("DATA", c.dir)
	env.Setenv("PORT", c.port)
	env.Setenv("HOME", env.WorkDir)
	config, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(env.WorkDir, "kubeconfig"), config, 0o600); err != nil {
		return err
	}
	kubectl := func(args ...string) error {
		cmd := exec.Command(filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", filepath.Join(env.WorkDir, "kubeconfig")}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %v: %w\n%s", args, err, out)
		}
		return nil
	}
	env.Defer(func() { _ = kubectl("delete", "namespace", ns, "--ignore-not-found", "--wait=false") })
	if err := kubectl("create", "namespace", ns); err != nil {
		return err
	}
	return kubectl("config", "set-context", "--current", "--namespace", ns)
}

// eventually DURATION command… repeats a command until it succeeds (or, negated, fails) or the time is over. It is for what
// has no event to wait for, such as a packet's way through a new rule.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: eventually DURATION command…")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := ts.Exec(args[1], args[2:]...)
		if (err == nil) != neg {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("eventually %v: not within %v: %v", args[1:], limit, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// background FILE command… runs a command until the script ends, its output in FILE.
func background(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: background FILE command…")
	}
	out, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	path := args[1]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, args[1])); err == nil {
			path = filepath.Join(dir, args[1])
			break
		}
	}
	cmd := exec.Command(path, args[2:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = ts.MkAbs(".")
	for _, k := range []string{"PATH", "KUBECONFIG", "HOME"} {
		cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
	}
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
	})
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
