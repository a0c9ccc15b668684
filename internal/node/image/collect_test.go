package image

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/node/runtime"
)

// shelf is a runtime that has images.
type shelf struct {
	runtime.Interface
	images  []runtime.Image
	removed []string
}

func (s *shelf) Images(context.Context) ([]runtime.Image, error) { return slices.Clone(s.images), nil }

func (s *shelf) RemoveImage(_ context.Context, id string) error {
	s.removed = append(s.removed, id)
	s.images = slices.DeleteFunc(s.images, func(i runtime.Image) bool { return i.ID == id })
	return nil
}

func TestCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{images: []runtime.Image{{ID: "pause", Pinned: true, Size: 10}, {ID: "busy", Tags: []string{"busy:1"}, Size: 10}, {ID: "old", Size: 10}, {ID: "older", Size: 10}}}
		inUse, available, told := []string{"busy:1", "old"}, int64(50), ""
		c := &Collector{Policy: Defaults, Runtime: s, Log: slog.New(slog.DiscardHandler),
			Space: func() (int64, int64, bool) { return available, 100, true },
			Used: func(context.Context) (func(string) bool, error) {
				return func(name string) bool { return slices.Contains(inUse, name) }, nil
			},
			Tell: func(reason, message string) { told = reason + ": " + message },
		}
		look := func(want string) {
			t.Helper()
			c.Look(t.Context())
			if got := strings.Join(s.removed, " "); got != want {
				t.Errorf("removed %q, want %q", got, want)
			}
			s.removed = nil
		}
		look("") // half is free
		available = 14
		inUse = inUse[:1]
		look("") // all are too young
		time.Sleep(3 * time.Minute)
		look("older") // used longest ago; 10 bytes are more than the 6 that were to be freed
		available = 1
		look("old")
		if want := "FreeDiskSpaceFailed: Failed to garbage collect required amount of images. Attempted to free 19 bytes, but only found 10 bytes eligible to free."; told != want {
			t.Errorf("told %q", told)
		}
		s.images = append(s.images, runtime.Image{ID: "aged", Size: 1})
		available, c.MaxAge = 99, time.Hour
		look("")
		time.Sleep(time.Hour + time.Second)
		look("aged")
		s.images = append(s.images, runtime.Image{ID: "any", Size: 1})
		look("")
		time.Sleep(3 * time.Minute)
		c.All(t.Context())
		if got := strings.Join(s.removed, " "); got != "any" {
			t.Errorf("of all, %q was removed", got)
		}
	})
}

func TestPolicy(t *testing.T) {
	for want, p := range map[string]Policy{
		"": Defaults, "invalid HighThresholdPercent 101, must be in range [0-100]": {High: 101}, "invalid LowThresholdPercent -1, must be in range [0-100]": {Low: -1, High: 5},
		"LowThresholdPercent 9 can not be higher than HighThresholdPercent 8": {High: 8, Low: 9},
	} {
		got := ""
		if err := p.Check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
