package runtime

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A process is of the build that a file has when it runs that file, or another with the same build id.
func TestSameBuild(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(data)
	at := bytes.Index(other, []byte("\x04\x00\x00\x00Go\x00\x00"))
	if at < 0 {
		t.Fatal("a test has no build id")
	}
	other[at+8] ^= 1
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name, file string
		want       bool
	}{
		{"its own file", exe, true},
		{"a copy", put("copy", data), true},
		{"another build", put("other", other), false},
		{"no program", put("text", []byte("#!/bin/sh\n")), false},
		{"nothing", filepath.Join(dir, "none"), true}, // not to be known: nobody is stopped for that
	} {
		if got := sameBuild(os.Getpid(), c.file); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if !sameBuild(1<<30, exe) {
		t.Error("a process that is no more is of another build")
	}
}

// The configuration file is ours until somebody edits it, and theirs until our part changes; nothing that somebody wrote is lost.
func TestConfigurationIsNotOverwritten(t *testing.T) {
	var log bytes.Buffer
	c := &Containerd{Bin: "/none/containerd", Root: t.TempDir(), State: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}
	read := func() string {
		data, err := os.ReadFile(c.configFile())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	write := func(text string) {
		if err := os.WriteFile(c.configFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put := func() {
		t.Helper()
		if err := c.writeConfig(); err != nil {
			t.Fatal(err)
		}
	}
	put()
	ours := read()
	if ours != stamped(c.config()) {
		t.Errorf("first: %s", ours)
	}
	edited := ours + "# mine\n"
	write(edited)
	put()
	if read() != edited || !strings.Contains(log.String(), "was edited and is used as it is") {
		t.Errorf("an edited file: %s\n%s", read(), log.String())
	}
	c.PauseImage = "another"
	put()
	kept, _ := os.ReadFile(c.configFile() + ".edited")
	if read() != stamped(c.config()) || string(kept) != edited {
		t.Errorf("edited, and our part has changed: %s\nkept: %s", read(), kept)
	}
	c.PauseImage = "a third"
	write("# written by sampan at every start of containerd\nversion = 3\n") // as earlier builds did
	put()
	if read() != stamped(c.config()) {
		t.Errorf("of an earlier build: %s", read())
	}
}

// What others put into their files is read by the real containerd, goes before ours, and brings plugins back that we leave out.
func TestDropIns(t *testing.T) {
	dir := t.TempDir()
	c := &Containerd{Bin: "/none/containerd", Root: t.TempDir(), State: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		DropIns: []string{filepath.Join(dir, "none"), dir}, HostsDir: "/data/registries"}
	if text := c.config(); !strings.Contains(text, `"io.containerd.nri.v1.nri"`) || !strings.Contains(text, `config_path = "/data/registries"`) {
		t.Errorf("without files: %s", text)
	}
	was := c.fingerprint()
	mine := "version = 3\n[plugins.'io.containerd.nri.v1.nri']\n  socket_path = '/run/mine.sock'\n[plugins.'io.containerd.cri.v1.images']\n  max_concurrent_downloads = 7\n"
	if err := os.WriteFile(filepath.Join(dir, "mine.toml"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(c.config(), `"io.containerd.nri.v1.nri"`) {
		t.Error("a plugin that a file configures is left out")
	}
	if c.fingerprint() == was {
		t.Error("a new file leaves the fingerprint as it was: containerd would not be started anew")
	}
	bin, _ := filepath.Abs("../../../bin/containerd")
	if _, err := os.Stat(bin); err != nil {
		t.Skip("the rest needs bin/containerd (make build)")
	}
	if err := c.writeConfig(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "--config", c.configFile(), "config", "dump").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"max_concurrent_downloads = 7", "/run/mine.sock", "/data/registries", c.Root} {
		if !strings.Contains(string(out), want) {
			t.Errorf("containerd does not read %q:\n%s", want, out)
		}
	}
}

// A log that somebody else appends to is emptied when it is large, its end kept beside it.
func TestShrink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 5 {
		for range 300 {
			if _, err := f.WriteString("a line\n"); err != nil {
				t.Fatal(err)
			}
		}
		if err := shrink(path, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.WriteString("the last\n"); err != nil {
		t.Fatal(err)
	}
	now, _ := os.ReadFile(path)
	old, _ := os.ReadFile(path + ".1")
	if string(now) != "the last\n" || len(old) != 1000 {
		t.Errorf("%q, and %d bytes before", now, len(old))
	}
	if err := shrink(path, 1000); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); string(again) != "the last\n" {
		t.Errorf("a small log is emptied: %q", again)
	}
}
