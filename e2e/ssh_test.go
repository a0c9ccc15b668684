//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// login is an OpenSSH server on another machine, which lets one key in as root, to forward connections.
type login struct {
	netns, addr string
	dir         string // its keys and configuration
	program     string
	process     *exec.Cmd
}

// newLogin prepares one; SAMPAN_SSHD names the program where it is not in its usual place.
func newLogin(t *testing.T, netns, addr string) *login {
	t.Helper()
	l := &login{netns: netns, addr: addr, dir: t.TempDir(), program: os.Getenv("SAMPAN_SSHD")}
	if l.program == "" {
		l.program = "/usr/sbin/sshd"
	}
	for _, need := range []string{l.program, "ssh-keygen", "unshare", "nsenter"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("%v (openssh-server, openssh-client and util-linux have what is needed)", err)
		}
	}
	for _, key := range []string{"host", "user"} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(l.dir, key))
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	l.write(t, "passwd", string(passwd)+"sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin\n")
	l.write(t, "config", fmt.Sprintf("ListenAddress %s:22\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"+
		"PermitRootLogin prohibit-password\nAllowTcpForwarding local\nMaxSessions 0\n", addr, l.dir, l.dir))
	// Its own view of the machine has the user that it wants to be, and the folder.
	l.write(t, "start", fmt.Sprintf("set -e\nmount --bind %s/passwd /etc/passwd\nmount -t tmpfs tmpfs /run\nmkdir -m 755 /run/sshd\nexec %s -D -e -f %s/config\n", l.dir, l.program, l.dir))
	return l
}

func (l *login) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// begin starts the server and waits until it listens; it ends with the test.
func (l *login) begin(t *testing.T) {
	t.Helper()
	l.process = exec.Command("nsenter", "--net=/run/netns/"+l.netns, "unshare", "-m", "sh", filepath.Join(l.dir, "start"))
	log, err := os.OpenFile(filepath.Join(l.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	l.process.Stdout, l.process.Stderr = log, log
	if err := l.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.end(t) })
	until(t, 20*time.Second, "sshd listens", func() error {
		out, err := exec.Command("nsenter", "--net=/run/netns/"+l.netns, "ss", "-Hltn", "sport", "=", ":22").Output()
		if err == nil && len(out) == 0 {
			text, _ := os.ReadFile(filepath.Join(l.dir, "log"))
			err = fmt.Errorf("it says %q", text)
		}
		return err
	})
}

// end ends the server and every connection of it.
func (l *login) end(t *testing.T) {
	t.Helper()
	if l.process == nil {
		return
	}
	for _, pid := range descendants(l.process.Process.Pid) {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
	_ = l.process.Process.Kill()
	_ = l.process.Wait()
	l.process = nil
}

// descendants are the processes that a process has started, theirs included.
func descendants(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var out []int
	for _, f := range strings.Fields(string(text)) {
		var child int
		if _, err := fmt.Sscan(f, &child); err == nil {
			out = append(append(out, descendants(child)...), child)
		}
	}
	return out
}

// TestSSHTunnel has the control plane reach a node by an OpenSSH server alone: whatever it does with the node, and whatever happens to the
// connection, the node sees nothing begin but connections to port 22.
func TestSSHTunnel(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	m := newOtherMachine(t)
	l := newLogin(t, m.netns, m.addr)
	l.begin(t)
	nft(t, m.netns, `table ip e2e {
		counter ssh { }
		counter other { }
		chain pre { type filter hook prerouting priority 0; iifname "lo" return; iifname "smp*" return; ct state new tcp dport 22 counter name ssh return; ct state new counter name other; }
	}`)
	server := newCluster(t, "--no-node", "--tls-san", m.here, "--node-tunnel=ssh", "--ssh-user", "root", "--ssh-keyfile", filepath.Join(l.dir, "user"))
	server.up(t)
	if log, err := os.ReadFile(filepath.Join(server.dir, "sampan.log")); err != nil || !strings.Contains(string(log), "SSH tunnels are deprecated") || !strings.Contains(string(log), "konnectivity") {
		t.Errorf("the log does not say that SSH tunnels are deprecated, and what to use (%v)", err)
	}
	node := newCluster(t)
	node.netns = m.netns
	node.agent(t, append(append(server.join(t, m.here), "--data-dir", node.dir, "--hostname-override", "joined", "--node-ip", m.addr), server.flags[5:9]...))
	until(t, 60*time.Second, "node joined", func() error {
		_, err := server.said("get", "node", "joined")
		return err
	})
	server.kubectl(t, "wait", "node/joined", "--for=condition=Ready", "--timeout=300s")
	node.images(t)
	server.kubectlIn(t, tunnelPods, "apply", "-f", "-")
	server.kubectl(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=300s")

	// Without a pinned key, and with another's, nobody is talked to.
	if out, err := server.said("exec", "web", "--", "true"); err == nil || !strings.Contains(out, "host key") {
		t.Errorf("a node without a host key: %v, %q", err, out)
	}
	other, err := os.ReadFile(filepath.Join(l.dir, "user.pub"))
	if err != nil {
		t.Fatal(err)
	}
	pin := func(key []byte) {
		t.Helper()
		server.kubectl(t, "annotate", "--overwrite", "node", "joined", "sampan.dev/ssh-host-keys="+strings.TrimSpace(string(key)))
	}
	pin(other)
	if out, err := server.said("exec", "web", "--", "true"); err == nil {
		t.Errorf("a node with another's host key: %q", out)
	}
	key, err := os.ReadFile(filepath.Join(l.dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	pin(key)
	works := func(what string) {
		t.Helper()
		until(t, 60*time.Second, what, func() error {
			out, err := server.said("exec", "web", "--", "true")
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		})
	}
	works("an exec works")
	logins := counted(t, m.netns, "ssh")
	server.allOfANode(t)
	if n := counted(t, m.netns, "ssh") - logins; n != 0 {
		t.Errorf("%d more logins, although there is a connection", n)
	}
	l.end(t)
	if out, err := server.said("exec", "web", "--", "true"); err == nil {
		t.Errorf("an exec works without a server: %q", out)
	}
	l.begin(t)
	works("an exec works through a new connection")
	if n := counted(t, m.netns, "ssh"); n == 0 {
		t.Error("nobody logged in by way of the link whose packets are counted")
	}
	if n := counted(t, m.netns, "other"); n != 0 {
		t.Errorf("%d packets began something else than a login", n)
	}
}

// said is kubectl where an error is no failure.
func (c *cluster) said(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.kubeconfig}, args...)...).CombinedOutput()
	return string(out), err
}
