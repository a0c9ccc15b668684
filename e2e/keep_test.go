//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKeeper kills the server of a detached cluster: it comes back by itself, whatever `up` is called for meanwhile, until down
// is.
func TestKeeper(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.kubectl(t, "create", "deployment", "web", "--image=sampan.dev/busybox:1", "--", "sleep", "1000000")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=300s")
	const fact = `jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].containerID}`
	before := c.kubectl(t, "get", "pods", "-o", fact)
	for range 3 {
		dead := c.pid(t)
		c.kill(t)
		until(t, 2*time.Minute, "the server is back", func() error {
			if now := c.pid(t); now == dead {
				return errors.New("it is the old number")
			}
			data, err := os.ReadFile("/run/sampan-" + c.instance() + "/ready")
			if err != nil || string(data) != c.pid(t) {
				return fmt.Errorf("%s is ready, %v", data, err)
			}
			return nil
		})
		if now := c.kubectl(t, "get", "pods", "-o", fact); now != before {
			t.Errorf("the pods were %s and are %s", before, now)
		}
	}
	if out := c.up(t); !strings.Contains(out, "has brought it back") {
		t.Errorf("up beside a server that was brought back: %s", out)
	}
	if out, err := c.sampan(append([]string{"up", "--detach", "--log-level", "debug"}, c.flags...)...); err == nil || !strings.Contains(out, "is in use by process "+c.pid(t)) {
		t.Errorf("up with other flags beside it: %v %s", err, out)
	}
	for range 5 { // whoever is quicker
		c.kill(t)
		c.up(t)
	}
	if log, err := os.ReadFile(filepath.Join(c.dir, "sampan.log")); err != nil || !strings.Contains(string(log), "killed by signal 9") {
		t.Errorf("the log does not say how it died: %v", err)
	}
	keeper, err := os.ReadFile(filepath.Join(c.dir, "sampan.keeper"))
	if err != nil {
		t.Fatal(err)
	}
	c.kill(t)
	c.down(t) // in the pause before the restart
	until(t, time.Minute, "the keeper has ended", func() error {
		var pid int
		fmt.Sscan(string(keeper), &pid)
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			return fmt.Errorf("%s", stat)
		}
		return nil
	})
	c.up(t)
	if now := c.kubectl(t, "get", "nodes", "-o", "name"); strings.Count(now, "node/") != 1 {
		t.Errorf("nodes: %s", now)
	}
}

// TestKeeperOfTwo kills the server and the node of `up --separate` in turn: each comes back by itself and leaves the other alone. Other
// flags, and an `up` without --separate, take the node's process along; down ends all of them.
func TestKeeperOfTwo(t *testing.T) {
	t.Parallel()
	c := start(t, "--separate")
	c.kubectl(t, "create", "deployment", "web", "--image=sampan.dev/busybox:1", "--", "sleep", "1000000")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=300s")
	const fact = `jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].containerID}`
	before := c.kubectl(t, "get", "pods", "-o", fact)
	for range 2 {
		server, node := c.pid(t), c.nodePID(t)
		c.kill(t)
		c.backAs(t, "ready", c.pid, server)
		if now := c.nodePID(t); now != node {
			t.Errorf("the server was killed, and the node is process %s, no longer %s", now, node)
		}
		server = c.pid(t)
		c.killHolder(t, "node.pid")
		c.backAs(t, "node.ready", c.nodePID, node)
		if now := c.pid(t); now != server {
			t.Errorf("the node was killed, and the server is process %s, no longer %s", now, server)
		}
	}
	if now := c.kubectl(t, "get", "pods", "-o", fact); now != before {
		t.Errorf("the pods were %s and are %s", before, now)
	}
	if out := c.kubectl(t, "exec", "deployment/web", "--", "echo", "hello"); out != "hello\n" {
		t.Errorf("exec: %q", out)
	}
	if out, err := c.sampan("down", "--server", "--data-dir", c.dir); err != nil {
		t.Fatalf("down --server: %v\n%s", err, out)
	}
	node := c.nodePID(t)
	c.flags = append(c.flags, "--max-pods", "70")
	c.up(t)
	if now := c.nodePID(t); now == node {
		t.Errorf("with other flags the node is still process %s", now)
	}
	if now := c.kubectl(t, "get", "pods", "-o", fact); now != before {
		t.Errorf("with other flags the pods were %s and are %s", before, now)
	}
	if out, err := c.sampan("down", "--server", "--data-dir", c.dir); err != nil {
		t.Fatalf("down --server: %v\n%s", err, out)
	}
	c.flags = slices.DeleteFunc(c.flags, func(f string) bool { return f == "--separate" })
	node = c.nodePID(t)
	c.up(t)
	if _, err := os.Stat("/proc/" + node); err == nil {
		t.Errorf("process %s of the node runs beside an `up` that has it inside", node)
	}
	if now := c.kubectl(t, "get", "pods", "-o", fact); now != before {
		t.Errorf("in one process the pods were %s and are %s", before, now)
	}
	if out, err := c.sampan("down", "--server", "--data-dir", c.dir); err == nil || !strings.Contains(out, "nothing stopped") {
		t.Errorf("down --server of one process: %v\n%s", err, out)
	}
}

// TestSeparateInTheForeground runs `up --separate` as a person at a terminal does: it stays, the server comes back when it is killed,
// and what ends the command ends both processes.
func TestSeparateInTheForeground(t *testing.T) {
	c := newCluster(t, "--separate")
	cmd := exec.Command(filepath.Join(c.bin, "sampan"), append([]string{"up"}, c.flags...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "export KUBECONFIG=") {
		t.Log(lines.Text())
	}
	c.backAs(t, "ready", c.pid, "") // the last line comes first
	server, node := c.pid(t), c.nodePID(t)
	c.kill(t)
	c.backAs(t, "ready", c.pid, server)
	server = c.pid(t)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("up: %v", err)
	}
	for _, pid := range []string{server, node} {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("process %s is left", pid)
		}
	}
}

// backAs waits until another process than dead has come up and said so in a file of the run directory.
func (c *cluster) backAs(t *testing.T, ready string, pid func(*testing.T) string, dead string) {
	t.Helper()
	until(t, 2*time.Minute, ready, func() error {
		now := pid(t)
		data, err := os.ReadFile("/run/sampan-" + c.instance() + "/" + ready)
		if err != nil || now == dead || string(data) != now {
			return fmt.Errorf("process %s runs, %s is ready, %v", now, data, err)
		}
		return nil
	})
}

// pid is the number of the process that holds the data directory.
func (c *cluster) pid(t *testing.T) string { t.Helper(); return c.holder(t, "sampan.pid") }

// nodePID is the number of the process that is the node of a cluster with --separate.
func (c *cluster) nodePID(t *testing.T) string { t.Helper(); return c.holder(t, "node.pid") }

func (c *cluster) holder(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
