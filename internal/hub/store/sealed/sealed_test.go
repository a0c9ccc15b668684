package sealed

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/hub/store/storetest"
)

// flip is a Sealer that is easily seen through: every bit of a value turned over, behind a letter that says under which key.
type flip struct {
	mu      sync.Mutex
	key     byte
	refuse  error
	changed chan struct{}
}

func (f *flip) On() bool { return true }

func (f *flip) Seal(_ context.Context, _ string, value []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]byte{f.key}, turned(value)...), nil
}

func (f *flip) Open(_ context.Context, _ string, stored []byte) ([]byte, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, false, f.refuse
	}
	return turned(stored[1:]), stored[0] != f.key, nil
}

func (f *flip) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// set changes what it does, and tells.
func (f *flip) set(key byte, refuse error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.key, f.refuse = key, refuse
	close(f.changed)
	f.changed = make(chan struct{})
}

func turned(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Subject{Open: func(t *testing.T) store.Store {
		return New(memory.New(), &flip{key: 'a', changed: make(chan struct{})})
	}})
}

func TestValuesAreSealedBelow(t *testing.T) {
	below, f := memory.New(), &flip{key: 'a', changed: make(chan struct{})}
	s := New(below, f)
	defer s.Close()
	ctx := t.Context()
	rev, err := s.Create(ctx, "/registry/x/1", []byte("plain"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if kv, _, err := below.Get(ctx, "/registry/x/1"); err != nil || bytes.Contains(kv.Value, []byte("plain")) || kv.Value[0] != 'a' {
		t.Errorf("stored %q, %v", kv.Value, err)
	}
	if s.Stale(ctx, "/registry/x/1") {
		t.Error("what has just been written is stale")
	}
	f.set('b', nil)
	if !s.Stale(ctx, "/registry/x/1") {
		t.Error("what was written under another key is not stale")
	}
	_, err = s.Update(ctx, "/registry/x/1", []byte("more"), rev+7, 0)
	var c *store.ConflictError
	if !errors.As(err, &c) || string(c.Current.Value) != "plain" {
		t.Errorf("a conflict shows %+v, %v", c, err)
	}
}

func TestUnreadableValues(t *testing.T) {
	f := &flip{key: 'a', changed: make(chan struct{})}
	s := New(memory.New(), f)
	defer s.Close()
	ctx := t.Context()
	if _, err := s.Create(ctx, "/registry/x/1", []byte("plain"), 0); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("no matching prefix found")
	f.set('a', lost)
	if _, _, err := s.Get(ctx, "/registry/x/1"); !errors.Is(err, lost) {
		t.Errorf("get: %v", err)
	}
	l, err := s.List(ctx, store.Page{Prefix: "/registry/x/"})
	if err != nil || len(l.KVs) != 1 || !errors.Is(l.KVs[0].Err, lost) || l.KVs[0].Value != nil {
		t.Errorf("list: %+v, %v", l, err)
	}
	ended := make(chan error, 1)
	started := make(chan struct{})
	var once sync.Once
	go func() {
		ended <- s.Watch(ctx, "/registry/x/", 0, func([]store.Event) error { once.Do(func() { close(started) }); return nil })
	}()
	<-started
	f.set('a', nil)
	if err := <-ended; !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watch goes on with %v though values can be read now", err)
	}

	f.set('a', store.ErrUnready)
	if _, err := s.List(ctx, store.Page{Prefix: "/registry/x/"}); !errors.Is(err, store.ErrUnready) {
		t.Errorf("list while keys cannot be had: %v", err)
	}
}
