//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is the user without rights.
const nobody = 65534

// TestUsage checks exit codes and messages of command lines that cannot work. None may make anything.
func TestUsage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "never")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"up --no-such-flag", 2, "unknown flag: --no-such-flag"},
		{"upp", 2, `unknown command "upp"`},
		{"up now", 2, `takes no arguments, got "now"`},
		{"up --listen here", 2, `--listen "here": want ADDR:PORT`},
		{"up --listen 127.0.0.1:http-or-so", 2, "is not a port"},
		{"up --nodes 0", 2, "--nodes 0: want 1 to 50"},
		{"up --nodes many", 2, "invalid argument"},
		{"up --nodes 3 --no-node", 2, "--nodes 3 and --no-node contradict each other"},
		{"up --node-name a_b", 2, `--node-name "a_b"`},
		{"up --max-pods -1", 2, "--max-pods"},
		{"token --ttl -5s", 2, "--ttl -5s: want a positive duration"},
		{"etcd snapshot -", 2, "want a file"},
		{"up --separate --no-node", 2, "--separate: with --no-node there is no node to run apart"},
		{"up --separate --nodes 2", 2, "--separate: with --nodes 2"},
		{"up --separate --listen 127.0.0.1:0", 2, "want a port that stays"},
		{"up --detach --log-level loud", 2, "loud"},
		{"up --cluster-cidr 10.0.0.1/16", 2, "host bits are set; did you mean 10.0.0.0/16?"},
		{"up --cluster-cidr 10.0.0.0/8 --service-cidr 10.1.0.0/16", 2, "overlap"},
		{"up --cloud-provider aws", 2, "--cloud-provider"},
		{"up --log-format xml", 2, "xml"},
		{"up --log-level loud", 2, "loud"},
		{"up --node-labels ===", 2, "--node-labels"},
		{"up --register-with-taints a=b", 2, "--register-with-taints"},
		{"up --node-ip nowhere", 2, "--node-ip"},
		{"agent", 2, "--server and --token (or --token-file) are needed to join a cluster"},
		{"agent --server https://127.0.0.1:1 --token guess", 2, "a token looks like"},
		{"agent --server http://127.0.0.1:1 --token sha256:00::abcdef.0123456789abcdef", 2, "want https://ADDRESS:PORT"},
		{"purge", 2, "say --yes"},
		{"token", 1, "is there a cluster in"},
	} {
		t.Run(c.args, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("root gets further")
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(binaries(t), "sampan"), append(strings.Fields(c.args), "--data-dir", dir)...)
			if c.args == "upp" {
				cmd.Args = cmd.Args[:2]
			}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, c.code, c.want, out)
			}
			hint := "Run 'sampan " + cmd.Args[1] + " --help' for usage."
			switch cmd.Args[1] {
			case "upp":
				hint = "Run 'sampan --help' for usage."
			case "etcd":
				hint = "Run 'sampan etcd snapshot --help' for usage."
			}
			if c.code == 2 && !strings.Contains(string(out), hint) {
				t.Errorf("no hint at the usage:\n%s", out)
			}
		})
	}
	// An agent claims its directory before it looks for what it was given; nothing else may be there.
	if entries, err := filepath.Glob(dir + "/*"); err != nil || len(entries) > 1 {
		t.Errorf("left in %s: %v %v", dir, entries, err)
	}
	for _, command := range [][]string{{"down"}, {"purge", "--yes"}, {"purge", "--yes"}} { // of what is not there: nothing to do
		if out, err := exec.Command(filepath.Join(binaries(t), "sampan"), append(command, "--data-dir", dir)...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %v\n%s", command, err, out)
		}
	}
}

// TestWithoutRoot runs as nobody: a node is refused with what is possible instead, and that works.
func TestWithoutRoot(t *testing.T) {
	c := newCluster(t)
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(c.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	out, code := c.asNobody(t, "up", "--detach")
	if code != 1 || !strings.Contains(out, "a node needs root") || !strings.Contains(out, "sampan up --no-node --data-dir") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	for _, command := range []string{"agent", "up"} {
		if out, code := c.asNobody(t, command); code != 1 || !strings.Contains(out, "root") {
			t.Errorf("%s: exit code %d:\n%s", command, code, out)
		}
	}
	out, code = c.asNobody(t, "up", "--no-node", "--detach")
	if code != 0 || !strings.Contains(out, "ready after") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	t.Logf("%s", out)
	c.kubectl(t, "create", "deployment", "web", "--image=sampan.dev/busybox:1")
	c.kubectl(t, "wait", "deployment/web", "--for=jsonpath={.status.unavailableReplicas}=1", "--timeout=20s")
	until(t, 20*time.Second, "a pod that waits for a node", func() error {
		if got := c.kubectl(t, "get", "pods", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="PodScheduled")].message}`); got != "no nodes available to schedule pods" {
			return fmt.Errorf("condition: %q", got)
		}
		return nil
	})
	if out, code := c.asNobody(t, "up", "--no-node"); code != 1 || !regexp.MustCompile(`is in use by process \d+; 'sampan down`).MatchString(out) {
		t.Errorf("a second up: exit code %d:\n%s", code, out)
	}
	if out, code := c.asNobody(t, "down"); code != 0 {
		t.Errorf("down: exit code %d:\n%s", code, out)
	}
	if out, code := c.asNobody(t, "up", "--no-node", "--detach"); code != 0 {
		t.Errorf("up again: exit code %d:\n%s", code, out)
	}
	c.kubectl(t, "get", "deployment", "web")
}

// asNobody runs sampan without rights on the cluster and returns what it said, and its exit code.
func (c *cluster) asNobody(t *testing.T, command string, flags ...string) (string, int) {
	t.Helper()
	args := append([]string{command}, flags...)
	switch command {
	case "up":
		args = append(args, c.flags...)
	default:
		args = append(args, "--data-dir", c.dir)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.bin, "sampan"), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v (can nobody read %s?)", command, err, c.bin)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// TestClaim starts a cluster twice in one directory: the second names the holder and leaves the first alone.
func TestClaim(t *testing.T) {
	c := newCluster(t, "--no-node")
	c.up(t)
	pid, err := os.ReadFile(filepath.Join(c.dir, "sampan.pid"))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s is in use by process %s; 'sampan down --data-dir %s' stops it", c.dir, pid, c.dir)
	for _, flags := range [][]string{{"up"}, {"up", "--detach"}, {"server"}} {
		args := append(flags, c.flags...)
		if flags[0] == "server" {
			args = append(flags, c.flags[1:]...) // it has no --no-merge
		}
		if out, err := c.sampan(args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v\n%s", flags, err, out)
		}
	}
	if out := c.kubectl(t, "get", "--raw", "/readyz"); out != "ok" {
		t.Errorf("the first says %q", out)
	}
}
