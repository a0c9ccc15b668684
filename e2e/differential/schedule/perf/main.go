package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	server := flag.String("server", "", "kubeconfig of the API server")
	scheduler := flag.String("scheduler", "", "the scheduler's name in pods")
	pid := flag.Int("pid", 0, "its process")
	only := flag.String("only", ".", "the cases, as a regular expression")
	size := flag.String("size", "large", "the workload of each case: small, medium, large, huge; one that has none of that name has its largest")
	scale := flag.Float64("scale", 1, "by which the numbers of nodes and pods are multiplied")
	limit := flag.Duration("limit", 5*time.Minute, "for one case")
	flag.Parse()
	if err := all(*server, *scheduler, *pid, *only, *size, *scale, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

// all runs the cases and writes a line for each: its name and size, pods, pods a second, microseconds of the scheduler's CPU time a pod.
func all(server, scheduler string, pid int, only, size string, scale float64, limit time.Duration) error {
	which, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", server)
	if err != nil {
		return err
	}
	cfg.QPS, cfg.RateLimiter, cfg.ContentType = -1, nil, "application/vnd.kubernetes.protobuf"
	cfg.AcceptContentTypes = cfg.ContentType + ",application/json"
	cfg.WarningHandler = rest.NoWarnings{}
	cs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	bad := 0
	for _, c := range cases {
		if !which.MatchString(c.Name) {
			continue
		}
		r := &run{cs: cs, scheduler: scheduler, pid: pid, size: c.Sizes[len(c.Sizes)-1], scale: scale}
		for _, s := range c.Sizes {
			if s.Name == size {
				r.size = s
			}
		}
		if err := one(r, c, limit); err != nil {
			bad++
			fmt.Printf("%s\t%s\t%s\tfailed: %v\n", scheduler, c.Name, r.size.Name, err)
			continue
		}
		fmt.Printf("%s\t%s\t%s\t%d\t%.0f\t%.0f\n", scheduler, c.Name, r.size.Name, r.measured, float64(r.measured)/r.seconds, 1e6*r.cpu/float64(r.measured))
	}
	if bad > 0 {
		return fmt.Errorf("%d cases failed", bad)
	}
	return nil
}

// one runs a case in a cluster that is empty before and after.
func one(r *run, c Case, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r.ctx = ctx
	if err := r.clean(); err != nil {
		return err
	}
	var err error
	if r.pods, err = watch(ctx, r.cs, r.scheduler); err != nil {
		return err
	}
	err = r.all(c)
	cancel()
	r.beside.Wait()
	if cleaned := r.clean(); err == nil {
		err = cleaned
	}
	return err
}

// cpu returns the seconds of CPU time that a process has used, 0 when there is none.
func cpu(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(data)[strings.LastIndexByte(string(data), ')')+1:])
	const user, system, hertz = 11, 12, 100
	a, _ := strconv.ParseFloat(f[user], 64)
	b, _ := strconv.ParseFloat(f[system], 64)
	return (a + b) / hertz
}
