package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/machine/node"
	"sampan.dev/internal/machine/place"
	"sampan.dev/internal/plane"
)

// Whatever a command ends with says what was tried, on what, and what to do.
func TestErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(dir string) config.Paths { return (&config.Config{DataDir: dir}).Paths() }
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	failing := func(op string, errno syscall.Errno) error {
		return fmt.Errorf("claim /data: %w", &fs.PathError{Op: op, Path: dir, Err: errno})
	}
	for _, c := range []struct {
		name string
		try  func() error
		want []string // tried, on what, what to do
	}{
		{"a folder of another's", func() error { return failing("open", syscall.EACCES) }, []string{"claim", dir, "sudo sampan", "--data-dir ~/"}},
		{"a file in the way", func() error { _, err := hold.Claim(at(filepath.Join(file, "below"))); return err }, []string{"make", file, "--data-dir"}},
		{"a full disk", func() error { return failing("write", syscall.ENOSPC) }, []string{"claim", dir, "make room"}},
		{"a disk that is only read", func() error { return failing("open", syscall.EROFS) }, []string{"claim", dir, "mount it for writing"}},
		{"a broken disk", func() error { return failing("read", syscall.EIO) }, []string{"claim", dir, "dmesg"}},
		{"too many files", func() error { return failing("open", syscall.EMFILE) }, []string{"claim", dir, "ulimit"}},
		{"a port that is taken", func() error {
			_, err := plane.OpenListener(config.Config{Listen: taken.Addr().String(), Nodes: 1})
			return err
		}, []string{"--listen", taken.Addr().String(), "ss -ltnp"}},
		{"an address of another machine", func() error {
			_, err := plane.OpenListener(config.Config{Listen: "192.0.2.77:6443", Nodes: 1})
			return err
		}, []string{"--listen", "192.0.2.77:6443", "ip address"}},
		{"an API server that is away", func() error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			_, err = node.FetchAuthority(t.Context(), "https://"+l.Addr().String(), "sha256:00")
			return err
		}, []string{"reach https://127.0.0.1", "sampan up"}},
		{"a host that is away", func() error { return fmt.Errorf("reach https://192.0.2.1: %w", syscall.EHOSTUNREACH) }, []string{"reach", "192.0.2.1", "route"}},
		{"a runtime that is away", func() error {
			return errors.New(`import x.tar: rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix /run/none.sock: connect: no such file or directory"`)
		}, []string{"import x.tar", "/run/none.sock", "sampan up"}},
		{"no programs", func() error { return errors.Join(machine.Programs(config.Config{})...) }, []string{"containerd belongs beside sampan", filepath.Dir(os.Args[0]), "make build"}},
		{"no runtime of another's", func() error {
			return errors.Join(machine.Programs(config.Config{RuntimeEndpoint: "unix:///run/none.sock"})...)
		}, []string{"--container-runtime-endpoint unix:///run/none.sock", "no such file", "start that runtime first"}},
		{"no socket", func() error {
			return errors.Join(machine.Programs(config.Config{RuntimeEndpoint: "unix://" + file})...)
		}, []string{file, "no socket", "name the runtime's"}},
		{"a data directory in use", func() error {
			paths := at(t.TempDir())
			paths.Run = filepath.Join(t.TempDir(), "run")
			t.Cleanup(func() { _ = place.RemoveRunDir(paths.Run) }) // a mount, where root runs this on a disk
			c, err := hold.Claim(paths)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Release()
			_, err = hold.Claim(paths)
			return err
		}, []string{"in use by process", "sampan down --data-dir"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.try()
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error() + "\n" + Advice(err)
			if os.Geteuid() == 0 {
				text = strings.ReplaceAll(text, "even root may not", "sudo sampan --data-dir ~/") // nobody is told to become what they are
			}
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in:\n%s", want, text)
				}
			}
		})
	}
	if then := Advice(errors.New("something else")); then != "" {
		t.Errorf("advice about nothing: %s", then)
	}
}
