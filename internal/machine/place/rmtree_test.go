package place

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inMounts runs fn on a thread with mounts of its own, which are shared among themselves, as on most machines.
func inMounts(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	if os.Getenv("SAMPAN_TEST_MOUNTS") == "" { // the whole process: removeTree reads /proc/self
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "SAMPAN_TEST_MOUNTS=1")
		cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+" ") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	fn(t)
}

func mountTmpfs(t *testing.T, source, dir string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mount(source, dir, "tmpfs", 0, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

func put(t *testing.T, files ...string) {
	t.Helper()
	for _, f := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o755), os.WriteFile(f, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// What is ours goes; a place that is somebody's stays, empty; what cannot go is named.
func TestRemoveTree(t *testing.T) {
	inMounts(t, func(t *testing.T) {
		for _, test := range []struct {
			name string
			make func(t *testing.T, top, data string)
			kept []string // below top, afterwards
			fail string
		}{
			{"a directory", func(t *testing.T, _, data string) { put(t, data+"/a/b", data+"/c") }, nil, ""},
			{"nothing", func(*testing.T, string, string) {}, nil, ""},
			{"a mount point", func(t *testing.T, _, data string) { mountTmpfs(t, "disk", data); put(t, data+"/a/b") }, []string{"data"}, ""},
			{"two mounts, one over the other", func(t *testing.T, _, data string) {
				mountTmpfs(t, "disk", data)
				mountTmpfs(t, "disk", data)
				put(t, data+"/a/b")
			}, []string{"data"}, ""},
			{"a mount point below", func(t *testing.T, _, data string) {
				put(t, data+"/c")
				mountTmpfs(t, "disk", data+"/etcd")
				put(t, data+"/etcd/db")
			},
				[]string{"data", "data/etcd"}, ""},
			{"a link to another disk", func(t *testing.T, top, data string) {
				put(t, top+"/disk/sampan/a/b")
				if err := os.Symlink(top+"/disk/sampan", data); err != nil {
					t.Fatal(err)
				}
			}, []string{"data", "disk", "disk/sampan"}, ""},
			{"a link above", func(t *testing.T, top, data string) {
				put(t, top+"/else/f")
				put(t, data+"/a")
			}, []string{"else", "else/f"}, ""},
			{"a link to nowhere", func(t *testing.T, top, data string) {
				if err := os.Symlink(top+"/gone", data); err != nil {
					t.Fatal(err)
				}
			}, nil, ""},
			{"links inside", func(t *testing.T, top, data string) {
				put(t, top+"/home/f", data+"/a")
				if err := os.Symlink(top+"/home", data+"/home"); err != nil {
					t.Fatal(err)
				}
			}, []string{"home", "home/f"}, ""},
			{"a read-only part", func(t *testing.T, _, data string) {
				mountTmpfs(t, "disk", data+"/ro")
				put(t, data+"/ro/f")
				if err := unix.Mount("", data+"/ro", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			}, []string{"data", "data/ro", "data/ro/f"}, "data/ro/f"},
		} {
			t.Run(test.name, func(t *testing.T) {
				top := t.TempDir()
				data := filepath.Join(top, "data")
				test.make(t, top, data)
				for range 2 { // a second time is as good
					err := RemoveTree(data)
					if (err != nil) != (test.fail != "") || err != nil && !strings.Contains(err.Error(), test.fail) {
						t.Errorf("%v", err)
					}
				}
				var kept []string
				_ = filepath.WalkDir(top, func(path string, _ fs.DirEntry, _ error) error {
					if rel, _ := filepath.Rel(top, path); rel != "." {
						kept = append(kept, rel)
					}
					return nil
				})
				if strings.Join(kept, " ") != strings.Join(test.kept, " ") {
					t.Errorf("left %v, want %v", kept, test.kept)
				}
			})
		}
	})
}

// The run directory's own memory is unmounted, somebody else's mount is not; mounts below a link are found.
func TestRunDirAndLinks(t *testing.T) {
	inMounts(t, func(t *testing.T) {
		top := t.TempDir()
		mountTmpfs(t, runMount, top+"/ours")
		mountTmpfs(t, "theirs", top+"/theirs")
		put(t, top+"/ours/a", top+"/theirs/a")
		if err := errors.Join(RemoveRunDir(top+"/ours"), RemoveRunDir(top+"/theirs")); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(top + "/*"); len(left) != 1 || left[0] != top+"/theirs" {
			t.Errorf("left %v", left)
		}
		mountTmpfs(t, "pod", top+"/real/pods/volume")
		put(t, top+"/real/pods/volume/precious")
		if err := os.Symlink(top+"/real", top+"/linked"); err != nil {
			t.Fatal(err)
		}
		if err := unmountBelow(top + "/linked"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(top + "/real/pods/volume/precious"); err == nil {
			t.Error("a mount below a link is still there")
		}
	})
}

// A namespace can be removed whoever has made others before or after it, in whatever way.
func TestNamedNamespaces(t *testing.T) {
	inMounts(t, func(t *testing.T) {
		mountTmpfs(t, "run", "/run")
		foreign := func(t *testing.T) { // as "ip netns add" makes one
			t.Helper()
			if out, err := exec.Command("ip", "netns", "add", "foreign").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		plain := func(t *testing.T) { // as a program makes one that shares nothing
			t.Helper()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			own, err := netns.Get()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := netns.NewNamed("ours"); err != nil {
				t.Fatal(err)
			}
			if err := netns.Set(own); err != nil {
				t.Fatal(err)
			}
		}
		ours := func(t *testing.T) {
			t.Helper()
			if err := InNetns("ours", true, func(_, _ netns.NsHandle) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			name  string
			steps []func(*testing.T)
		}{
			{"ours alone", []func(*testing.T){ours}},
			{"ours, then another", []func(*testing.T){ours, foreign}},
			{"another, then ours", []func(*testing.T){foreign, ours}},
			{"one of an older version, then another", []func(*testing.T){plain, foreign}},
		} {
			t.Run(test.name, func(t *testing.T) {
				_ = unix.Unmount("/run", unix.MNT_DETACH)
				mountTmpfs(t, "run", "/run")
				for _, step := range test.steps {
					step(t)
				}
				for range 2 {
					if err := DeleteNamed("ours"); err != nil {
						t.Error(err)
					}
				}
				if _, err := os.Stat("/run/netns/ours"); err == nil {
					t.Error("it is still there")
				}
				if len(test.steps) > 1 {
					if out, err := exec.Command("ip", "netns", "exec", "foreign", "true").CombinedOutput(); err != nil {
						t.Errorf("the other is gone: %v %s", err, out)
					}
				}
			})
		}
	})
}
