package load

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sampan.dev/bench/proc"
)

// commands are the loads there are.
var commands = []struct {
	name, what string
	run        func(*run) error
}{
	{"await", "until /readyz, and -nodes nodes Ready", (*run).await},
	{"start", "from exec (a line on stdin says when) to /readyz, node Ready, first pod Running", (*run).start},
	{"ready", "from exec (a line on stdin says when) to /readyz", (*run).ready},
	{"latency", "one client, one request after the other", (*run).latency},
	{"writes", "creates by -workers clients with a connection each", (*run).writes},
	{"list", "lists of -n pods in many forms", (*run).list},
	{"page", "the first page of 500 of a tenth of -n pods, and of all", (*run).page},
	{"crds", "-n custom resource definitions until they are served", (*run).crds},
	{"custom", "-n custom resources of one kind, lists of them", (*run).custom},
	{"webhook", "-n creates each without a webhook, with a validating and with a mutating one", (*run).webhook},
	{"envtest", "-n environments of controller-runtime's envtest by the programs in -assets", (*run).environments},
	{"watch", "-watchers watchers on -conns connections, -n updates", (*run).watch},
	{"hold", "the scheduler's lease is taken, so that it waits", (*run).hold},
	{"sched", "-n pods onto -nodes hollow nodes", (*run).sched},
	{"scale", "a Deployment from 0 to -n", (*run).scale},
	{"nsdelete", "a namespace with -n ConfigMaps goes", (*run).nsdelete},
	{"statefulset", "a StatefulSet from 0 to -n pods that are Ready; -ordered", (*run).statefulset},
	{"daemonset", "a DaemonSet's pods Ready on -n hollow nodes", (*run).daemonset},
	{"job", "a Job of -n completions", (*run).job},
	{"cascade", "-many Deployments go, -n objects with their ReplicaSets and pods", (*run).cascade},
	{"nskinds", "a namespace with -n objects of many kinds goes", (*run).nskinds},
	{"autoscale", "-n autoscalers with metrics", (*run).autoscale},
	{"still", "-n objects of many kinds, and nothing to do", (*run).still},
	{"fill", "-n ConfigMaps of 4 KB", (*run).fill},
	{"pods", "-n single pods, then Deployments of 30 and 100", (*run).pods},
	{"overload", "creates of 1 MB by -workers, lists of -n KB by -concurrent, -watchers slow readers; leases and a modest client beside", (*run).overload},
	{"modest", "ten nodes' leases and one small GET ten times a second, for as long as -lasting", (*run).modest},
	{"profile", "CPU profiles until it is ended, to files that begin with -space", (*run).profile},
	{"svcmake", "-n Services with two endpoints each", (*run).serviceMake},
	{"svcsync", "from exec (a line on stdin says when) until a sample of the Services answers", (*run).serviceSync},
	{"svcchange", "one endpoint changed, -n times", (*run).serviceChange},
}

// run is one run of one command.
type run struct {
	ctx context.Context
	options
	stdin  io.Reader
	values map[string]float64
	notes  []string
	others float64 // most cores that were busy with something else in any window
}

// options are the flags.
type options struct {
	kubeconfig, prefix, content, image, backends, address, space, assets string

	pids                           proc.Set
	n, workers, nodes, conns, many int
	watchers, concurrent           int
	rate                           float64
	affinity, ordered              bool
	timeout, lasting               time.Duration
	settle, minute                 time.Duration
}

// Output is what a run prints as its last line.
type Output struct {
	Values map[string]float64 `json:"values"`
	Others float64            `json:"others_cores"` // most cores busy with other work in any window
	Notes  []string           `json:"notes,omitempty"`
}

// Main runs the command that args name and returns the process's exit code.
func Main(args []string) int {
	if err := mainErr(args); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		return 1
	}
	return 0
}

func mainErr(args []string) error {
	if len(args) == 0 {
		return usage()
	}
	r := &run{stdin: os.Stdin, values: map[string]float64{}}
	r.pids = proc.Set{}
	f := flag.NewFlagSet("load "+args[0], flag.ContinueOnError)
	f.StringVar(&r.kubeconfig, "kubeconfig", "", "of the cluster")
	f.StringVar(&r.address, "address", "", "ADDR:PORT of the API server, for the time before there is a kubeconfig")
	f.StringVar(&r.prefix, "prefix", "", "put before every name in the result")
	f.StringVar(&r.content, "content", "protobuf", "protobuf or json")
	f.StringVar(&r.image, "image", "", "of real pods")
	f.StringVar(&r.backends, "backends", "", "two addresses of this network namespace for the backends of services")
	f.StringVar(&r.space, "space", "bench", "begin of the names of namespaces that a load makes more than once")
	f.StringVar(&r.assets, "assets", "", "folder with kube-apiserver, etcd and kubectl")
	f.Var(r.pids, "pid", "name=pid of a server process; repeated")
	f.IntVar(&r.n, "n", 0, "how many; the command says of what")
	f.IntVar(&r.workers, "workers", 16, "parallel clients")
	f.IntVar(&r.nodes, "nodes", 0, "nodes")
	f.IntVar(&r.conns, "conns", 20, "connections of the watchers")
	f.IntVar(&r.many, "many", 100, "replicas of the second Deployment; Deployments of a cascade")
	f.IntVar(&r.watchers, "watchers", 200, "watchers")
	f.IntVar(&r.concurrent, "concurrent", 10, "parallel lists")
	f.Float64Var(&r.rate, "rate", 0, "updates a second; 0: as fast as it goes")
	f.BoolVar(&r.affinity, "affinity", false, "pods ask for a node by affinity")
	f.BoolVar(&r.ordered, "ordered", false, "a StatefulSet's pods come one after the other")
	f.DurationVar(&r.lasting, "lasting", time.Minute, "how long an overload lasts, or a cluster is looked at")
	f.DurationVar(&r.settle, "settle", 20*time.Second, "for a cluster to come to rest")
	f.DurationVar(&r.minute, "minute", time.Minute, "over which what recurs is counted")
	f.DurationVar(&r.timeout, "timeout", 10*time.Minute, "end, whatever has come of it")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	r.ctx = ctx
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		if err := c.run(r); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		return json.NewEncoder(os.Stdout).Encode(Output{r.values, round(r.others), r.notes})
	}
	return usage()
}

func usage() error {
	fmt.Fprintln(os.Stderr, "usage: sampan-bench load COMMAND [flags]")
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "  %-10s %s\n", c.name, c.what)
	}
	return flag.ErrHelp
}

// put keeps a value of the result.
func (r *run) put(name string, v float64) { r.values[r.prefix+name] = round(v) }

// window keeps how busy the rest of the machine was since before, and returns what the servers used.
func (r *run) window(before proc.Usage) proc.Usage {
	u := r.pids.Since(before)
	r.others = max(r.others, u.Others(u.At.Sub(before.At)))
	return u
}

// round keeps four significant digits, which is more than any of this is good for.
func round(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	p := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*p) / p
}
