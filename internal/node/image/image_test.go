package image

import (
	"strings"
	"testing"
	"time"
)

func TestImageNames(t *testing.T) {
	for in, want := range map[string]string{
		"busybox": "busybox:latest", "busybox:1": "busybox:1", "a.b/c/d": "a.b/c/d:latest", "localhost:5000/x": "localhost:5000/x:latest",
		"x@sha256:" + strings.Repeat("a", 64): "x@sha256:" + strings.Repeat("a", 64),
		"Upper":                               "", "x:": "", "": "", "a b": "",
	} {
		got, err := tagged(in)
		if (err != nil) != (want == "") || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, c := range []struct {
		key, image string
		want       bool
	}{
		{"https://index.docker.io/v1/", "busybox", true}, {"docker.io", "me/x:1", true}, {"quay.io", "quay.io/a/b", true}, {"quay.io/a", "quay.io/a/b", true},
		{"quay.io/c", "quay.io/a/b", false}, {"*.example.com", "r.example.com/x", true}, {"*.example.com", "example.com/x", false}, {"r:5000", "r:5000/x:1", true},
	} {
		if got := authFits(c.key, registryPath(c.image)); got != c.want {
			t.Errorf("%s for %s: %t", c.key, c.image, got)
		}
	}
}

// The waits between pulls double, the error is shown for a moment before the back-off, and another image begins anew.
func TestBackoff(t *testing.T) {
	b, now := Backoff{}, time.Unix(0, 0)
	for i, wait := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		b.Failed("c", "i", Missing{Reason: "ErrImagePull", Message: "no"}, now)
		for _, ask := range []struct {
			after, until time.Duration // seconds since the failure
			tell         string
			held         bool
		}{
			{0, 2, "", true}, {1, 2, "", true}, {2, wait, `Back-off pulling image "i": ErrImagePull: no`, true}, {3, wait, "", true}, {wait, 0, "", false},
		} {
			until, tell, held := b.Holds("c", "i", now.Add(ask.after*time.Second))
			if held != ask.held || tell != ask.tell || held && until.Sub(now) != ask.until*time.Second {
				t.Errorf("failure %d, %d s later: until %v, %q, %t", i+1, ask.after, until.Sub(now), tell, held)
			}
		}
		now = now.Add(wait * time.Second)
	}
	b.Failed("c", "other", Missing{}, now)
	if _, _, held := b.Holds("c", "i", now); held {
		t.Error("an image is held back for another's failures")
	}
	if _, _, held := b.Holds("c", "other", now.Add(10*time.Second)); held {
		t.Error("another image does not begin anew")
	}
	b.Done("c")
	if _, _, held := b.Holds("c", "other", now); held {
		t.Error("held back although it has its image")
	}
}
