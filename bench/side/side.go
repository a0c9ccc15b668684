package side

import (
	"context"
	"os"
	"time"

	"sampan.dev/bench/proc"
)

// Shape is which parts of a cluster are wanted. The zero value is the API server with its store, in the host's network.
type Shape struct {
	Scheduler   bool
	Controllers bool
	Node        bool   // a real node, with a container runtime
	Hollow      bool   // nodes that nobody stands behind are to stay Ready: no controller looks after their heartbeats
	Fast        bool   // clients of the scheduler and the controllers are not to be throttled
	Proxy       bool   // a service proxy will be started by LaunchProxy; load runs in the node's network
	Procs       string // file of the cgroup that API server and store are to be in; "" is that of the bench
}

// Side is one of the two that are compared.
type Side interface {
	Name() string
	Address() string    // ADDR:PORT of the API server, as Inside sees it
	Kubeconfig() string // of the administrator
	Image() string      // of a container that sleeps, there beforehand
	// Assets is a folder with programs for envtest, made where there is none.
	Assets(ctx context.Context) (string, error)

	// Prepare makes what a start needs and is not timed. An existing data directory is kept.
	Prepare(ctx context.Context, s Shape) error
	// Launch executes the API server and what starts with it, and returns when that was.
	Launch(ctx context.Context) (time.Time, error)
	// Rest starts what is started once the API server is ready.
	Rest(ctx context.Context) error
	// Stop ends what runs and keeps the data; Wipe erases that too. Both may be called at any time.
	Stop(ctx context.Context) error
	Wipe(ctx context.Context) error
	// Processes are those that run now: the cluster's own, and those of the container runtime.
	Processes() (own, runtime proc.Set)

	// LaunchProxy starts the node's service proxy without any rules in the kernel and returns when that was; StopProxy ends it
	// and takes the rules away.
	LaunchProxy(ctx context.Context) (time.Time, error)
	StopProxy(ctx context.Context) error
	// Inside is the command in front of a load that is to run in the node's network, and Backends two addresses there.
	Inside() []string
	Backends() string
}

// last returns the end of a log file, for an error.
func last(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}
