package store

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// KeepHistory is how long a store keeps what has been overwritten or deleted: upstream's compaction interval.
const KeepHistory = 5 * time.Minute

// CompactEvery forgets, every interval, what was history at the end of the interval before, until ctx ends: so that all of
// the last interval can be read and watched, and nothing older than two. Several hubs over one store may do it side by
// side; each forgets only what it has known for an interval itself.
func CompactEvery(ctx context.Context, s Store, interval time.Duration, log *slog.Logger) error {
	log = log.With("component", "compact")
	t := time.NewTicker(interval)
	defer t.Stop()
	var last int64
	for {
		now, err := s.Revision(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn("revision unknown, not compacting", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err != nil || now == last {
			continue // nothing new, or nothing known
		}
		if err := s.Compact(ctx, now); err != nil && !errors.Is(err, ErrCompacted) && ctx.Err() == nil {
			log.Warn("compaction failed", "revision", now, "error", err)
			continue
		}
		last = now
		log.Debug("compacted", "revision", now)
	}
}
