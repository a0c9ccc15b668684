package store

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// KeepHistory is how long a store keeps what has been overwritten or deleted: upstream's compaction interval.
const KeepHistory = 5 * time.Minute

// History of fewer than worthwhile revisions takes no room to speak of, while to compact costs etcd several commits: three
// times what writing one node's status does, which is all that an idle cluster writes. So it is let go only once in a while.
const (
	worthwhile = 100
	onceIn     = 12 // intervals
)

// CompactEvery forgets, every interval, what was history at the end of the interval before, until ctx ends: so that all of
// the last interval can be read and watched, and nothing older than two, unless it is little. Several hubs over one store may
// do it side by side; each forgets only what it has known for an interval itself. told is called with the revision that history
// begins with from then on.
func CompactEvery(ctx context.Context, s Store, interval time.Duration, told func(revision int64), log *slog.Logger) error {
	log = log.With("component", "compact")
	t := time.NewTicker(interval)
	defer t.Stop()
	var last int64
	for skipped := 0; ; {
		now, err := s.Revision(ctx, "")
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
		if skipped++; now-last < worthwhile && skipped < onceIn {
			continue
		}
		if err := s.Compact(ctx, now); err != nil && !errors.Is(err, ErrCompacted) && ctx.Err() == nil {
			log.Warn("compaction failed", "revision", now, "error", err)
			continue
		}
		last, skipped = now, 0
		told(now)
		log.Debug("compacted", "revision", now)
	}
}
