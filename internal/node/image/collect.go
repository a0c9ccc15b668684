package image

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"sampan.dev/internal/node/runtime"
)

// MinAge is how long an image stays at least, even where the disk is full: it may just have been pulled for a container that is not
// made yet (imageMinimumGCAge).
const MinAge = 2 * time.Minute

// Unused picks the images that nobody uses, those that have been there for longest first. first is when each was first seen, by its id; used
// knows ids, tags and digests.
func Unused(list []runtime.Image, used func(name string) bool, first map[string]time.Time, now time.Time) (out []runtime.Image) {
	for _, img := range list {
		busy := img.Pinned || used(img.ID) || now.Sub(first[img.ID]) < MinAge
		for _, names := range [][]string{img.Tags, img.Digests} {
			for _, name := range names {
				busy = busy || used(name)
			}
		}
		if !busy {
			out = append(out, img)
		}
	}
	slices.SortStableFunc(out, func(a, b runtime.Image) int { return first[a.ID].Compare(first[b.ID]) })
	return out
}

// Collect removes every image that no container uses.
func (p *Puller) Collect(ctx context.Context, used func(name string) bool, log *slog.Logger) {
	list, err := p.rt.Images(ctx)
	if err != nil {
		log.Warn("images not listed", "error", err)
		return
	}
	now := time.Now()
	for _, img := range Unused(list, used, p.seen(list, now), now) {
		if err := p.rt.RemoveImage(ctx, img.ID); err != nil {
			log.Warn("image not removed", "image", img.ID, "error", err)
			continue
		}
		log.Info("removed an image that no container uses, to free disk space", "image", img.ID, "tags", img.Tags, "bytes", img.Size)
	}
}

// seen notes when images were first seen. Those of before this process count from its first look.
func (p *Puller) seen(list []runtime.Image, now time.Time) map[string]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := make(map[string]time.Time, len(list))
	for _, img := range list {
		at, known := p.mu.first[img.ID]
		if !known {
			at = now
		}
		next[img.ID] = at
	}
	p.mu.first = next
	return next
}
