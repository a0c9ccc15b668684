package hold

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/config"
)

// The end of a process is seen whoever its parent is, and who stops looking leaves it running.
func TestWatchSeesTheEnd(t *testing.T) {
	b := Beside{Paths: config.Paths{Log: filepath.Join(t.TempDir(), "log")}}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- b.watch(ctx, cmd.Process.Pid) }()
	cancel()
	if err := <-watched; err != nil {
		t.Errorf("told to stop: %v", err)
	}
	if !alive(cmd.Process.Pid) {
		t.Error("it has ended")
	}
	go func() { watched <- b.watch(t.Context(), cmd.Process.Pid) }()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-watched; err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("it has ended: %v", err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Error(err)
	}
	if err := b.watch(t.Context(), cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("it is gone: %v", err)
	}
}

// Only a process of the same build counts as the one that would be started.
func TestSameProgram(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if sameProgram(cmd.Process.Pid) {
		t.Error("sleep is this program")
	}
	if !sameProgram(os.Getpid()) {
		t.Error("this is another program")
	}
	if sameProgram(0) {
		t.Error("no process is this program")
	}
}
