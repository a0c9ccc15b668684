package etcd

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sampan.dev/internal/hub/store"
)

// TestExternalSurvivesRestart has the cluster go away and come back under a client's watch, which must see every write
// once. The watch may end meanwhile; then it is resumed where it was, as the watch cache does.
func TestExternalSurvivesRestart(t *testing.T) {
	certs, addr, dir := newCerts(t), freeAddr(t), t.TempDir()
	open := func() *Store { return embedded(t, EmbeddedConfig{Dir: dir, Listen: addr, TLS: certs.server}) }
	m := open()
	s, err := External(t.Context(), ExternalConfig{
		Servers: []string{"https://" + addr}, Log: quiet(), CAFile: certs.ca, CertFile: certs.cert, KeyFile: certs.key,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan store.Event, 1000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var after int64
		for ctx.Err() == nil {
			s.Watch(ctx, "/registry/", after, func(events []store.Event) error {
				for _, e := range events {
					after = e.Revision
					if !e.Progress {
						seen <- e
					}
				}
				return nil
			})
		}
	}()
	var wrote []int64
	write := func() {
		for n := 0; ; n++ {
			rev, err := s.Create(ctx, fmt.Sprintf("/registry/%d-%d", len(wrote), n), []byte("x"), 0)
			if err == nil {
				wrote = append(wrote, rev)
				return
			}
			if n > 100 {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	for range 3 {
		for range 10 {
			write()
		}
		m.Close()
		m = open()
	}
	write()
	last := wrote[len(wrote)-1]
	var prev int64
	got := map[int64]bool{}
	for prev < last {
		select {
		case e := <-seen:
			if e.Revision != prev+1 && prev != 0 {
				t.Fatalf("event at %d after one at %d", e.Revision, prev)
			}
			prev = e.Revision
			got[prev] = true
		case <-time.After(5 * time.Minute):
			t.Fatalf("nothing after %d, want %d", prev, last)
		}
	}
	for _, rev := range wrote {
		if !got[rev] {
			t.Errorf("the write at %d was not seen", rev)
		}
	}
	cancel()
	<-ended
	s.Close()
}
