package image

import (
	"fmt"
	"time"
)

// How long a container waits for the next pull of its image: upstream's 10 s, doubling to 5 min.
const (
	backoffFirst = 10 * time.Second
	backoffMax   = 300 * time.Second
	// errorShown is how long the status shows the error of a pull before it shows ImagePullBackOff.
	errorShown = 2 * time.Second
)

// Backoff holds back the pulls of one pod's images that have failed, by the name of the container. It belongs to the pod's
// goroutine.
type Backoff map[string]*failures

// failures are the failed pulls in a row of one image for one container.
type failures struct {
	image        string
	wait         time.Duration
	until, shown time.Time // the next pull; the end of the time in which the error is shown
	told         bool      // that the container waits
	last         Missing
}

// Failed notes that the pull of a container's image failed at now. Another image than the last begins anew.
func (b Backoff) Failed(container, image string, why Missing, now time.Time) {
	f := b[container]
	if f == nil || f.image != image {
		f = &failures{image: image, wait: backoffFirst / 2}
		b[container] = f
	}
	f.wait = min(2*f.wait, backoffMax)
	f.until, f.shown, f.told, f.last = now.Add(f.wait), now.Add(errorShown), false, why
}

// Done notes that a container has its image.
func (b Backoff) Done(container string) { delete(b, container) }

// Holds reports whether the pull of a container's image has to wait at now, and until when to ask again. tell is the message of
// the ImagePullBackOff that is to be shown from now on; it is "" when that was told before, or is not to be told yet.
func (b Backoff) Holds(container, image string, now time.Time) (until time.Time, tell string, held bool) {
	f := b[container]
	switch {
	case f == nil || f.image != image || !now.Before(f.until):
		return time.Time{}, "", false
	case now.Before(f.shown):
		return f.shown, "", true
	case f.told:
		return f.until, "", true
	}
	f.told = true
	return f.until, fmt.Sprintf("Back-off pulling image %q: %s: %s", image, f.last.Reason, f.last.Message), true
}
