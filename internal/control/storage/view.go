package storage

import (
	"strconv"
	"sync"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"
)

// view is an informer with the controller's own writes laid over it until the informer shows them, so that two claims that are
// looked at one after the other are not given the same volume. What others write is as new as the informer is; a write on top of
// something older is refused by the hub.
type view[T api.Object] struct {
	*cache.Informer[T]
	mu struct {
		sync.Mutex
		wrote map[string]T // by loop.Key; newer than the informer's, or dropped at the next look
	}
}

func viewOf[T api.Object](i *cache.Informer[T]) *view[T] {
	v := &view[T]{Informer: i}
	v.mu.wrote = map[string]T{}
	return v
}

// note remembers the hub's answer to a write.
func (v *view[T]) note(obj T) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.wrote[loop.Key(obj)] = obj
}

// get returns the newest version of an object that is known.
func (v *view[T]) get(namespace, name string) (T, bool) {
	have, ok := v.Informer.Get(namespace, name)
	v.mu.Lock()
	defer v.mu.Unlock()
	key := loop.KeyOf(namespace, name)
	own, wrote := v.mu.wrote[key]
	switch {
	case !wrote:
		return have, ok
	case v.shownLocked(have, ok, own):
		delete(v.mu.wrote, key)
		return have, ok
	}
	return own, true
}

// all returns the newest versions of all objects that are known.
func (v *view[T]) all() []T {
	list := v.Informer.List("")
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.mu.wrote) == 0 {
		return list
	}
	for i, obj := range list {
		key := loop.Key(obj)
		if own, wrote := v.mu.wrote[key]; wrote {
			if v.shownLocked(obj, true, own) {
				delete(v.mu.wrote, key)
			} else {
				list[i] = own
			}
		}
	}
	return list
}

// shownLocked reports whether the informer has taken in an own write.
func (v *view[T]) shownLocked(have T, ok bool, own T) bool {
	want := revision(own.GetResourceVersion())
	return ok && revision(have.GetResourceVersion()) >= want || revision(v.Informer.Revision()) >= want
}

func revision(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
