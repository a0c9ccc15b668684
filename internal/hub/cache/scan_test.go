package cache

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
)

// lender is a store that takes back what it lends.
type lender struct{ *memory.Store }

func (l lender) Scan(ctx context.Context, prefix string, fn func([]store.KV) error) (int64, error) {
	all, err := l.List(ctx, store.Page{Prefix: prefix})
	if err != nil {
		return 0, err
	}
	for i := range all.KVs {
		v := append([]byte(nil), all.KVs[i].Value...)
		defer clear(v)
		all.KVs[i].Value = v
	}
	return all.Revision, fn(all.KVs)
}

// TestLoadHoldsNothingThatIsLent loads by Scan, and then looks at objects in both of the forms that are stored.
func TestLoadHoldsNothingThatIsLent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	st := lender{memory.New()}
	for i := range 3 * store.PageSize {
		value := encode(t, pod(fmt.Sprintf("p%04d", i), "node"))
		if i%2 == 0 {
			value = fmt.Appendf(nil, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p%04d","namespace":"d"}}`, i)
		}
		if _, err := st.Create(ctx, fmt.Sprintf("%sd/p%04d", pods.StoragePrefix(), i), value, 0); err != nil {
			t.Fatal(err)
		}
	}
	c := New(pods, st, nil, slog.New(slog.DiscardHandler))
	go c.Run(ctx)
	<-c.Ready()
	snap, err := c.Snapshot(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	snap.Ascend("", "", func(e *Entry) bool {
		o, err := e.Object()
		if err != nil || o.GetName() != fmt.Sprintf("p%04d", n) {
			t.Fatalf("object %d: %v %v", n, o, err)
		}
		n++
		return true
	})
	if n != 3*store.PageSize {
		t.Errorf("%d objects", n)
	}
}
