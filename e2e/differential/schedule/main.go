package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"sampan.dev/e2e/differential/ask"
)

func main() {
	server := flag.String("server", "", "kubeconfig of the API server that both schedulers work for")
	names := flag.String("schedulers", "stock,ours", "the two schedulers' names")
	seed := flag.Uint64("seed", 1, "of the first case")
	count := flag.Int("count", 100, "how many cases; each has a seed of its own")
	flag.Parse()
	bad, err := run(*server, strings.Split(*names, ","), *seed, *count)
	if err != nil {
		fmt.Fprintln(os.Stderr, "schedule:", err)
	}
	if err != nil || bad > 0 {
		os.Exit(1)
	}
}

func run(kubeconfig string, names []string, seed uint64, count int) (bad int, err error) {
	s, err := ask.Open("server", kubeconfig)
	if err != nil {
		return 0, err
	}
	l := &lab{s, context.Background()}
	if err := l.prepare(); err != nil {
		return 0, err
	}
	placed, refused, preempted := 0, 0, 0
	for i := range uint64(count) {
		a, b, err := l.compare(names, seed+i)
		if err != nil {
			return bad, fmt.Errorf("case %d: %w", seed+i, err)
		}
		switch {
		case a.node != "":
			placed++
		case len(a.victims) > 0:
			preempted++
		default:
			refused++
		}
		if !a.same(b) {
			bad++
			fmt.Printf("case %d:\n  %s: %v\n  %s: %v\n", seed+i, names[0], a, names[1], b)
		}
	}
	fmt.Printf("%d cases: %d placed, %d with preemption, %d refused; %d differ\n", count, placed, preempted, refused, bad)
	return bad, l.reset()
}

// result is what a scheduler did.
type result struct {
	node    string
	message string
	victims []string
}

func (r result) same(o result) bool {
	return r.node == o.node && r.message == o.message && slices.Equal(r.victims, o.victims)
}

func (r result) String() string {
	return fmt.Sprintf("node %q, victims %v, %s", r.node, r.victims, r.message)
}

// mostTries is how often a case is repeated in which both found a node, and not the same one.
const mostTries = 6

// compare has both schedulers do the same. When both choose among nodes, what they chose is put together over some tries.
func (l *lab) compare(names []string, seed uint64) (a, b result, err error) {
	var chosen [2]map[string]result
	for range mostTries {
		for i, name := range names {
			r, err := l.one(name, seed)
			if err != nil {
				return a, b, err
			}
			if chosen[i] == nil {
				chosen[i] = map[string]result{}
			}
			chosen[i][r.String()] = r
			if i == 0 {
				a = r
			} else {
				b = r
			}
		}
		for key, r := range chosen[0] {
			if _, both := chosen[1][key]; both {
				return r, r, nil
			}
		}
		if a.node == "" && b.node == "" && len(a.victims) == 0 && len(b.victims) == 0 || (a.node == "") != (b.node == "") {
			return a, b, nil
		}
	}
	return a, b, nil
}

// one makes the cluster of a seed, and has one scheduler place the pod of that seed.
func (l *lab) one(scheduler string, seed uint64) (result, error) {
	if err := l.reset(); err != nil {
		return result{}, err
	}
	dice := rand.New(rand.NewPCG(seed, seed))
	c := newCase(dice)
	for _, n := range c.nodes {
		if err := l.node(n); err != nil {
			return result{}, err
		}
	}
	for _, p := range c.pods {
		if err := l.pod(p); err != nil {
			return result{}, err
		}
	}
	time.Sleep(150 * time.Millisecond) // until both have been told
	p := c.pod
	p["spec"].(object)["schedulerName"] = scheduler
	if err := l.pod(p); err != nil {
		return result{}, err
	}
	return l.await(p)
}
