package cache

import (
	"sampan.dev/internal/api"
)

// view is an entry's object in another version. Views of one entry form a list, which is never changed but at its front.
type view struct {
	entry *Entry
	next  *view
}

// viewSize is how many times the size of its entry's bytes a view takes, about: the decoded object and its JSON.
const viewSize = decodedSize + 1

// In returns an entry that shows the object as kind, another version of that of e, made by convert when somebody first asks and
// kept with the forms of e. It shares key and revision with e, and cannot be stored.
func (e *Entry) In(kind *api.Kind, convert func(api.Object) (api.Object, error)) (*Entry, error) {
	if v := e.viewed(kind); v != nil {
		e.use()
		return v, nil
	}
	o, err := e.Object()
	if err != nil {
		return nil, err
	}
	o, err = convert(o) // may take long: not under the lock, so that two may convert the same
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if v := e.viewed(kind); v != nil {
		return v, nil
	}
	made := &Entry{Key: e.Key, Revision: e.Revision, kind: kind, stored: e.stored} // for its size
	made.keep(o)
	e.views.Store(&view{made, e.views.Load()})
	e.bounds.add(e, viewSize*e.Size())
	return made, nil
}

// viewed is the view as kind, if it has been made.
func (e *Entry) viewed(kind *api.Kind) *Entry {
	for v := e.views.Load(); v != nil; v = v.next {
		if v.entry.kind == kind {
			return v.entry
		}
	}
	return nil
}
