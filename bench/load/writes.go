package load

import (
	"fmt"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// writes creates n ConfigMaps by so many writers at once, each with a connection of its own as separate clients have. A create
// that has returned is on the disk, on either side.
func (r *run) writes() error {
	clients := make([]*kubernetes.Clientset, r.workers)
	for i := range clients {
		var err error
		if clients[i], err = r.client(); err != nil {
			return err
		}
	}
	ns := fmt.Sprintf("%s-writes-%d", r.space, r.workers)
	if err := r.namespace(clients[0], ns); err != nil {
		return err
	}
	create := func(w int, name string) error {
		_, err := clients[w].CoreV1().ConfigMaps(ns).Create(r.ctx, configMap(name), metav1.CreateOptions{})
		return err
	}
	// every connection is made before the clock runs
	if err := each(r.workers, r.workers, func(w, i int) error { return create(w, fmt.Sprintf("warm%d", i)) }); err != nil {
		return err
	}
	var t times
	before := r.pids.Take()
	if err := each(r.n, r.workers, func(w, i int) error {
		since := time.Now()
		err := create(w, fmt.Sprintf("c%07d", i))
		t.add(time.Since(since))
		return err
	}); err != nil {
		return err
	}
	used := r.window(before)
	wall := used.At.Sub(before.At).Seconds()
	r.put("per_s", float64(r.n)/wall)
	r.put("p99_ms", t.at(.99))
	r.put("cpu_us", 1e6*used.CPU/float64(r.n))
	r.put("disk_kb", used.Written/1024/float64(r.n))
	return nil
}

// fill creates n ConfigMaps of 4 KB, for a restart to find.
func (r *run) fill() error {
	clients := make([]*kubernetes.Clientset, 4)
	for i := range clients {
		var err error
		if clients[i], err = r.client(); err != nil {
			return err
		}
	}
	const spaces = 10
	for s := range spaces {
		if err := r.namespace(clients[0], fmt.Sprintf("bench-fill-%d", s)); err != nil {
			return err
		}
	}
	var made atomic.Int64
	before := r.pids.Take()
	err := each(r.n, r.workers, func(w, i int) error {
		m := configMap(fmt.Sprintf("c%07d", i))
		for _, key := range []string{"b", "c", "d"} {
			m.Data[key] = kilobyte
		}
		made.Add(1)
		_, err := clients[w%len(clients)].CoreV1().ConfigMaps(fmt.Sprintf("bench-fill-%d", i%spaces)).Create(r.ctx, m, metav1.CreateOptions{})
		return err
	})
	used := r.window(before)
	r.put("fill_per_s", float64(made.Load())/used.At.Sub(before.At).Seconds())
	return err
}
