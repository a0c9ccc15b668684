package site

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sampan.dev/internal/config"
)

// A name means a directory, before there is one and afterwards, and a directory elsewhere gets a name that means it.
func TestNames(t *testing.T) {
	top := t.TempDir()
	h := Home(filepath.Join(top, "clusters"))
	mkdir := func(path ...string) string {
		dir := filepath.Join(append([]string{top}, path...)...)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	means := func(name, dir string) {
		t.Helper()
		if got, err := h.Dir(name); got != dir || err != nil {
			t.Errorf("%s means %s, %v; want %s", name, got, err, dir)
		}
	}
	means("dev", filepath.Join(string(h), "dev"))
	means(Default, config.DefaultDataDir)
	for _, bad := range []string{"", "-", "a-", "-a", "A", "a/b", "..", "a.b", "a_b", string(make([]byte, 50))} {
		if dir, err := h.Dir(bad); err == nil {
			t.Errorf("%q is a name, of %s", bad, dir)
		}
	}

	one, other, odd := mkdir("a", "lab"), mkdir("b", "lab"), mkdir("c", "Not_a_name")
	for range 2 { // each start notes
		for _, dir := range []string{one, other, odd} {
			if err := h.Note(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	means("lab", one)
	for _, dir := range []string{one, other, odd} {
		means(h.Name(dir), dir)
	}
	mkdir("clusters", "dev")
	if h.Name(filepath.Join(string(h), "dev")) != "dev" {
		t.Error("a named cluster has no name")
	}
	if all := h.all(); len(all) != 4 || !slices.Contains(all, Site{"lab", one}) || !slices.Contains(all, Site{"dev", filepath.Join(string(h), "dev")}) {
		t.Errorf("all are %v", all)
	}

	// A further node has no name of its own; a name whose directory is gone is free again.
	if err := os.WriteFile(filepath.Join(one, "sampan.pid"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	node := mkdir("a", "lab", "nodes", "2")
	if err := h.Note(node); err != nil || h.Name(node) != "" {
		t.Errorf("a further node is called %q, %v", h.Name(node), err)
	}
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	third := mkdir("d", "lab")
	if err := h.Note(third); err != nil {
		t.Fatal(err)
	}
	means("lab", third)

	for _, dir := range []string{other, odd, third} {
		if err := h.Forget(dir); err != nil {
			t.Error(err)
		}
	}
	if all := h.all(); len(all) != 1 {
		t.Errorf("left: %v", all)
	}
	if err := os.Remove(filepath.Join(string(h), "dev")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.Forget(third); err != nil {
			t.Error(err)
		}
	}
	if exists(string(h)) {
		t.Error("the place of names is still there")
	}
}

func TestChoosePort(t *testing.T) {
	for _, c := range []struct {
		taken []int
		want  int
	}{{nil, 6443}, {[]int{6443}, 6444}, {[]int{6443, 6444, 6446}, 6445}} {
		if got := choose(func(p int) bool { return !slices.Contains(c.taken, p) }); got != c.want {
			t.Errorf("with %v taken: %d, want %d", c.taken, got, c.want)
		}
	}
	if got := choose(func(int) bool { return false }); got != 6443 {
		t.Errorf("with all taken: %d", got)
	}
}

// A cluster listens where it did, if that was chosen for it.
func TestListenIsKept(t *testing.T) {
	dir := t.TempDir()
	if got := Listen(dir, false); got != "" {
		t.Errorf("without a name: %q", got)
	}
	cfg := config.Config{DataDir: dir, Listen: "0.0.0.0:7777"}
	h := Home(t.TempDir())
	if err := h.keep(&cfg, false, nil); err != nil || Listen(dir, false) != "" {
		t.Errorf("kept for a cluster without a name: %v", err)
	}
	cfg.Name = "x"
	if err := h.keep(&cfg, false, nil); err != nil || Listen(dir, false) != "0.0.0.0:7777" {
		t.Errorf("not kept: %v", err)
	}
	cfg.Name, cfg.Listen = "", "127.0.0.1:8888"
	if err := h.keep(&cfg, false, nil); err != nil || Listen(dir, true) != "127.0.0.1:8888" {
		t.Errorf("a change is not kept: %v", err)
	}
}

// Clusters that start at the same moment have chosen the same port: all but one get another. One that was told its port keeps it.
func TestPortsOfClustersThatStartAtOnce(t *testing.T) {
	h := Home(t.TempDir())
	const many = 8
	got := make(chan string, many)
	for i := range many {
		dir := filepath.Join(string(h), fmt.Sprintf("c%d", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		go func() {
			cfg := config.Config{Name: filepath.Base(dir), DataDir: dir, Listen: "0.0.0.0:6443"}
			if err := h.keep(&cfg, true, h.all); err != nil {
				t.Error(err)
			}
			if kept := Listen(dir, true); kept != cfg.Listen {
				t.Errorf("kept %s for %s", kept, cfg.Listen)
			}
			got <- cfg.Listen
		}()
	}
	seen := map[string]bool{}
	for range many {
		at := <-got
		if seen[at] {
			t.Errorf("%s twice", at)
		}
		seen[at] = true
	}
	told := config.Config{Name: "told", DataDir: filepath.Join(string(h), "told"), Listen: "0.0.0.0:6443"}
	if err := os.Mkdir(told.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.keep(&told, false, h.all); err != nil || told.Listen != "0.0.0.0:6443" {
		t.Errorf("told: %s %v", told.Listen, err)
	}
}
