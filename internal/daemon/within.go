package daemon

import (
	"context"
	"fmt"
	"time"
)

// Within waits for ch, the group's end, or the time limit.
func Within(g *Group, limit time.Duration, ch <-chan struct{}, what string) error {
	select {
	case <-ch:
		return nil
	case <-g.Context().Done():
		return fmt.Errorf("%s: %w", what, context.Cause(g.Context()))
	case <-time.After(limit):
		return fmt.Errorf("%s: not within %v", what, limit)
	}
}
