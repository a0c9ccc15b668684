//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKeeper kills the server of a detached cluster: it comes back by itself, whatever `up` is called for meanwhile, until down
// is.
func TestKeeper(t *testing.T) {
	c := start(t)
	c.kubectl(t, "create", "deployment", "web", "--image=sampan.dev/busybox:1", "--", "sleep", "1000000")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=60s")
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

// pid is the number of the process that holds the data directory.
func (c *cluster) pid(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, "sampan.pid"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
