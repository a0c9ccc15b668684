package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// sameBuild reports whether a process runs what is in a file now: after an upgrade in place it may still run what was there
// before. What cannot be found out counts as the same, since nobody should be stopped for that.
func sameBuild(pid int, file string) bool {
	running := fmt.Sprintf("/proc/%d/exe", pid)
	was, err1 := os.Stat(running)
	is, err2 := os.Stat(file)
	if err1 != nil || err2 != nil || os.SameFile(was, is) {
		return true
	}
	// The same program may have been put there again, or be used from another folder.
	a, err1 := buildID(running)
	b, err2 := buildID(file)
	if err1 != nil || err2 != nil {
		return was.Size() == is.Size() && was.ModTime().Equal(is.ModTime())
	}
	return a == b
}

// buildID is what Go's linker writes into the beginning of a program: a hash of what went into it.
func buildID(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", err
	}
	// An ELF note: the lengths of name and description, the type 4, the name, the description.
	at := bytes.Index(head, []byte("\x04\x00\x00\x00Go\x00\x00"))
	if at < 8 || binary.LittleEndian.Uint32(head[at-8:]) != 4 {
		return "", errors.New("no build id")
	}
	size := int(binary.LittleEndian.Uint32(head[at-4:]))
	if size > 1024 || at+8+size > len(head) {
		return "", errors.New("no build id")
	}
	return string(head[at+8 : at+8+size]), nil
}

// The launcher and the monitor find each other by a name in the state directory: "monitor", or another after an upgrade.
const monitorName = "monitor.name"

// freshMonitor sees to it that pods are given to a monitor of the build that lies beside containerd. An old one keeps those that
// it has, since containers are their monitor's children, and ends with the last of them: the new one gets a name of its own.
func (c *Containerd) freshMonitor() error {
	program := filepath.Join(filepath.Dir(c.Bin), "sampan-monitor")
	if c.shim() == "" {
		return nil
	}
	names := []string{c.monitor()}
	for _, path := range c.monitorSockets() {
		if name := strings.TrimSuffix(filepath.Base(path), ".ctl"); name != names[0] {
			names = append(names, name)
		}
	}
	for _, name := range names {
		pid := peer(filepath.Join(c.State, name+".ctl"))
		if pid == 0 && name == names[0] || pid != 0 && sameBuild(pid, program) {
			return c.nameMonitor(name) // nobody has it, or who has it is as new as ours
		}
	}
	for n := 2; ; n++ {
		if name := fmt.Sprintf("monitor-%d", n); !slices.Contains(names, name) {
			c.Log.Warn("the monitor that runs is of another build: it keeps its containers, new pods get one of ours", "monitor", name)
			c.tell("OldContainerMonitor", "The monitor of the containers that run is of an earlier build. It keeps them; new pods get one of this build. Delete pods to have them made anew below it.")
			return c.nameMonitor(name)
		}
	}
}

func (c *Containerd) monitorSockets() []string {
	paths, _ := filepath.Glob(filepath.Join(c.State, "monitor*.ctl"))
	return paths
}

func (c *Containerd) monitor() string {
	if data, err := os.ReadFile(filepath.Join(c.State, monitorName)); err == nil && len(data) > 0 {
		return string(data)
	}
	return "monitor"
}

func (c *Containerd) nameMonitor(name string) error {
	if name == c.monitor() {
		return nil
	}
	// Renamed into place: a launcher that reads it meanwhile finds the one or the other.
	file := filepath.Join(c.State, monitorName)
	if err := os.WriteFile(file+".new", []byte(name), 0o600); err != nil {
		return fmt.Errorf("name the monitor: %w", err)
	}
	return os.Rename(file+".new", file)
}

// peer is the process that listens at a socket, 0 if nobody does. The monitor takes the connection for a launcher's and stays
// for some seconds.
func peer(path string) int {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return 0
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}

// fingerprint tells one configuration from another: what we would write, what is there, and the files of others.
func (c *Containerd) fingerprint() string {
	h := sha256.New()
	fmt.Fprintln(h, hashOf(c.config()))
	for _, file := range append(c.dropIns(), c.configFile()) {
		data, _ := os.ReadFile(file)
		fmt.Fprintf(h, "%s %d\n%s", file, len(data), data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c *Containerd) fingerprintFile() string { return filepath.Join(c.State, "containerd.config") }

// outdated says why a containerd that runs is not what would be started now; "" when it is.
func (c *Containerd) outdated(p *process) string {
	if !sameBuild(p.pid, c.Bin) {
		return "it is of another build"
	}
	was, err := os.ReadFile(c.fingerprintFile())
	if err == nil && string(was) != c.fingerprint() {
		return "its configuration has changed"
	}
	return ""
}
