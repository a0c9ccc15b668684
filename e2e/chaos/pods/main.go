package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	c := campaign{}
	bin := flag.String("bin", "../../bin", "folder of the programs")
	flag.IntVar(&c.pods, "pods", 20, "pods that are there from the start to the end")
	flag.IntVar(&c.kills, "kills", 20, "how often the cluster's process is killed")
	flag.IntVar(&c.runtime, "runtime-every", 5, "every how manyth kill takes the container runtime too; 0: never")
	flag.DurationVar(&c.most, "most", 3*time.Second, "longest time from ready to a kill")
	flag.Uint64Var(&c.seed, "seed", uint64(time.Now().UnixNano()), "of everything that is random")
	listen := flag.String("listen", "127.0.0.1:31210", "address of the API server")
	clusterCIDR := flag.String("cluster-cidr", "10.175.0.0/16", "addresses of pods")
	serviceCIDR := flag.String("service-cidr", "10.176.0.0/16", "addresses of services")
	flag.Parse()
	if err := c.begin(*bin, *listen, *clusterCIDR, *serviceCIDR); err != nil {
		fmt.Fprintln(os.Stderr, "pods:", err)
		os.Exit(1)
	}
}

// campaign is one run. One goroutine has it.
type campaign struct {
	pods, kills, runtime int
	most                 time.Duration
	seed                 uint64
	*cluster
	rand      *rand.Rand
	want      map[string]int // pod: the CPU that was asked for last, in thousandths
	restarts  []time.Duration
	churned   int
	violation []string
}

func (c *campaign) begin(bin, listen, clusterCIDR, serviceCIDR string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/var/tmp", "sampan-pods-")
	if err != nil {
		return err
	}
	c.cluster = &cluster{bin: bin, dir: filepath.Join(dir, "data"), log: filepath.Join(dir, "log"),
		args: []string{"--listen", listen, "--cluster-cidr", clusterCIDR, "--service-cidr", serviceCIDR}}
	c.rand, c.want = rand.New(rand.NewPCG(c.seed, 0)), map[string]int{}
	err = errors.Join(c.run(), c.purge())
	for _, v := range c.violation {
		fmt.Println("VIOLATION:", v)
	}
	if n := len(c.violation); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d violations", n))
	}
	if err != nil {
		return fmt.Errorf("%w (seed %d, kept %s)", err, c.seed, dir)
	}
	fmt.Println("0 containers restarted or replaced, 0 addresses changed, 0 mounts twice, nothing left")
	return os.RemoveAll(dir)
}

func (c *campaign) run() error {
	if _, err := c.start(); err != nil {
		return err
	}
	names := make([]string, c.pods)
	for i := range names {
		names[i] = fmt.Sprintf("stays-%d", i)
	}
	begun := time.Now()
	if err := c.create(names); err != nil {
		return err
	}
	before, err := c.settled(names, 3*time.Minute)
	if err != nil {
		return err
	}
	fmt.Printf("seed %d: %d pods ready in %v\n", c.seed, c.pods, time.Since(begun).Round(time.Millisecond))
	for round := range c.kills {
		if err := c.round(round, names); err != nil {
			return fmt.Errorf("kill %d: %w", round+1, err)
		}
	}
	after, err := c.settled(names, time.Minute)
	if err != nil {
		return err
	}
	for _, name := range names {
		c.compare(name, before[name], after[name])
	}
	if err := c.resized(names, 2*time.Minute); err != nil {
		return err
	}
	c.once("before the end")
	slices.Sort(c.restarts)
	fmt.Printf("%d kills, %d pods resized, %d pods came and went; from start to ready: median %v, most %v\n",
		c.kills, len(c.want), c.churned, c.restarts[len(c.restarts)/2].Round(time.Millisecond), c.restarts[len(c.restarts)-1].Round(time.Millisecond))
	return c.empty(2 * time.Minute)
}

// round leaves some pods on their way up, down and to other amounts, kills what runs the cluster at a random moment, and starts it anew.
func (c *campaign) round(n int, names []string) error {
	for range 3 {
		name := names[c.rand.IntN(len(names))]
		milli := 20 + 10*c.rand.IntN(20)
		if err := c.resize(name, milli); err != nil {
			return err
		}
		c.want[name] = milli
	}
	coming := []string{fmt.Sprintf("comes-%d-a", n), fmt.Sprintf("comes-%d-b", n)}
	if err := c.create(coming); err != nil {
		return err
	}
	if n > 0 {
		if err := c.remove(fmt.Sprintf("comes-%d-a", n-1), fmt.Sprintf("comes-%d-b", n-1)); err != nil {
			return err
		}
	}
	c.churned += len(coming)
	time.Sleep(time.Duration(c.rand.Int64N(int64(c.most))))
	c.kill(c.runtime > 0 && n%c.runtime == c.runtime-1)
	took, err := c.start()
	if err != nil {
		return err
	}
	c.restarts = append(c.restarts, took)
	c.once(fmt.Sprintf("after kill %d", n+1))
	return nil
}

// compare says what of a pod is not as it was.
func (c *campaign) compare(name string, was, is pod) {
	for _, f := range []struct{ what, was, is string }{
		{"container", was.container, is.container}, {"address", was.address, is.address}, {"time of becoming Ready", was.ready, is.ready},
	} {
		if f.was != f.is {
			c.violated("pod %s: its %s was %s and is %s", name, f.what, f.was, f.is)
		}
	}
	if is.restarts != 0 {
		c.violated("pod %s: its container was restarted %d times", name, is.restarts)
	}
}

// once says what is mounted twice below the cluster's directories.
func (c *campaign) once(when string) {
	seen := map[string]bool{}
	for _, at := range c.mounts() {
		if seen[at] {
			c.violated("%s: %s is mounted twice", when, at)
		}
		seen[at] = true
	}
}

func (c *campaign) violated(format string, args ...any) {
	c.violation = append(c.violation, fmt.Sprintf(format, args...))
}
