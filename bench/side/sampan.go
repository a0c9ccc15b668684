package side

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sampan.dev/bench/proc"
)

// Sampan runs the program in a data directory of its own.
type Sampan struct {
	Bin  string // the executable; containerd and the rest lie beside it
	Dir  string // data directory; the agent's has "-agent" behind it
	Port int
	Logs string   // folder for its log
	More []string // further flags of the server

	shape         Shape
	server, agent *process
	join          []string // command line of the agent, without the program
}

// OpenSampan finds the program and clears what an earlier bench that was killed has left.
func OpenSampan(ctx context.Context, bin, logs string, port int, more []string) (*Sampan, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("port of sampan's API server: %w", err)
	}
	l.Close()
	s := &Sampan{Bin: bin, Dir: fmt.Sprintf("%s%d", dirPrefix, os.Getpid()), Port: port, Logs: logs, More: more}
	return s, s.clearOld(ctx)
}

const dirPrefix = "/var/tmp/sampan-bench-"

// clearOld purges the data directories of benches that are no more.
func (s *Sampan) clearOld(ctx context.Context) error {
	old, _ := filepath.Glob(dirPrefix + "*")
	var errs []error
	for _, dir := range old {
		num, _, _ := strings.Cut(strings.TrimPrefix(dir, dirPrefix), "-")
		if pid, err := strconv.Atoi(num); err != nil || proc.Alive(pid) {
			continue
		}
		errs = append(errs, s.purge(ctx, dir))
	}
	return errors.Join(errs...)
}

func (s *Sampan) Name() string       { return "sampan" }
func (s *Sampan) Address() string    { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }
func (s *Sampan) Kubeconfig() string { return filepath.Join(s.Dir, "admin.kubeconfig") }
func (s *Sampan) Image() string      { return "sampan.dev/pause:1" }

// Assets has sampan make the folder beside the program.
func (s *Sampan) Assets(ctx context.Context) (string, error) {
	dir := filepath.Join(filepath.Dir(s.Bin), "envtest")
	if out, err := exec.CommandContext(ctx, s.Bin, "envtest", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("sampan envtest: %w: %s", err, out)
	}
	return dir, nil
}

// Prepare does nothing but for a proxy: all else is part of a start.
func (s *Sampan) Prepare(ctx context.Context, shape Shape) error {
	s.shape = shape
	if shape.Proxy {
		return s.makeNetwork(ctx)
	}
	return nil
}

// Launch executes the server.
func (s *Sampan) Launch(context.Context) (time.Time, error) {
	// Ranges that sampan chooses for no data directory by itself, so that none of another cluster's is met.
	args := []string{s.Bin, "server", "--data-dir", s.Dir, "--listen", s.Address(), "--cluster-cidr", "10.250.0.0/16", "--service-cidr", "10.251.0.0/16"}
	if !s.shape.Node {
		args = append(args, "--no-node")
	}
	switch {
	case s.shape.Scheduler && s.shape.Hollow && !s.shape.Controllers:
		// As the peer beside it, which has a scheduler and no controllers. One that does nothing here is named.
		args = append(args, "--controllers", "token-cleaner-controller")
	case s.shape.Hollow:
		args = append(args, "--controllers", "*,-node-lifecycle-controller,-taint-eviction-controller")
	}
	var err error
	s.server, err = start(append(s.Inside(), joining(s.shape.Procs, append(args, s.More...))...), filepath.Join(s.Logs, "sampan.log"))
	if err != nil {
		return time.Time{}, err
	}
	return s.server.began, nil
}

// joining is the command line that puts the process into a cgroup before it becomes what args say.
func joining(procs string, args []string) []string {
	if procs == "" {
		return args
	}
	return append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, procs}, args...)
}

// Rest has nothing to do: one process is everything.
func (s *Sampan) Rest(context.Context) error { return nil }

func (s *Sampan) Stop(ctx context.Context) error {
	err := errors.Join(s.agent.stop(ctx), s.server.stop(ctx))
	s.agent, s.server = nil, nil
	return err
}

// Wipe stops everything and has sampan erase what it made.
func (s *Sampan) Wipe(ctx context.Context) error {
	errs := []error{s.Stop(ctx)}
	for _, dir := range []string{s.agentDir(), s.Dir} {
		if _, err := os.Stat(dir); err == nil {
			errs = append(errs, s.purge(ctx, dir))
		}
	}
	return errors.Join(append(errs, dropNetwork(ctx))...)
}

func (s *Sampan) purge(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, s.Bin, "purge", "--yes", "--data-dir", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("purge %s: %w: %s", dir, err, out)
	}
	return nil
}

// Processes finds the runtime's by the folders that they name.
func (s *Sampan) Processes() (own, runtime proc.Set) {
	own, runtime = proc.Set{}, proc.Set{}
	if s.server != nil {
		own["sampan"] = s.server.pid
	}
	if s.agent != nil {
		own["agent"] = s.agent.pid
	}
	for _, dir := range []string{s.Dir, s.agentDir()} {
		sum := sha256.Sum256([]byte(dir))
		for _, text := range []string{dir + "/", "/run/sampan-" + hex.EncodeToString(sum[:4])} {
			for _, pid := range proc.WithArgument(text) {
				if name := comm(pid); strings.HasPrefix(name, "containerd") {
					runtime[fmt.Sprintf("%s-%d", name, pid)] = pid
				}
			}
		}
	}
	return own, runtime
}

func comm(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(data))
}

// process is a child in a session of its own, so that Ctrl-C in the terminal is the driver's alone.
type process struct {
	pid   int
	began time.Time
	log   string
	ended chan struct{}
}

func start(args []string, log string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fmt.Fprintf(f, "--- %s %s\n", time.Now().Format(time.RFC3339), strings.Join(args, " "))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p := &process{began: time.Now(), log: log, ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end and kills it when it does not within 30 s.
func (p *process) stop(ctx context.Context) error {
	if p == nil {
		return nil
	}
	select {
	case <-p.ended:
		return fmt.Errorf("process %d had ended by itself; the end of %s:\n%s", p.pid, p.log, last(p.log))
	default:
	}
	_ = syscall.Kill(p.pid, syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
	case <-time.After(30 * time.Second):
	}
	_ = syscall.Kill(p.pid, syscall.SIGKILL)
	<-p.ended
	return fmt.Errorf("process %d did not end when asked to and was killed", p.pid)
}
