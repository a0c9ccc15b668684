package loop

import "time"

// State is how a controller's queues are, and what went wrong last. It is made when somebody asks.
type State struct {
	Due     int        `json:"due"`               // keys that wait for a worker
	Taken   int        `json:"taken"`             // keys that workers have
	Delayed int        `json:"delayed"`           // keys that come later: looked at again by time, or after a failure
	Failing int        `json:"failing"`           // keys whose last look failed
	Error   string     `json:"error,omitempty"`   // of the last look that failed, which may have been made good since
	Key     string     `json:"key,omitempty"`     // of that look
	At      *time.Time `json:"errorAt,omitempty"` // when that was
}

// failure is a look that failed.
type failure struct {
	key string
	err error
	at  time.Time
}

// StateOf sums up the controllers that a runner is made of. A runner without any has the zero state.
func StateOf(r Runner) State {
	var s State
	for _, c := range controllers(r) {
		one := c.Queue.state()
		if last := c.last.Load(); last != nil {
			one.Error, one.Key, one.At = last.err.Error(), last.key, &last.at
		}
		s = s.plus(one)
	}
	return s
}

// plus is both together, with the later error.
func (s State) plus(o State) State {
	s.Due, s.Taken, s.Delayed, s.Failing = s.Due+o.Due, s.Taken+o.Taken, s.Delayed+o.Delayed, s.Failing+o.Failing
	if o.At != nil && (s.At == nil || o.At.After(*s.At)) {
		s.Error, s.Key, s.At = o.Error, o.Key, o.At
	}
	return s
}

func (q *Queue) state() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return State{Due: len(q.mu.order), Taken: len(q.mu.taken), Delayed: len(q.mu.delayed), Failing: len(q.mu.failures)}
}
