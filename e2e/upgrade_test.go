//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUpgradeInPlace puts programs of another build where containerd and the monitor are, and starts the cluster anew. The new
// containerd takes the old one's place, the old monitor keeps its containers, untouched, and new pods get one of the new build.
func TestUpgradeInPlace(t *testing.T) {
	t.Parallel()
	bin := t.TempDir() // goes after the cluster, which is purged with it
	c := newCluster(t)
	run(t, "cp", "-a", c.bin+"/.", bin)
	c.bin = bin
	t.Logf("%s", c.up(t))
	c.images(t)
	c.kubectl(t, "create", "deployment", "old", "--image=sampan.dev/busybox:1", "--replicas=2", "--", "sleep", "1000000")
	c.kubectl(t, "rollout", "status", "deployment/old", "--timeout=300s")
	const fact = `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].containerID} {.status.containerStatuses[*].restartCount} {end}`
	before := c.kubectl(t, "get", "pods", "-l", "app=old", "-o", fact)
	containerd := c.runtimePID(t)
	if n := len(c.monitors(t)); n != 1 {
		t.Fatalf("%d monitors", n)
	}

	c.kill(t)
	c.up(t)
	if now := c.runtimePID(t); now != containerd || len(c.monitors(t)) != 1 {
		t.Errorf("a start with the same programs: containerd was %s and is %s, monitors %v", containerd, now, c.monitors(t))
	}
	for _, name := range []string{"containerd", "sampan-monitor"} {
		otherBuild(t, filepath.Join(c.bin, name))
	}
	c.kill(t)
	c.up(t)
	if now := c.runtimePID(t); now == containerd {
		t.Errorf("containerd is still process %s", now)
	}
	c.kubectl(t, "create", "deployment", "new", "--image=sampan.dev/busybox:1", "--", "sleep", "1000000")
	c.kubectl(t, "rollout", "status", "deployment/new", "--timeout=300s")
	if n := len(c.monitors(t)); n != 2 {
		t.Errorf("%d monitors, want one of each build", n)
	}
	if now := c.kubectl(t, "get", "pods", "-l", "app=old", "-o", fact); now != before {
		t.Errorf("the old pods were %s and are %s", before, now)
	}
	for _, app := range []string{"old", "new"} {
		if out := c.kubectl(t, "exec", "deployment/"+app, "--", "echo", "hello"); out != "hello\n" {
			t.Errorf("exec in %s: %q", app, out)
		}
	}
	until(t, time.Minute, "events that tell", func() error {
		events := c.kubectl(t, "get", "events", "-n", "default", "-o", "jsonpath={.items[*].reason}")
		if !strings.Contains(events, "ContainerRuntimeReplaced") || !strings.Contains(events, "OldContainerMonitor") {
			return fmt.Errorf("%s", events)
		}
		return nil
	})

	c.kill(t) // the names are found again
	c.up(t)
	c.kubectl(t, "delete", "deployment", "old", "--cascade=foreground", "--timeout=300s")
	until(t, 2*time.Minute, "the old monitor has ended", func() error {
		if list := c.monitors(t); len(list) != 1 {
			return fmt.Errorf("monitors %v", list)
		}
		return nil
	})
	c.kubectl(t, "scale", "deployment/new", "--replicas=2")
	c.kubectl(t, "rollout", "status", "deployment/new", "--timeout=300s")
	if list := c.monitors(t); len(list) != 1 {
		t.Errorf("monitors %v", list)
	}
}

// otherBuild puts a program with another build id in a program's place: its note begins a hash.
func otherBuild(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data[:64<<10], []byte("\x04\x00\x00\x00Go\x00\x00"))
	if at < 0 {
		t.Fatalf("%s has no build id", path)
	}
	data[at+8] ^= 1
	if err := errors.Join(os.WriteFile(path+".new", data, 0o755), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) runtimePID(t *testing.T) string {
	t.Helper()
	pid, err := os.ReadFile("/run/sampan-" + c.instance() + "/containerd/containerd.pid")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(pid))
}

// monitors are the processes that look after the cluster's containers.
func (c *cluster) monitors(t *testing.T) []string {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var out []string
	for _, file := range files {
		data, _ := os.ReadFile(file)
		if args := strings.Split(string(data), "\x00"); filepath.Base(args[0]) == "sampan-monitor" && len(args) > 2 && args[2] == "/run/sampan-"+c.instance()+"/containerd" {
			out = append(out, filepath.Base(filepath.Dir(file)))
		}
	}
	return out
}
