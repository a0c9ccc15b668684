package install

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func plan(t *testing.T) Plan {
	t.Helper()
	from := t.TempDir()
	for _, name := range []string{"sampan", "runc", "pause.tar"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return Plan{Root: t.TempDir(), Prefix: "/usr/local", From: from, Names: []string{"sampan", "runc", "pause.tar"}}
}

// below are the files of a machine.
func below(root string) (out []string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(path, root))
		}
		return nil
	})
	return out
}

// What is installed, over what was installed before too, is taken away whole, and nothing else is.
func TestInstallAndRemove(t *testing.T) {
	p := plan(t)
	if paths, err := p.Installed(); err != nil || paths != nil {
		t.Errorf("installed before: %v, %v", paths, err)
	}
	for range 2 {
		if _, err := p.Install(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{UnitPath, "/usr/local/bin/sampan", "/usr/local/lib/sampan/installed", "/usr/local/lib/sampan/pause.tar", "/usr/local/lib/sampan/runc", "/usr/local/lib/sampan/sampan"}
	if got := below(p.Root); !slices.Equal(got, want) {
		t.Errorf("there is %v", got)
	}
	if data, err := os.ReadFile(filepath.Join(p.Root, "/usr/local/bin/sampan")); err != nil || string(data) != "sampan" {
		t.Errorf("the link leads to %q, %v", data, err)
	}
	if info, err := os.Stat(filepath.Join(p.Root, "/usr/local/lib/sampan/pause.tar")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("an image is a program: %v, %v", info, err)
	}
	paths, err := p.Installed()
	if err != nil || len(p.Left(paths, "/none")) != len(paths)+1 {
		t.Errorf("left while it is installed: %v of %v, %v", p.Left(paths, "/none"), paths, err)
	}
	removed, err := p.Remove()
	if err != nil || len(removed) != len(want) || len(below(p.Root)) > 0 || len(p.Left(paths, "/none")) > 0 {
		t.Errorf("removed %v, left %v: %v", removed, p.Left(paths, "/none"), err)
	}
	if again, err := p.Remove(); err != nil || len(again) > 0 {
		t.Errorf("removed again %v, %v", again, err)
	}

	// Somebody else's file keeps the folder, which is told.
	if _, err := p.Install(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.Root, p.lib(), "theirs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Remove(); err != nil {
		t.Fatal(err)
	}
	if left := p.Left(paths, "/none"); !slices.Equal(left, []string{p.lib()}) {
		t.Errorf("left %v", left)
	}
	if got := below(p.Root); !slices.Equal(got, []string{"/usr/local/lib/sampan/theirs"}) {
		t.Errorf("there is %v", got)
	}
}

func TestProcessesThatAreLeftAreNamed(t *testing.T) {
	p, proc := plan(t), t.TempDir()
	for pid, exe := range map[string]string{"7": "/usr/local/lib/sampan/containerd (deleted)", "8": "/bin/sh"} {
		if err := errors.Join(os.Mkdir(filepath.Join(proc, pid), 0o700), os.Symlink(exe, filepath.Join(proc, pid, "exe"))); err != nil {
			t.Fatal(err)
		}
	}
	if left := p.Left(nil, proc); !slices.Equal(left, []string{"process 7 (/usr/local/lib/sampan/containerd)"}) {
		t.Errorf("left %v", left)
	}
}

// systemd itself reads the unit, where it is installed.
func TestUnit(t *testing.T) {
	for _, agent := range []bool{false, true} {
		p := Plan{Prefix: "/usr/local", Agent: agent}
		text := p.Unit()
		for _, want := range []string{"Type=notify\n", "Delegate=yes\n", "KillMode=process\n", "ExecStart=/usr/local/bin/sampan " + map[bool]string{false: "server", true: "agent"}[agent] + "\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %s", want, text)
			}
		}
		analyze, err := exec.LookPath("systemd-analyze")
		if err != nil {
			t.Skip("systemd-analyze, which would read the unit, is not installed")
		}
		file := filepath.Join(t.TempDir(), "sampan.service")
		text = strings.ReplaceAll(text, "/usr/local/bin/sampan", "/bin/true") // it must be there
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
		if err != nil || strings.Contains(string(out), file) {
			t.Errorf("%v: %s", err, out)
		}
	}
}
