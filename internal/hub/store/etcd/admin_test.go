package etcd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/hub/store"
)

// TestSnapshotAndRestore takes a snapshot of a running member and makes another member of it: the values are there, revisions
// go on above all that were given out, and watches from before are told to list anew.
func TestSnapshotAndRestore(t *testing.T) {
	certs, addr := newCerts(t), freeAddr(t)
	s := embedded(t, EmbeddedConfig{Dir: t.TempDir(), Listen: addr, TLS: certs.server})
	for i := range 50 {
		if _, err := s.Create(t.Context(), fmt.Sprintf("/registry/pods/d/%02d", i), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	a, err := Connect(t.Context(), addr, certs.client, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if text, err := a.Status(t.Context()); err != nil || !strings.Contains(text, "alarms:     none") {
		t.Errorf("status: %q %v", text, err)
	}
	if err := a.Defragment(t.Context()); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	if err := a.Snapshot(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if err := a.Snapshot(t.Context(), file); err == nil {
		t.Error("a file that is there was overwritten")
	}
	before, err := s.Revision(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	checkWithStock(t, file)

	dir := t.TempDir()
	rev, err := Restore(file, dir)
	if err != nil || rev <= before {
		t.Fatalf("restored at %d after %d: %v", rev, before, err)
	}
	if _, err := Restore(file, dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restored over what is there: %v", err)
	}
	r := embedded(t, EmbeddedConfig{Dir: dir})
	n := 0
	at, err := r.Scan(t.Context(), "/registry/pods/", func(kvs []store.KV) error { n += len(kvs); return nil })
	if err != nil || n != 50 || at < rev {
		t.Errorf("%d values at %d: %v", n, at, err)
	}
	if err := r.Watch(t.Context(), "/registry/", before, func([]store.Event) error { return nil }); err == nil {
		t.Error("a watch from before goes on")
	}
	if wrote, err := r.Create(t.Context(), "/registry/pods/d/new", []byte("y"), 0); err != nil || wrote <= rev {
		t.Errorf("written at %d: %v", wrote, err)
	}
	r.Close()
	r = embedded(t, EmbeddedConfig{Dir: dir})
	if kv, _, err := r.Get(t.Context(), "/registry/pods/d/new"); err != nil || string(kv.Value) != "y" {
		t.Errorf("after another start: %+v %v", kv, err)
	}

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"flipped": append(bytes.Clone(data[:1000]), append([]byte{data[1000] ^ 1}, data[1001:]...)...),
		"short":   data[:len(data)-512], "empty": {},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(path, t.TempDir()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checkWithStock has the stock tool read the snapshot, where there is one.
func checkWithStock(t *testing.T, file string) {
	ctl := os.Getenv("SAMPAN_TEST_ETCDUTL")
	if ctl == "" {
		t.Log("SAMPAN_TEST_ETCDUTL is not set: no stock tool has read the snapshot")
		return
	}
	if out, err := exec.Command(ctl, "snapshot", "restore", file, "--data-dir", filepath.Join(t.TempDir(), "data")).CombinedOutput(); err != nil {
		t.Errorf("etcdutl: %v\n%s", err, out)
	}
}
