package daemon

import "time"

// State is how one part is, as a person is told.
type State struct {
	Name     string    `json:"name"`
	Running  bool      `json:"running"`         // false: it has failed and waits to be started again
	Since    time.Time `json:"since"`           // when it was started or, if it does not run, when it failed
	Failures int       `json:"failures"`        // in a row; 0 once it has been calm
	Error    string    `json:"error,omitempty"` // why it ended last
}

// States describes all parts, in the order in which they were added.
func (g *Group) States() []State {
	g.mu.Lock()
	parts := g.mu.parts[:len(g.mu.parts):len(g.mu.parts)]
	g.mu.Unlock()
	out := make([]State, 0, len(parts))
	for _, p := range parts {
		out = append(out, p.state())
	}
	return out
}

// Settled reports whether all that was asked for has come up.
func (g *Group) Settled() bool { return g.settled() }

// OnChange has f called whenever a part is started or fails and when the group settles, by whichever goroutine saw it; several calls
// may overlap. f must not wait for the group. It is called before any part is added.
func (g *Group) OnChange(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.watch = f
}

func (g *Group) changed() {
	g.mu.Lock()
	watch := g.mu.watch
	g.mu.Unlock()
	if watch != nil {
		watch()
	}
}

func (p *part) state() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := State{Name: p.name, Running: !p.mu.began.IsZero(), Since: p.mu.began, Failures: p.mu.restarts}
	if !s.Running {
		s.Since = p.mu.ended
	}
	if p.mu.failed != nil {
		s.Error = p.mu.failed.Error()
	}
	if s.Running && time.Since(s.Since) >= calm {
		s.Failures = 0
	}
	return s
}
