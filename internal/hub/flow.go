package hub

import (
	"net/http"
	"sync/atomic"

	"sampan.dev/internal/api"
)

// Flow decides whether a request may go on now. It is asked after authentication for everything that is not a watch or a
// stream; release is called when the request has been answered. A refusal is an apierrors value (429).
type Flow interface {
	Admit(r *http.Request, user api.User, verb string) (release func(), err error)
}

// inflight counts requests by what they do.
type inflight struct {
	reading, writing, long atomic.Int64
}

func (f *inflight) enter(rt *route) func() {
	n := &f.reading
	switch {
	case rt.long():
		n = &f.long
	case rt.Verb != "get" && rt.Verb != "list" && rt.Verb != "head":
		n = &f.writing
	}
	n.Add(1)
	return func() { n.Add(-1) }
}
