package supervisor

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// socket is where the supervisor listens; "" when there is none. It is taken from the environment once, by whoever asks first.
var socket = sync.OnceValue(func() string {
	at := os.Getenv("NOTIFY_SOCKET")
	os.Unsetenv("NOTIFY_SOCKET")
	return at
})

// Begin takes the socket before any child is started.
func Begin() { socket() }

// Ready tells that all has come up, and sees to it that the end is told when ctx ends, and signs of life until then.
func Ready(ctx context.Context) {
	if socket() == "" {
		return
	}
	tell("READY=1", "STATUS=the cluster is ready")
	context.AfterFunc(ctx, func() { tell("STOPPING=1", "STATUS=stopping; containers go on") })
	if every := watchdog(os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID"), os.Getpid()); every > 0 {
		go live(ctx, every) // until ctx ends
	}
}

// watchdog is how often a sign of life is wanted: at half of the time after which we are taken for dead, so that one may be late; 0 for
// never.
func watchdog(usec, pid string, own int) time.Duration {
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || pid != "" && pid != strconv.Itoa(own) {
		return 0
	}
	return time.Duration(n) * time.Microsecond / 2
}

func live(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			tell("WATCHDOG=1")
		}
	}
}

// tell sends a message. A supervisor that does not hear it finds out by itself.
func tell(lines ...string) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket(), Net: "unixgram"}) // "@" is an abstract one
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(strings.Join(lines, "\n")))
}
