package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	_ "github.com/opencontainers/cgroups/devices" // lets libcontainer set device rules
	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // enters namespaces before Go starts
	"github.com/sirupsen/logrus"
)

// init runs first in every process of this program, and a container's first process begins as one: libcontainer starts the
// program again, in the container's namespaces, with the argument "init".
func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		libcontainer.Init() // becomes the container's program, or exits
	}
	// Libcontainer lets threads enter namespaces of containers and end there. The first thread cannot end, and /proc/self is
	// what it sees: it is kept out of that by having work of its own, which is main's.
	runtime.LockOSThread()
}

func main() {
	var args arguments
	flag.StringVar(&args.dir, "dir", "", "directory of the sockets: that of containerd's socket")
	flag.StringVar(&args.name, "name", "monitor", "what the names of the sockets begin with; another one beside a monitor of an earlier build")
	flag.StringVar(&args.events, "events", "", "containerd's ttrpc socket, where events go to")
	flag.IntVar(&args.ready, "ready-fd", -1, "file to write a byte to when the sockets are there")
	flag.Parse()
	if args.dir == "" || args.events == "" {
		fmt.Fprintln(os.Stderr, "sampan-monitor: -dir and -events are needed; containerd starts it through sampan-shim")
		os.Exit(2)
	}
	// A container's first process has one thread's work to do; the monitor's own is small too.
	os.Setenv("GOMAXPROCS", "1")
	runtime.GOMAXPROCS(min(4, runtime.NumCPU()))
	logrus.SetLevel(logrus.WarnLevel) // libcontainer's
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := serve(args, log); err != nil {
		log.Error("monitor ended", "error", err)
		os.Exit(1)
	}
}
