package cache

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"sampan.dev/internal/hub/store/memory"
)

// big is a pod whose protobuf is about 3 KB, as real ones are.
func big(t testing.TB, name, node string) []byte {
	p := pod(name, node)
	p.Annotations = map[string]string{"a": strings.Repeat("x", 2800)}
	return encode(t, p)
}

func loaded(b *testing.B, pods_, nodes int) *world {
	w := &world{t: b, st: memory.New()}
	w.ctx, w.stop = context.WithCancel(context.Background())
	for i := range pods_ {
		name := fmt.Sprintf("p%06d", i)
		if _, err := w.st.Create(w.ctx, w.key(name), big(b, name, fmt.Sprintf("n%d", i%nodes)), 0); err != nil {
			b.Fatal(err)
		}
	}
	w.c = New(pods, w.st, nil, quiet)
	done := make(chan struct{})
	go func() { defer close(done); w.c.Run(w.ctx) }()
	<-w.c.Ready()
	b.Cleanup(func() { w.stop(); <-done })
	return w
}

// BenchmarkLoad measures what a cache of 10,000 pods costs beside the store's own bytes.
func BenchmarkLoad(b *testing.B) {
	var before, after runtime.MemStats
	w := loaded(b, 10000, 100)
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s, err := New(pods, w.st, nil, quiet).read(w.ctx, 0)
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10000, "B/pod")
}

// BenchmarkWriteToWatchers measures one write until it has reached the one node watcher that it concerns, among 1,000.
func BenchmarkWriteToWatchers(b *testing.B) {
	const nodes = 1000
	w := loaded(b, 10000, nodes)
	got := make(chan struct{}, 1000)
	var wg sync.WaitGroup
	for n := range nodes {
		cu, err := w.c.Watch(Scope{Part: fmt.Sprintf("n%d", n)}, w.c.revision.Load())
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer cu.Close()
			for {
				events, err := cu.Next(w.ctx, nil)
				if err != nil {
					return
				}
				for range events {
					got <- struct{}{}
				}
			}
		})
	}
	rev := w.c.current.Load().Get(w.key("p000007")).Revision
	value := big(b, "p000007", "n7")
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if rev, err = w.st.Update(w.ctx, w.key("p000007"), value, rev, 0); err != nil {
			b.Fatal(err)
		}
		<-got
	}
	w.stop()
	wg.Wait()
}
