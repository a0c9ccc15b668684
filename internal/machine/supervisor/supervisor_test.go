package supervisor

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A supervisor hears that we are ready, that we live and that we stop, and our children do not know its socket.
func TestSupervisorIsTold(t *testing.T) {
	at := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", at)
	t.Setenv("WATCHDOG_USEC", "2000")
	Begin()
	if _, there := os.LookupEnv("NOTIFY_SOCKET"); there {
		t.Error("a child would find the socket")
	}
	ctx, cancel := context.WithCancel(t.Context())
	Ready(ctx)
	buf := make([]byte, 1000)
	hear := func() string {
		t.Helper()
		n, err := l.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if got := hear(); got != "READY=1\nSTATUS=the cluster is ready" {
		t.Errorf("%q", got)
	}
	if got := hear(); got != "WATCHDOG=1" {
		t.Errorf("%q", got)
	}
	cancel()
	for hear() != "STOPPING=1\nSTATUS=stopping; containers go on" {
	}
}

func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{{"", "", 0}, {"x", "", 0}, {"0", "", 0}, {"20000000", "", 10 * time.Second}, {"20000000", "7", 10 * time.Second}, {"20000000", "8", 0}} {
		if got := watchdog(c.usec, c.pid, 7); got != c.want {
			t.Errorf("%q %q: %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
}
