//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cluster is a cluster of a test's own: its own data directory, port and ranges, so that several live side by side.
type cluster struct {
	bin        string // folder of the binaries
	dir        string // data directory
	kubeconfig string
	port       string
	flags      []string // of every up

	netns   string      // of an agent; "" is this machine's
	process *os.Process // of the agent that runs, or ran last
}

// made counts the clusters of this process, for names that do not meet.
var made atomic.Int32

// newCluster makes a place for a cluster and has it purged when the test ends. Nothing runs yet.
func newCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("real containers need root")
	}
	c := &cluster{bin: binaries(t), dir: fmt.Sprintf("/var/tmp/sampan-e2e-%d-%d", os.Getpid(), made.Add(1)), port: freePort(t)}
	c.kubeconfig = filepath.Join(c.dir, "admin.kubeconfig")
	pods, services := ranges(t, c.dir)
	c.flags = append([]string{
		"--no-merge", "--data-dir", c.dir, "--listen", "0.0.0.0:" + c.port, "--cluster-cidr", pods, "--service-cidr", services,
	}, flags...)
	t.Cleanup(func() {
		if t.Failed() {
			keep := "/tmp/" + filepath.Base(c.dir) + ".log"
			_ = exec.Command("cp", filepath.Join(c.dir, "sampan.log"), keep).Run()
			t.Logf("the cluster's log is kept in %s", keep)
		}
		if out, err := c.sampan("purge", "--yes", "--data-dir", c.dir); err != nil {
			t.Errorf("purge: %v\n%s", err, out)
		}
	})
	return c
}

// start makes a cluster, starts it and gives it the images.
func start(t *testing.T, flags ...string) *cluster {
	t.Helper()
	c := newCluster(t, flags...)
	t.Logf("%s", c.up(t))
	c.images(t)
	return c
}

// binaries is the folder that `make build` fills, or the one that SAMPAN_BIN names.
func binaries(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("SAMPAN_BIN"); dir != "" {
		return dir
	}
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(top, "bin")
}

// lastPort is the one that freePort gave last.
var lastPort atomic.Int32

// freePort is a port that nobody listens on, and that nobody gets by chance before the test listens: it lies below the ports that
// Services take of nodes (30000) and below those that the kernel gives to connections (32768), and no other test of this process
// is given it.
func freePort(t *testing.T) string {
	t.Helper()
	const first, count = 14000, 15000
	lastPort.CompareAndSwap(0, int32(os.Getpid()*53%count)+1) // another process of tests begins elsewhere
	for range count {
		port := strconv.Itoa(first + int(lastPort.Add(1))%count)
		// An address of this machine and all of them: some parts listen on the one, some on the other.
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			continue
		}
		l.Close()
		return port
	}
	t.Fatal("no free port")
	return ""
}

// given are the ranges that tests of this process have got, which side by side have no routes yet when the next asks.
var given sync.Map

// ranges are a pods' and a services' range that no other cluster of this machine has: pods of two must not share an address.
func ranges(t *testing.T, dir string) (pods, services string) {
	t.Helper()
	routes, err := exec.Command("ip", "-4", "route", "show", "table", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	first := int(sha256.Sum256([]byte(dir))[0])
	for i := range 40 {
		n := 160 + (2*first+2*i)%80
		if taken := fmt.Sprintf("10.%d.", n); !strings.Contains(string(routes), taken) {
			if _, other := given.LoadOrStore(n, dir); other {
				continue
			}
			t.Cleanup(func() { given.Delete(n) })
			return taken + "0.0/16", fmt.Sprintf("10.%d.0.0/16", n+1)
		}
	}
	t.Fatal("no free range for pods")
	return "", ""
}

// up starts the cluster in the background and returns what it said once it was ready.
func (c *cluster) up(t *testing.T) string {
	t.Helper()
	out, err := c.sampan(append([]string{"up", "--detach"}, c.flags...)...)
	if err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	return out
}

func (c *cluster) down(t *testing.T) {
	t.Helper()
	if out, err := c.sampan("down", "--data-dir", c.dir); err != nil {
		t.Fatalf("down: %v\n%s", err, out)
	}
}

// kill ends the cluster's process as a crash would and waits until it is gone.
func (c *cluster) kill(t *testing.T) { t.Helper(); c.killHolder(t, "sampan.pid") }

// killHolder does so to the process that a file of the data directory names.
func (c *cluster) killHolder(t *testing.T, file string) {
	t.Helper()
	pid, err := strconv.Atoi(c.holder(t, file))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	defer unix.Close(fd)
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || !strings.HasPrefix(exe, filepath.Join(c.bin, "sampan")) {
		t.Fatalf("process %d is %s (%v), not this cluster's", pid, exe, err)
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
	ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(ended, 10_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 {
			t.Fatalf("process %d does not end: %v", pid, err)
		}
		return
	}
}

func (c *cluster) sampan(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(c.bin, "sampan"), args...).CombinedOutput()
	return string(out), err
}

// kubectl runs kubectl as the administrator and returns what it printed.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.kubectlIn(t, "", args...)
}

// kubectlIn is kubectl with an input.
func (c *cluster) kubectlIn(t *testing.T, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s%s", args, err, out, stderr.String())
	}
	return string(out)
}

// instance is what the names of the cluster's links, tables and cgroups carry.
func (c *cluster) instance() string {
	sum := sha256.Sum256([]byte(c.dir))
	return hex.EncodeToString(sum[:4])
}

// images builds busybox images from the host's static busybox and gives them to the node.
func (c *cluster) images(t *testing.T) {
	t.Helper()
	c.imagesInto(t, "--data-dir", c.dir)
}

// imagesInto is images for the runtime that flags of image import name.
func (c *cluster) imagesInto(t *testing.T, flags ...string) {
	t.Helper()
	for _, tar := range imageFiles(t) {
		if out, err := c.sampan(append(append([]string{"image", "import"}, flags...), tar)...); err != nil {
			t.Fatalf("image import: %v\n%s", err, out)
		}
	}
}

// imageFiles makes archives of sampan.dev/busybox:1 and :2.
func imageFiles(t *testing.T) (tars []string) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("busybox-static is not installed; .ci/run and the README say how")
	}
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	rootfs := filepath.Join(t.TempDir(), "rootfs")
	for _, d := range []string{"bin", "etc", "tmp", "root", "var/run", "www"} {
		if err := os.MkdirAll(filepath.Join(rootfs, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "cp", busybox, filepath.Join(rootfs, "bin/busybox"))
	// busybox, linked statically against glibc, cannot resolve names; fetch does it in Go.
	run(t, "env", "CGO_ENABLED=0", "go", "-C", top, "build", "-o", filepath.Join(rootfs, "bin/fetch"), "./tools/fetch")
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
		tars = append(tars, tar)
	}
	return tars
}

// patience is how many times longer than on a machine that is free tests wait for what should happen: the load may be 50 on two cores.
// What is quick is timed in bench, not here. Scripts give kubectl five minutes where it waits.
const patience = 6

// until calls look until it returns nil or patience times the limit is over, and fails with its last error. It is for what has no event
// to wait for.
func until(t *testing.T, limit time.Duration, what string, look func() error) {
	t.Helper()
	limit *= patience
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, errors.Join(t.Context().Err(), err))
		case <-tick.C:
		}
	}
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
