package lease

import (
	"context"
	"sync"
)

// Audience joins those who look at leases from outside the process with the candidates in it that hold theirs quietly: a
// lease is renewed before it is shown, and for as long as somebody watches. While nobody looks nothing is written. The zero
// value is ready; nil is an audience that never looks.
type Audience struct {
	mu struct {
		sync.Mutex
		held     []*looks
		watchers map[string]int // by namespace, "" for all
	}
}

// looks is what one holder hears of its audience. Nil for nobody.
type looks struct {
	namespace, name string
	ask             chan chan struct{} // who is about to look waits for the close of what it sends
	gone            chan struct{}
	of              *Audience
}

// Look is called before a lease is shown, or all of a namespace (name "") or of all namespaces (both ""). It returns when those
// that are held here are fresh, or with ctx.
func (a *Audience) Look(ctx context.Context, namespace, name string) {
	for _, l := range a.holders(namespace, name) {
		done := make(chan struct{})
		select {
		case l.ask <- done:
		case <-l.gone:
			continue
		case <-ctx.Done():
			return
		}
		select {
		case <-done:
		case <-l.gone:
		case <-ctx.Done():
			return
		}
	}
}

// Watch says that somebody watches the leases of a namespace ("" for all), until the function that it returns is called.
func (a *Audience) Watch(ctx context.Context, namespace string) (end func()) {
	a.count(namespace, 1)
	a.Look(ctx, namespace, "") // and they take up their pace
	return func() { a.count(namespace, -1) }
}

func (a *Audience) count(namespace string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.watchers == nil {
		a.mu.watchers = map[string]int{}
	}
	if a.mu.watchers[namespace] += n; a.mu.watchers[namespace] == 0 {
		delete(a.mu.watchers, namespace) // clients may name namespaces without end
	}
}

func (a *Audience) holders(namespace, name string) []*looks {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*looks
	for _, l := range a.mu.held {
		if (namespace == "" || namespace == l.namespace) && (name == "" || name == l.name) {
			out = append(out, l)
		}
	}
	return out
}

func (a *Audience) hold(namespace, name string) *looks {
	if a == nil {
		return nil
	}
	l := &looks{namespace: namespace, name: name, ask: make(chan chan struct{}), gone: make(chan struct{}), of: a}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.held = append(a.mu.held, l)
	return l
}

func (a *Audience) leave(l *looks) {
	if a == nil {
		return
	}
	close(l.gone)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, have := range a.mu.held {
		if have == l {
			a.mu.held = append(a.mu.held[:i:i], a.mu.held[i+1:]...)
			return
		}
	}
}

// asked delivers those who are about to look.
func (l *looks) asked() <-chan chan struct{} {
	if l == nil {
		return nil
	}
	return l.ask
}

// watched reports whether somebody watches the lease.
func (l *looks) watched() bool {
	if l == nil {
		return false
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	return l.of.mu.watchers[""]+l.of.mu.watchers[l.namespace] > 0
}
