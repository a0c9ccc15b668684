package hold

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/tty"
)

// ReadyMark is the last line that a detached process writes to its steps; everything before it is for the person.
const ReadyMark = "\x00ready"

// stepsFD is where a detached process finds the pipe to the terminal's process.
const stepsFD = 3

// Detach starts this program again with args in a session of its own, its log in a file, shows its steps until it says
// that it is ready, and leaves it running, with a keeper that starts it again when it dies. When it ends before it is ready,
// its last log lines become the error.
func Detach(ctx context.Context, paths config.Paths, args []string, out io.Writer) error {
	child, err := background(ctx, paths, args, out)
	if err != nil {
		return err
	}
	return child.Process.Release()
}

// Attend does what Detach does and stays: until the server has ended for good, or until ctx ends or the terminal is gone, when it ends
// the server and the node that is a process of its own.
func Attend(ctx context.Context, paths config.Paths, args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	child, err := background(ctx, paths, args, out)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx = context.WithoutCancel(ctx)
	err = errors.Join(StopKept(ctx, paths), StopKept(ctx, paths.Apart()))
	<-ended
	return err
}

// background starts the program and returns once that has said that it is ready.
func background(ctx context.Context, paths config.Paths, args []string, out io.Writer) (*exec.Cmd, error) {
	if err := os.MkdirAll(paths.Data, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	log, err := os.OpenFile(paths.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	child, err := kept(paths, dir, args)
	if err != nil {
		return nil, err
	}
	child.Env = append(os.Environ(), "SAMPAN_DETACHED=1")
	child.Stdout, child.Stderr = log, log
	child.ExtraFiles = []*os.File{w}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = child.Start()
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(child.Path), err)
	}
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Signal(syscall.SIGTERM) })
	defer stop()
	live := tty.NewLive(out, "starting")
	defer live.End()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if lines.Text() == ReadyMark {
			return child, nil
		}
		live.Print(steps.Dress(live.Palette(), lines.Text()))
	}
	err = child.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if end := (*exec.ExitError)(nil); errors.As(err, &end) && end.ExitCode() == toldToStop {
		return nil, errors.New("the cluster was told to stop before it was ready, as 'sampan down' does")
	}
	return nil, fmt.Errorf("the cluster did not come up (%w); the end of %s:\n%s", orEnded(err), paths.Log, tail(paths.Log, 12))
}

// toldToStop is the status of a keeper that a SIGTERM ended, as shells count it.
const toldToStop = 128 + int(syscall.SIGTERM)

func orEnded(err error) error {
	if err == nil {
		return errors.New("it ended by itself")
	}
	return err
}

// kept is the command that runs this program in the background, started in a folder: by its keeper, or alone where that is not
// installed.
func kept(paths config.Paths, dir string, args []string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	keeper := keeperProgram(paths)
	if _, err := os.Stat(keeper); err != nil {
		return exec.Command(exe, args...), nil
	}
	return exec.Command(keeper, append([]string{paths.Keeper, paths.Ready, paths.Log, dir, exe}, args...)...), nil
}

// Background says how this process was put there: not at all, by detach, in whose terminal the steps are shown, or by the
// keeper, after an earlier one had died.
type Background struct {
	Steps    *os.File // to the terminal; nil in the foreground, and when there is none
	Restarts string   // how many have died
	Ended    string   // how the last one did
}

// InBackground takes from the environment what was left there for this process alone.
func InBackground() Background {
	b := Background{Restarts: os.Getenv("SAMPAN_RESTARTS"), Ended: os.Getenv("SAMPAN_ENDED")}
	if os.Getenv("SAMPAN_DETACHED") != "" {
		syscall.CloseOnExec(stepsFD)
		b.Steps = os.NewFile(stepsFD, "steps")
	}
	for _, name := range []string{"SAMPAN_DETACHED", "SAMPAN_RESTARTS", "SAMPAN_ENDED"} {
		os.Unsetenv(name) // not for our own children
	}
	return b
}

func (b Background) Yes() bool { return b.Steps != nil || b.Restarts != "" }

// Note logs that an earlier process has died.
func (b Background) Note(log *slog.Logger) {
	if b.Restarts != "" {
		log.Warn("started again after the server had died", "ended", b.Ended, "restarts", b.Restarts)
	}
}

// tail returns the last n lines of a file, as far as they are in its last 16 KiB.
func tail(path string, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 16<<10 {
		_, _ = f.Seek(-16<<10, io.SeekEnd)
	}
	data, _ := io.ReadAll(f)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
