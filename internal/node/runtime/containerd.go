package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Containerd is the bundled containerd as a child of ours. It runs in a session of its own and is not stopped when sampan
// dies: the next sampan finds it by pid file and socket and goes on with it. Containers live on through their shims even
// when containerd itself has to be started anew.
type Containerd struct {
	Bin        string // path of the containerd binary; its shim is looked for beside it
	Runc       string // path of the runc binary
	Root       string // persistent data: images, snapshots, metadata
	State      string // transient data; sockets, so keep the path short (108 bytes)
	PauseImage string // name of the sandbox image
	PauseTar   string // OCI tar that holds it, imported at first start; "" when the image is there or can be pulled

	CNIBinDirs []string
	CNIConfDir string
	HostsDir   string   // folder of registries' hosts (HOST/hosts.toml)
	DropIns    []string // folders of further configuration files
	Slices     bool     // containers run in scopes that systemd makes, as the kubelet's driver systemd has it
	NetNSDir   bool     // keep network namespaces under State instead of /var/run/netns

	// KeepRunning leaves containerd running when Run's context ends, so that containers can still be inspected and a
	// restart is quick; without it Run stops containerd (not the containers).
	KeepRunning bool

	// Tell is told what people should know who look at the node: a reason in one word and a message. It may be nil.
	Tell func(reason, message string)
	Log  *slog.Logger
}

func (c *Containerd) tell(reason, message string) {
	if c.Tell != nil {
		c.Tell(reason, message)
	}
}

// Socket is the path of the CRI (and containerd) socket.
func (c *Containerd) Socket() string { return filepath.Join(c.State, "containerd.sock") }

// Endpoint is Socket as a CRI endpoint.
func (c *Containerd) Endpoint() string { return "unix://" + c.Socket() }

func (c *Containerd) pidFile() string { return filepath.Join(c.State, "containerd.pid") }

// Run starts containerd or attaches to one that is left from before, calls ready once it answers and the sandbox image is
// there, restarts it when it dies, and returns when ctx ends. An error before ready is returned; later ones are logged and
// retried.
func (c *Containerd) Run(ctx context.Context, ready func()) error {
	started := false
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 10*time.Second) {
		begin := time.Now()
		err := c.once(ctx, func() {
			if !started {
				started = true
				ready()
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		if !started {
			return err
		}
		c.Log.Warn("containerd ended, starting it again", "error", err, "delay", delay.String())
		c.tell("ContainerRuntimeRestarted", "containerd has ended and is started again; containers live on: "+err.Error())
		if time.Since(begin) > time.Minute {
			delay = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
	}
}

// once runs containerd until it dies or ctx ends.
func (c *Containerd) once(ctx context.Context, ready func()) error {
	proc, err := c.attach()
	if err != nil {
		return err
	}
	if proc != nil {
		if why := c.outdated(proc); why != "" {
			c.Log.Warn("a containerd from before runs: starting ours in its place, containers live on", "why", why, "pid", proc.pid)
			c.tell("ContainerRuntimeReplaced", "A containerd from before ran here, and "+why+": another is started in its place; containers live on.")
			proc.stop()
			proc = nil
		}
	}
	if err := c.freshMonitor(); err != nil {
		return err
	}
	c.shrinkLogs()
	if proc == nil {
		if proc, err = c.start(); err != nil {
			return err
		}
	}
	if err := c.waitReady(ctx, proc); err != nil {
		if !c.KeepRunning || ctx.Err() == nil {
			proc.stop()
		}
		return err
	}
	if err := c.importPause(ctx); err != nil {
		return err
	}
	ready()
	logs := time.NewTicker(time.Hour)
	defer logs.Stop()
	for {
		select {
		case <-logs.C:
			c.shrinkLogs()
		case <-ctx.Done():
			if !c.KeepRunning {
				proc.stop()
				os.Remove(c.pidFile())
			}
			return nil
		case <-proc.dead:
			return fmt.Errorf("containerd (pid %d) exited; its log is %s", proc.pid, c.logFile())
		}
	}
}

// Stop ends a containerd that is left from an earlier run, for `sampan down`.
func (c *Containerd) Stop() error {
	p, err := c.attach()
	if err != nil || p == nil {
		return err
	}
	p.stop()
	return os.Remove(c.pidFile())
}

func (c *Containerd) logFile() string { return filepath.Join(c.Root, "containerd.log") }

// process is a containerd that runs, our child or not.
type process struct {
	pid  int
	dead chan struct{}
}

func (p *process) stop() {
	_ = syscall.Kill(p.pid, syscall.SIGTERM)
	select {
	case <-p.dead:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		<-p.dead
	}
}

// attach finds a live containerd of this State directory: the pid file names a process whose command line has our
// configuration file. It returns nil when there is none.
func (c *Containerd) attach() (*process, error) {
	b, err := os.ReadFile(c.pidFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find a running containerd: %w", err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if pid <= 0 || err != nil || !strings.Contains(string(cmdline), c.configFile()) {
		return nil, nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, nil // it went just now
	}
	p := &process{pid: pid, dead: make(chan struct{})}
	go func() { // ends with the process: a pidfd becomes readable when its process dies
		defer close(p.dead)
		defer unix.Close(fd)
		for {
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
				return
			}
		}
	}()
	c.Log.Info("attached to running containerd", "pid", pid)
	return p, nil
}

func (c *Containerd) configFile() string { return filepath.Join(c.Root, "config.toml") }

func (c *Containerd) start() (*process, error) {
	for _, d := range []string{c.Root, c.State} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return nil, fmt.Errorf("start containerd: %w", err)
		}
	}
	if err := c.writeConfig(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	if err := os.WriteFile(c.fingerprintFile(), []byte(c.fingerprint()), 0o600); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	defer log.Close()
	os.Remove(c.Socket())
	cmd := exec.Command(c.Bin, "--config", c.configFile(), "--log-level", "warn")
	// Its own session: a signal to our process group must not reach it. The shims are found through PATH.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	shims, err := c.shimDir()
	if err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	path := filepath.Dir(c.Bin) + ":" + os.Getenv("PATH")
	if shims != "" {
		path = shims + ":" + path
	}
	cmd.Env = append(os.Environ(), "PATH="+path)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start containerd %s: %w", c.Bin, err)
	}
	if err := os.WriteFile(c.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
		cmd.Process.Kill()
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	p := &process{pid: cmd.Process.Pid, dead: make(chan struct{})}
	go func() { // ends with the process
		_ = cmd.Wait()
		close(p.dead)
	}()
	c.Log.Debug("started containerd", "pid", p.pid)
	return p, nil
}

// startLimit is how long containerd may take to answer. It comes at once on a machine that has nothing else to do; on a busy one it may
// have minutes' work, taking up the pods of an earlier run. That it died is seen without any limit.
const startLimit = 5 * time.Minute

// waitReady asks the CRI service until it answers. There is no event that tells: the socket is there before the CRI
// plugin is.
func (c *Containerd) waitReady(ctx context.Context, p *process) error {
	cl, err := Dial(c.Endpoint(), c.Log)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		try, stop := context.WithTimeout(ctx, time.Second)
		_, err = cl.Version(try)
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-p.dead:
			return fmt.Errorf("containerd exited while starting: %s (log: %s)", lastLine(c.logFile()), c.logFile())
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer on %s: %w (log: %s)", c.Socket(), err, c.logFile())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (c *Containerd) importPause(ctx context.Context) error {
	if c.PauseTar == "" {
		return nil
	}
	cl, err := Dial(c.Endpoint(), c.Log)
	if err != nil {
		return err
	}
	defer cl.Close()
	if img, err := cl.Image(ctx, c.PauseImage); err == nil && img != nil {
		return nil
	}
	f, err := os.Open(c.PauseTar)
	if err != nil {
		return fmt.Errorf("import the sandbox image: %w", err)
	}
	defer f.Close()
	if err := ImportImage(ctx, c.Endpoint(), "k8s.io", f); err != nil {
		return fmt.Errorf("import the sandbox image: %w", err)
	}
	return nil
}

func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, end-4096), io.SeekStart)
	}
	last := ""
	for sc := bufio.NewScanner(f); sc.Scan(); {
		last = sc.Text()
	}
	return last
}
