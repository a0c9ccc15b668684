//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestGhosts kills the monitor, containerd and the cluster's process in turn, under load, and looks all the while for a
// container that lives on beside its successor. A container that finds another on its volume says so as well. The full size is
// SAMPAN_E2E_KILLS=30 SAMPAN_E2E_LOAD=50.
func TestGhosts(t *testing.T) {
	t.Parallel()
	rounds, load := number(t, "SAMPAN_E2E_KILLS", 3), number(t, "SAMPAN_E2E_LOAD", 0)
	replicas := 6
	if load > 0 {
		replicas = 16
	}
	c := start(t)
	c.kubectlIn(t, strings.NewReplacer("PORT", freePort(t), "REPLICAS", strconv.Itoa(replicas)).Replace(ghostsManifest), "apply", "-f", "-")
	for _, name := range []string{"exclusive", "port"} {
		c.kubectl(t, "-n", "ghosts", "rollout", "status", "deployment/"+name, "--timeout=300s")
	}
	want := c.copies(t).pods()
	rest := busy(t, load)

	w := c.watchCopies(t)
	victims := []string{"monitor", "containerd", "sampan"}
	for round := range rounds {
		victim := victims[round%len(victims)]
		if victim == "monitor" {
			c.await(t, time.Minute, len(want)) // killed with nothing to look after it would prove nothing
		}
		c.strike(t, victim)
		if victim == "sampan" {
			c.up(t)
		}
		time.Sleep(time.Duration(round%4) * time.Second) // the next blow falls at another moment of the recovery
	}
	rest()
	until(t, 12*time.Minute, "one copy of each pod", func() error { // a back-off of five minutes may be due
		return c.copies(t).same(want)
	})
	before := c.copies(t)
	c.strike(t, "monitor")
	until(t, 12*time.Minute, "another copy of each pod", func() error {
		now := c.copies(t)
		for pod, ids := range before {
			for id := range ids {
				if now[pod][id] {
					return fmt.Errorf("%s of pod %s runs on without a monitor", id, pod)
				}
			}
		}
		return now.same(want)
	})
	w.stop()
	c.volumesHadOneWriter(t, len(want)-1)
	c.kubectl(t, "delete", "namespace", "ghosts", "--timeout=300s")
	until(t, 3*time.Minute, "no process of a pod that is gone", func() error {
		if left := c.processes(t); len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}

// await waits until so many pods run, or for no longer than limit.
func (c *cluster) await(t *testing.T, limit time.Duration, pods int) {
	t.Helper()
	begun := time.Now()
	for len(c.copies(t)) < pods && time.Since(begun) < limit {
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d pods run after %v", len(c.copies(t)), time.Since(begun).Round(time.Millisecond))
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// ghostsManifest has pods whose container takes its volume for itself, and one that takes a port of the host.
const ghostsManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: ghosts}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: exclusive, namespace: ghosts}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: exclusive}}
  template:
    metadata: {labels: {app: exclusive}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes: [{name: v, emptyDir: {}}]
      containers:
      - name: main
        image: sampan.dev/busybox:1
        command: [sh, -c, ': only-copy; me=$(cat /proc/sys/kernel/random/uuid); while :; do echo $me >> /v/beats; sleep 0.2; done']
        volumeMounts: [{name: v, mountPath: /v}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: port, namespace: ghosts}
spec:
  selector: {matchLabels: {app: port}}
  strategy: {type: Recreate}
  template:
    metadata: {labels: {app: port}}
    spec:
      terminationGracePeriodSeconds: 1
      hostNetwork: true
      volumes: [{name: v, emptyDir: {}}]
      containers:
      - name: main
        image: sampan.dev/busybox:1
        command: [sh, -c, ': only-copy; httpd -f -p 127.0.0.1:PORT || { echo taken >> /v/taken; exit 1; }']
        volumeMounts: [{name: v, mountPath: /v}]
`

// volumesHadOneWriter reads what the containers wrote: each its own name again and again, so that the name of a dead one that comes
// after its successor's says that it was not dead. One that could not have the port said so.
func (c *cluster) volumesHadOneWriter(t *testing.T, want int) {
	t.Helper()
	volumes := filepath.Join(c.dir, "kubelet/pods/*/volumes/kubernetes.io~empty-dir/v")
	if taken, _ := filepath.Glob(filepath.Join(volumes, "taken")); len(taken) > 0 {
		t.Errorf("the port was taken by another: %v", taken)
	}
	files, _ := filepath.Glob(filepath.Join(volumes, "beats"))
	if len(files) != want {
		t.Errorf("%d volumes, want %d", len(files), want)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		last, gone := "", map[string]bool{}
		for name := range strings.FieldsSeq(string(body)) {
			if name != last {
				gone[last], last = true, name
			}
			if gone[name] {
				t.Errorf("%s: %s wrote after its successor had", file, name)
				break
			}
		}
		t.Logf("%d containers in turn wrote to %s", len(gone), file)
	}
}

// copies are the containers that run: their ids by pod.
type copies map[string]map[string]bool

func (c copies) pods() []string { return slices.Sorted(maps.Keys(c)) }

func (c copies) same(want []string) error {
	if now := c.pods(); !slices.Equal(now, want) {
		return fmt.Errorf("copies of %v, want %v", now, want)
	}
	return nil
}

// where finds the pod and the container in the path of a process's control group; a sandbox's process has no container on v1.
var where = regexp.MustCompile(`/pod([0-9a-f-]{36})(?:/([0-9a-f]{64}))?`)

// copies finds them by the kernel's word, whatever the API and containerd say.
func (c *cluster) copies(t *testing.T) copies {
	t.Helper()
	out := copies{}
	for _, p := range c.processes(t) {
		if !strings.Contains(p.args, "only-copy") || p.container == "" {
			continue
		}
		if out[p.pod] == nil {
			out[p.pod] = map[string]bool{}
		}
		out[p.pod][p.container] = true
	}
	return out
}

type podProcess struct {
	pid            int
	pod, container string
	args           string
}

// processes are those in control groups of this cluster's pods.
func (c *cluster) processes(t *testing.T) []podProcess {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var out []podProcess
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		groups, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cgroup"))
		_, after, ours := bytes.Cut(groups, []byte(":/sampan-"+c.instance()+"/"))
		if !ours {
			continue
		}
		line, _, _ := bytes.Cut(after, []byte("\n"))
		at := where.FindStringSubmatch("/" + string(line))
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if at == nil || len(args) == 0 { // a zombie runs no more
			continue
		}
		out = append(out, podProcess{pid, at[1], at[2], string(bytes.ReplaceAll(args, []byte{0}, []byte(" ")))})
	}
	return out
}

// copyWatch looks for two copies of a container at one time.
type copyWatch struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func (c *cluster) watchCopies(t *testing.T) *copyWatch {
	ctx, cancel := context.WithCancel(t.Context())
	w := &copyWatch{cancel: cancel}
	t.Cleanup(w.stop)
	w.wg.Go(func() {
		told := map[string]bool{}
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for pod, ids := range c.copies(t) {
				if len(ids) > 1 && !told[pod] {
					told[pod] = true
					t.Errorf("%s: pod %s runs twice: %v", time.Now().Format(time.TimeOnly), pod, slices.Sorted(maps.Keys(ids)))
				}
			}
		}
	})
	return w
}

func (w *copyWatch) stop() {
	w.cancel()
	w.wg.Wait()
}

// strike kills one of the cluster's processes, if it is there.
func (c *cluster) strike(t *testing.T, victim string) {
	t.Helper()
	switch victim {
	case "sampan":
		c.kill(t)
	case "containerd":
		pid, err := os.ReadFile("/run/sampan-" + c.instance() + "/containerd/containerd.pid")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(pid))); err == nil {
			killIf(t, n, "/containerd/config.toml")
		}
	case "monitor":
		dirs, err := os.ReadDir("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range dirs {
			if n, err := strconv.Atoi(e.Name()); err == nil {
				killIf(t, n, "sampan-monitor", "-dir", "/run/sampan-"+c.instance()+"/containerd")
			}
		}
	}
}

// killIf kills a process that was started with these words.
func killIf(t *testing.T, pid int, words ...string) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	args, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	for _, word := range words {
		if !strings.Contains(string(args), word) {
			return
		}
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
}

// busy keeps n processes computing until rest is called or the test ends, or for an hour should nobody be there to end them.
func busy(t *testing.T, n int) (rest func()) {
	t.Helper()
	var all []*exec.Cmd
	rest = sync.OnceFunc(func() {
		for _, cmd := range all {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
	})
	t.Cleanup(rest)
	for range n {
		cmd := exec.Command("timeout", "-s", "KILL", "3600", "sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	return rest
}
