package image

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"sampan.dev/internal/node/runtime"
)

// Policy says when images go: from High percent of their file system on they are removed until Low percent are used, and none that has been
// there for less than MinAge: it may just have been pulled for a container that is not made yet. With MaxAge one that nobody has used for
// that long goes in any case; 0: none does.
type Policy struct {
	High, Low      int
	MinAge, MaxAge time.Duration
}

// Defaults are upstream's.
var Defaults = Policy{High: 85, Low: 80, MinAge: 2 * time.Minute}

// Check says in upstream's words what is wrong with a policy.
func (p Policy) Check() error {
	switch {
	case p.High < 0 || p.High > 100:
		return fmt.Errorf("invalid HighThresholdPercent %d, must be in range [0-100]", p.High)
	case p.Low < 0 || p.Low > 100:
		return fmt.Errorf("invalid LowThresholdPercent %d, must be in range [0-100]", p.Low)
	case p.Low > p.High:
		return fmt.Errorf("LowThresholdPercent %d can not be higher than HighThresholdPercent %d", p.Low, p.High)
	}
	return nil
}

// excess is how many bytes are to be freed of a file system, 0 for none.
func (p Policy) excess(available, capacity int64) int64 {
	if capacity <= 0 || p.High == 100 {
		return 0
	}
	if used := 100 - int(available*100/capacity); used < p.High {
		return 0
	}
	return capacity*int64(100-p.Low)/100 - available
}

// life is when an image was first seen, and when it was last seen in use.
type life struct{ first, used time.Time }

// unused picks the images that may go, the one that was used longest ago first.
func (p Policy) unused(list []runtime.Image, used func(runtime.Image) bool, lives map[string]life, now time.Time) (out []runtime.Image) {
	for _, img := range list {
		if !img.Pinned && !used(img) && now.Sub(lives[img.ID].first) >= p.MinAge {
			out = append(out, img)
		}
	}
	slices.SortStableFunc(out, func(a, b runtime.Image) int {
		return cmp.Or(lives[a.ID].used.Compare(lives[b.ID].used), lives[a.ID].first.Compare(lives[b.ID].first))
	})
	return out
}

// Collector removes images. Its calls must not overlap.
type Collector struct {
	Policy
	Runtime runtime.Interface
	// Space is what the file system of images has, in bytes.
	Space func() (available, capacity int64, ok bool)
	// Used knows ids, tags and digests of the images that containers have, running or not.
	Used func(ctx context.Context) (used func(name string) bool, err error)
	Tell func(reason, message string) // an event about the node
	Seen func(list []runtime.Image)   // is told what images there are at each look; nil: nobody is
	Log  *slog.Logger
	// Removed is told of each image that was removed, with "age" or "space"; nil: nobody is.
	Removed func(reason string)

	lives map[string]life
}

// Look removes images where their file system is too full, and those that are too old.
func (c *Collector) Look(ctx context.Context) {
	list, used, now, ok := c.see(ctx)
	if !ok {
		return
	}
	if c.MaxAge > 0 {
		c.remove(ctx, slices.DeleteFunc(c.unused(list, used, c.lives, now), func(img runtime.Image) bool {
			l := c.lives[img.ID]
			if l.used.IsZero() {
				l.used = l.first
			}
			return now.Sub(l.used) <= c.MaxAge
		}), math.MaxInt64, "age")
	}
	available, capacity, ok := c.Space()
	if !ok {
		return
	}
	want := c.excess(available, capacity)
	if want <= 0 {
		return
	}
	if freed := c.remove(ctx, c.unused(list, used, c.lives, now), want, "space"); freed < want {
		c.Tell("FreeDiskSpaceFailed", fmt.Sprintf("Failed to garbage collect required amount of images. Attempted to free %d bytes, but only found %d bytes eligible to free.", want, freed))
	}
}

// All removes every image that no container uses.
func (c *Collector) All(ctx context.Context) {
	if list, used, now, ok := c.see(ctx); ok {
		c.remove(ctx, c.unused(list, used, c.lives, now), math.MaxInt64, "space")
	}
}

// see looks at the images and remembers since when they have been there. Those of before this process count from its first look.
func (c *Collector) see(ctx context.Context) (list []runtime.Image, used func(runtime.Image) bool, now time.Time, ok bool) {
	list, err := c.Runtime.Images(ctx)
	if err != nil {
		c.Log.Warn("images not listed", "error", err)
		return nil, nil, now, false
	}
	names, err := c.Used(ctx)
	if err != nil {
		c.Log.Warn("images in use not known", "error", err)
		return nil, nil, now, false
	}
	used = func(img runtime.Image) bool {
		return names(img.ID) || slices.ContainsFunc(img.Tags, names) || slices.ContainsFunc(img.Digests, names)
	}
	now = time.Now()
	next := make(map[string]life, len(list))
	for _, img := range list {
		l, known := c.lives[img.ID]
		if !known {
			l.first = now
		}
		if used(img) {
			l.used = now
		}
		next[img.ID] = l
	}
	c.lives = next
	if c.Seen != nil {
		c.Seen(list)
	}
	return list, used, now, true
}

// remove removes images, for their age or for space, until enough bytes are free, and returns how many are.
func (c *Collector) remove(ctx context.Context, list []runtime.Image, enough int64, reason string) (freed int64) {
	for _, img := range list {
		if freed >= enough {
			break
		}
		if err := c.Runtime.RemoveImage(ctx, img.ID); err != nil {
			c.Log.Warn("image not removed", "image", img.ID, "error", err)
			continue
		}
		freed += img.Size
		if c.Removed != nil {
			c.Removed(reason)
		}
		c.Log.Info("removed an image that no container uses", "image", img.ID, "tags", img.Tags, "bytes", img.Size)
	}
	return freed
}
