package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// disabled are containerd's plugins that a node of ours never uses; each costs start time or memory.
var disabled = []string{
	"io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
	"io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
	"io.containerd.differ.v1.erofs", "io.containerd.mount-handler.v1.erofs",
	"io.containerd.internal.v1.restart", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
	"io.containerd.image-verifier.v1.bindir", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt",
	"io.containerd.monitor.task.v1.cgroups", "io.containerd.monitor.container.v1.restart", "io.containerd.http.v1.pprof",
	"io.containerd.metrics.v1.grpc-prometheus", "io.containerd.metrics.v1.grpc-otel", "io.containerd.ttrpc.v1.otelttrpc",
}

// config is containerd's configuration file.
func (c *Containerd) config() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("version = 3")
	if len(c.DropIns) > 0 {
		p("imports = [%s]", quoted(patterns(c.DropIns)))
	}
	p("root = %q", c.Root)
	p("state = %q", c.State)
	p("disabled_plugins = [%s]", quoted(c.unused()))
	if canLowerOOM() {
		p("oom_score = -999")
	}
	p("[grpc]")
	p("  address = %q", c.Socket())
	p("[plugins.'io.containerd.cri.v1.images']")
	p("  snapshotter = %q", snapshotter(c.Root))
	p("  [plugins.'io.containerd.cri.v1.images'.pinned_images]")
	p("    sandbox = %q", c.PauseImage)
	p("  [plugins.'io.containerd.cri.v1.images'.registry]")
	p("    config_path = %q", c.HostsDir) // one: of several, pulls by the transfer service read none
	p("[plugins.'io.containerd.cri.v1.runtime']")
	p("  restrict_oom_score_adj = %t", !canLowerOOM())
	p("  disable_apparmor = %t", !hasAppArmor())
	p("  netns_mounts_under_state_dir = %t", c.NetNSDir)
	p("  enable_unprivileged_ports = true")
	p("  enable_unprivileged_icmp = true")
	p("  disable_hugetlb_controller = false") // else containers' limits of huge pages are dropped silently
	p("  tolerate_missing_hugetlb_controller = true")
	// containerd samples every cgroup once a second, a tenth of a core with a hundred pods, only to know the rates of CPU
	// use. The node makes its own from the totals, when somebody asks.
	p("  stats_collect_period = '87600h'")
	p("  [plugins.'io.containerd.cri.v1.runtime'.cni]")
	p("    bin_dirs = [%s]", quoted(c.CNIBinDirs))
	p("    conf_dir = %q", c.CNIConfDir)
	p("    use_internal_loopback = true")
	p("  [plugins.'io.containerd.cri.v1.runtime'.containerd]")
	p("    default_runtime_name = 'runc'")
	p("    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]")
	p("      runtime_type = 'io.containerd.runc.v2'")
	if shim := c.shim(); shim != "" {
		p("      runtime_path = %q", shim) // one monitor for all pods instead of a shim for each
		p("      sandboxer = 'shim'")      // which makes sandboxes too, without a container or an image
		p("      disable_pause_image_pull = true")
	}
	p("      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]")
	p("        BinaryName = %q", c.Runc)
	// Below our own directory, not in /run/containerd, which clusters side by side would share and leave behind.
	p("        Root = %q", filepath.Join(c.State, "runc"))
	p("        SystemdCgroup = %t", c.Slices)
	if dir := filepath.Join(c.State, "s"); len(dir) <= maxSocketDir {
		p("[plugins.'io.containerd.shim.v1.manager']")
		p("  socket_dir = %q", dir) // for the same reason
	}
	p("[plugins.'io.containerd.grpc.v1.cri']")
	p("  stream_server_address = '127.0.0.1'")
	p("  stream_server_port = '0'")
	p("[plugins.'io.containerd.transfer.v1.local']")
	p("  [[plugins.'io.containerd.transfer.v1.local'.unpack_config]]")
	p("    platform = 'linux'")
	p("    snapshotter = %q", snapshotter(c.Root))
	return b.String()
}

// maxSocketDir is the longest directory that containerd takes for its shims' sockets: their names are hashes, and a socket's
// path has at most 107 characters. With a longer one they are in /run/containerd/s.
const maxSocketDir = 42

// shim is the launcher of our monitor; "" if it is not there, and then there is a stock shim for each pod.
func (c *Containerd) shim() string {
	dir := filepath.Dir(c.Bin)
	if shim := filepath.Join(dir, "sampan-shim"); isFile(shim) && isFile(filepath.Join(dir, "sampan-monitor")) && isFile(filepath.Join(dir, "pause")) {
		return shim
	}
	return ""
}

// shimDir makes a directory in which the launcher has the name of the stock shim: by that name, in PATH, the part of containerd
// that starts sandboxes looks for one. It returns "" when there is no launcher.
func (c *Containerd) shimDir() (string, error) {
	shim := c.shim()
	if shim == "" {
		return "", nil
	}
	dir := filepath.Join(c.State, "bin")
	link := filepath.Join(dir, "containerd-shim-runc-v2")
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", err
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return dir, os.Symlink(shim, link)
}

func patterns(dirs []string) []string {
	var out []string
	for _, dir := range dirs {
		out = append(out, filepath.Join(dir, "*.toml"))
	}
	return out
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

// canLowerOOM reports whether we may lower oom_score_adj, which needs CAP_SYS_RESOURCE. Without it runc fails on every
// container whose score is below its parent's.
func canLowerOOM() bool {
	var data [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

func hasAppArmor() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(b), "Y")
}

// snapshotter is overlayfs, or the slow but undemanding native where the root directory itself lies on an overlay (nested
// in a container), on which the kernel takes no upper directory.
func snapshotter(root string) string {
	var st unix.Statfs_t
	for dir := root; ; dir = dir[:strings.LastIndexByte(dir, '/')] {
		if dir == "" {
			dir = "/"
		}
		if err := unix.Statfs(dir, &st); err == nil {
			break
		}
		if dir == "/" {
			break
		}
	}
	if st.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native"
	}
	return "overlayfs"
}
