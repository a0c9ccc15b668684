package rest

import (
	"context"
	"time"
)

// lookWait bounds how long a reader waits for the holder of a lease to renew it; then it is shown as it is.
const lookWait = 5 * time.Second

// looked tells the holders of leases in this process that somebody is about to see them. What it returns is to be called when
// the request ends.
func (s *Server) looked(c *call) func() {
	ref := &c.req.Ref
	ctx, cancel := context.WithTimeout(c.r.Context(), lookWait)
	defer cancel()
	switch c.req.Verb {
	case "get", "list":
		s.cfg.Leases.Look(ctx, ref.Namespace, ref.Name)
	case "watch":
		return s.cfg.Leases.Watch(ctx, ref.Namespace)
	}
	return func() {}
}
