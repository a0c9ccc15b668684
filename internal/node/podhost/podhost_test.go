package podhost

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/object"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func newMachine(t *testing.T) *Machine {
	t.Helper()
	log, dir := slog.New(slog.DiscardHandler), t.TempDir()
	m, err := New(Config{
		Paths: Paths{Root: filepath.Join(dir, "k"), Logs: filepath.Join(dir, "logs"), Links: filepath.Join(dir, "links")},
		Log:   log, Cgroups: noGroups(t, dir), Objects: object.New(nil, log, func(types.UID) {}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func aPod(uid string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.UID = "ns", "p", types.UID(uid)
	return p
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// The number of a run is read from the names of its log files; its files go with their link and leave others alone.
func TestLogs(t *testing.T) {
	m, pod := newMachine(t), aPod("u")
	if n := m.Restarts(pod, "c"); n != 0 {
		t.Errorf("%d restarts without logs", n)
	}
	if err := m.MakeLogs(pod, "c"); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(m.cfg.PodLogs(pod), "c")
	for _, name := range []string{"0.log", "1.log", "1.log.20260101-000000", "10.log.20260101-000000.gz", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.Restarts(pod, "c"); n != 11 {
		t.Errorf("%d restarts", n)
	}
	m.LinkLog(pod, "c", "id1", "c/1.log")
	link := filepath.Join(m.cfg.Links, "p_ns_c-id1.log")
	if to, err := os.Readlink(link); err != nil || to != filepath.Join(dir, "1.log") {
		t.Errorf("%s, %v", to, err)
	}
	m.DropLogs(pod, &runtime.Container{Name: "c", ID: "id1", LogPath: filepath.Join(dir, "1.log")})
	if exists(link) || exists(filepath.Join(dir, "1.log")) || exists(filepath.Join(dir, "1.log.20260101-000000")) || !exists(filepath.Join(dir, "0.log")) {
		t.Error("wrong files are left")
	}
}

// What a pod has is made, and all of it goes; of pods that nobody knows too.
func TestDirectories(t *testing.T) {
	m := newMachine(t)
	for _, uid := range []string{"a", "b", "c"} {
		pod := aPod(uid)
		if _, err := m.Prepare(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Mounts(Mounting{Pod: pod, Container: &corev1.Container{Name: "c", TerminationMessagePath: "/dev/termination-log"}, IPs: []string{"192.0.2.1"}}); err != nil {
			t.Fatal(err)
		}
		if !exists(m.cfg.hosts(pod.UID)) {
			t.Error("no hosts file")
		}
	}
	if err := m.Dismantle(aPod("a")); err != nil {
		t.Fatal(err)
	}
	if err := m.Clear(aPod("a")); err != nil {
		t.Fatal(err)
	}
	m.Sweep(func(uid types.UID) bool { return uid == "b" })
	if exists(m.cfg.pod("a")) || !exists(m.cfg.pod("b")) || exists(m.cfg.pod("c")) {
		t.Error("wrong directories are left")
	}
}

// noGroups makes no groups.
func noGroups(t *testing.T, dir string) *cgroup.Manager {
	m, err := cgroup.New(dir, "/", "cgroupfs", true)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
