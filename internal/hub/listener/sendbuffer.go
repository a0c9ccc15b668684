package listener

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsent is how much of an answer the kernel may hold that it cannot send yet, in bytes. Without a bound it takes megabytes for
// each client that reads slowly.
const unsent = 128 << 10

// boundUnsent sets that for a connection. One that is no TCP is left alone.
func boundUnsent(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck // the connection has gone
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) //nolint:errcheck // an old kernel: no bound
	})
}
