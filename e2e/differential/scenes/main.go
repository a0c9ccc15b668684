package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

func main() {
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	peer := flag.String("peer", "", "kubeconfig of the stock control plane")
	sampan := flag.String("sampan", "", "kubeconfig of sampan")
	seed := flag.Uint64("seed", 1, "of the first scene")
	count := flag.Int("count", 60, "how many scenes; each has a seed of its own")
	only := flag.String("theme", "", "only scenes of this theme")
	atOnce := flag.Int("at-once", 12, "scenes at the same time")
	flag.Parse()
	bad, err := run(*peer, *sampan, *seed, *count, *only, *atOnce)
	if err != nil {
		fmt.Fprintln(os.Stderr, "scenes:", err)
	}
	if err != nil || bad > 0 {
		os.Exit(1)
	}
}

func run(peerFile, sampanFile string, seed uint64, count int, only string, atOnce int) (bad int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sides [2]*side
	for i, file := range []string{peerFile, sampanFile} {
		if sides[i], err = open(ctx, file); err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
	}
	var mu sync.Mutex
	var playing sync.WaitGroup
	free := make(chan struct{}, atOnce)
	themes := map[string][2]int{} // scenes, of which differ
	done, known := 0, 0
	for s := seed; done < count; s++ {
		sc := sceneOf(s)
		if only != "" && sc.theme != only {
			continue
		}
		done++
		free <- struct{}{}
		playing.Go(func() {
			defer func() { <-free }()
			begun := time.Now()
			shots := both(ctx, sides, sc)
			diffs := compare(shots[0], shots[1])
			mu.Lock()
			defer mu.Unlock()
			tally := themes[sc.theme]
			tally[0]++
			unknown := slices.DeleteFunc(slices.Clone(diffs), func(d string) bool { return why(sc.theme, d) != "" })
			known += len(diffs) - len(unknown)
			if len(unknown) > 0 {
				bad++
				tally[1]++
				fmt.Printf("scene %d, %s (%v):\n    %s\n  %s\n", s, sc.theme, time.Since(begun).Round(time.Second), strings.Join(sc.says(), "\n    "), strings.Join(unknown, "\n  "))
			}
			themes[sc.theme] = tally
		})
	}
	playing.Wait()
	for _, theme := range slices.Sorted(maps.Keys(themes)) {
		fmt.Printf("%-14s %3d scenes, %d differ\n", theme, themes[theme][0], themes[theme][1])
	}
	fmt.Printf("seed %d: %d scenes, %d differ, %d known differences\n", seed, done, bad, known)
	return bad, nil
}

// both plays a scene on both sides at the same time.
func both(ctx context.Context, sides [2]*side, sc scene) (shots [2]shot) {
	var playing sync.WaitGroup
	for i, s := range sides {
		playing.Go(func() { shots[i] = s.play(ctx, sc) })
	}
	playing.Wait()
	return shots
}
