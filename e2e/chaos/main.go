package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// What a run may take from kill to ready, and porcupine for its judgement.
const judgeIn = 5 * time.Minute

func main() {
	bin := flag.String("bin", "../../bin/sampan", "the program to run")
	kills := flag.Int("kills", 200, "how often the server is killed")
	writers := flag.Int("clients", 8, "clients at the same time")
	keys := flag.Int("keys", 10, "keys that they share")
	calm := flag.Duration("calm", 0, "how long to run without a kill before the first one")
	most := flag.Duration("most", 200*time.Millisecond, "longest time from ready to a kill")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of everything that is random")
	flag.Parse()
	if err := run(*bin, *kills, *writers, *keys, *calm, *most, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(bin string, kills, writers, keys int, calm, most time.Duration, seed uint64) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sampan-chaos-")
	if err != nil {
		return err
	}
	s, err := newServer(bin, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if _, err := s.start(); err != nil {
		return err
	}
	c, w := newClients(s, keys), newWatcher(s)
	restarts, err := torment(s, c, w, kills, writers, calm, most, seed)
	s.down()
	if err != nil {
		return fmt.Errorf("%w (seed %d, kept %s)", err, seed, dir)
	}
	if err := judge(c, w, restarts, kills, seed); err != nil {
		return fmt.Errorf("%w (seed %d, kept %s)", err, seed, dir)
	}
	return os.RemoveAll(dir)
}

// torment lets the clients and the watcher run while the server is killed and paused.
func torment(s *server, c *clients, w *watcher, kills, writers int, calm, most time.Duration, seed uint64) (restarts []time.Duration, err error) {
	r := rand.New(rand.NewPCG(seed, 0))
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	var clients, watching sync.WaitGroup
	for i := range writers {
		clients.Go(func() { c.run(stop, seed+uint64(i)) })
	}
	watching.Go(func() { w.run(ctx) })
	defer watching.Wait()
	defer cancel()
	ended := sync.OnceFunc(func() { close(stop); clients.Wait() })
	defer ended()
	defer s.kill()
	time.Sleep(calm)
	if calm > 0 {
		fmt.Printf("%d writes acknowledged in %v before the first kill: %.0f/s\n", c.acks.Load(), calm, float64(c.acks.Load())/calm.Seconds())
	}
	for round := range kills {
		time.Sleep(time.Millisecond + rand.N(most))
		if r.IntN(4) == 0 {
			s.pause(time.Duration(1+r.IntN(300)) * time.Millisecond)
		}
		s.kill()
		took, err := s.start()
		if err != nil {
			return nil, fmt.Errorf("after kill %d: %w", round+1, err)
		}
		restarts = append(restarts, took)
		if err := c.lost(); err != nil {
			return nil, fmt.Errorf("after kill %d: %w", round+1, err)
		}
	}
	ended()
	if err := c.lost(); err != nil {
		return nil, err
	}
	return restarts, w.judge(c)
}

// judge says what was violated, and prints the figures.
func judge(c *clients, w *watcher, restarts []time.Duration, kills int, seed uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(restarts)
	fmt.Printf("seed %d: %d kills, %d writes acknowledged, %d requests unanswered, %d keys that had to stay\n",
		seed, kills, c.acks.Load(), c.mu.unknown, len(c.mu.stays))
	fmt.Printf("watch: %d events, %d lists; operations judged: %d\n", w.mu.events, w.mu.lists, len(c.mu.history))
	if n := len(restarts); n > 0 {
		fmt.Printf("from start to ready: median %v, most %v\n", restarts[n/2].Round(time.Millisecond), restarts[n-1].Round(time.Millisecond))
	}
	violations := append(slices.Clone(c.mu.errors), w.mu.errors...)
	for _, v := range violations {
		fmt.Println("VIOLATION:", v)
	}
	if len(violations) > 0 {
		return fmt.Errorf("%d violations", len(violations))
	}
	switch result := porcupine.CheckOperationsTimeout(model(), c.mu.history, judgeIn); result {
	case porcupine.Ok:
		fmt.Println("0 lost, 0 versions given twice, 0 watch violations, linearizable")
		return nil
	default:
		return fmt.Errorf("linearizability: %s", result)
	}
}
