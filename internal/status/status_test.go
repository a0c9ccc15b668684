package status

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/daemon"
	"sampan.dev/internal/tty"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestText(t *testing.T) {
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	since := now.Add(-90 * time.Second)
	s := &Status{
		Name: "dev", DataDir: "/d", State: Running, PID: 7, Command: "up", Since: &since, Version: "b1", Kubernetes: "v1.37.1", Server: "https://127.0.0.1:6443", Health: healthy,
		Parts: []daemon.State{{Name: "hub", Running: true, Since: since}, {Name: "dns", Since: now, Failures: 3, Error: "port 53 is taken"}},
		Nodes: []Node{{Name: "n1", Status: "NotReady", Since: now.Add(-3 * time.Hour)}},
		Ports: []Port{{6443, "*", "API server"}},
	}
	s.judge()
	var out bytes.Buffer
	if err := s.Write(&out, tty.Palette{}, now); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"dev is running: process 7 ('sampan up') since ", "(90s)\n", "  API server   https://127.0.0.1:6443, ready\n", "  version      b1, Kubernetes v1.37.1\n", "1 of 2 run",
		"standard error of the process", "n1    NotReady  <none>", "3h0m", "dns   failed   0s     3", "6443  *        API server",
		"! dns has failed and is to be started again: port 53 is taken", "! node n1 is NotReady",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if s.Well() {
		t.Error("it is said to be well")
	}
}

func TestAge(t *testing.T) {
	now := time.Now()
	for d, want := range map[time.Duration]string{0: "0s", -time.Second: "0s", 119 * time.Second: "119s", 121 * time.Second: "2m1s", 5 * time.Hour: "5h0m", 50 * time.Hour: "2d2h"} {
		if got := age(now, now.Add(-d)); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	if age(now, time.Time{}) != "-" {
		t.Error("a time that is not known has an age")
	}
}

func TestFailingChecks(t *testing.T) {
	text := "[+]ping ok\n[-]store failed: reason withheld\n[+]x ok\n[-]parts failed: dns\nreadyz check failed\n"
	if got := failing(text); got != "store failed: reason withheld; parts failed: dns" {
		t.Errorf("%q", got)
	}
	if got := failing("Unauthorized\n"); got != "Unauthorized" {
		t.Errorf("%q", got)
	}
}

func TestNodeAsKubectlHasIt(t *testing.T) {
	at := metav1.NewTime(time.Now())
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{rolePrefix + "worker": "", rolePrefix + "control-plane": ""}}}
	n.Spec.Unschedulable = true
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: at}}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "a"}, {Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}
	if got := nodeOf(n); got.Status != "Ready,SchedulingDisabled" || got.Roles != "control-plane,worker" || got.Address != "192.0.2.1" || !got.Since.Equal(at.Time) {
		t.Errorf("%+v", got)
	}
	if got := nodeOf(&corev1.Node{}); got.Status != "Unknown" {
		t.Errorf("a node that has said nothing is %s", got.Status)
	}
}

// proc makes files of a /proc.
func proc(t *testing.T, files map[string]string) string {
	t.Helper()
	top := t.TempDir()
	for name, content := range files {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

func TestProcess(t *testing.T) {
	top := proc(t, map[string]string{
		"stat":      "cpu 1 2\nbtime 1000\nprocesses 5\n",
		"7/cmdline": "/bin/sampan\x00server\x00--no-node\x00",
		"7/stat":    "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 9 0 4200 1 1\n",
	})
	if err := os.MkdirAll(filepath.Join(top, "7/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/var/log/x", filepath.Join(top, "7/fd/2")); err != nil {
		t.Fatal(err)
	}
	command, since, log := process(top, 7, "/d/sampan.log")
	if command != "server" || since == nil || !since.Equal(time.Unix(1042, 0)) || log != "/var/log/x" {
		t.Errorf("%q %v %q", command, since, log)
	}
	if command, since, log := process(top, 8, "/d/sampan.log"); command != "" || since != nil || log != "" {
		t.Errorf("of no process: %q %v %q", command, since, log)
	}
}

func TestPorts(t *testing.T) {
	header := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	top := proc(t, map[string]string{
		"7/net/tcp":  header + "   0: 0100007F:192B 00000000:0000 0A 0:0 0:0 0 0 0 11 1\n   1: 0100007F:1111 0100007F:2222 01 0:0 0:0 0 0 0 12 1\n   2: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0 99 1\n",
		"7/net/tcp6": header + "   0: 00000000000000000000000000000000:280A 0:0000 0A 0:0 0:0 0 0 0 13 1\n",
	})
	if err := os.MkdirAll(filepath.Join(top, "7/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	for fd, inode := range map[string]string{"3": "11", "4": "12", "5": "13"} {
		if err := os.Symlink("socket:["+inode+"]", filepath.Join(top, "7/fd", fd)); err != nil {
			t.Fatal(err)
		}
	}
	got := named(listening(top, 7), map[uint16]string{6443: "API server"})
	if len(got) != 2 || got[0] != (Port{6443, "127.0.0.1", "API server"}) || got[1] != (Port{10250, "*", ""}) {
		t.Errorf("%+v", got)
	}
	if a, err := parseAddr("B80D0120000000000000000001000000:0050"); err != nil || a != netip.MustParseAddrPort("[2001:db8::1]:80") {
		t.Errorf("%v, %v", a, err)
	}
	if portOf("https://127.0.0.1:6443") != 6443 || portOf("127.0.0.1:2379") != 2379 || portOf("nonsense") != 0 {
		t.Error("ports of URLs and addresses")
	}
}
