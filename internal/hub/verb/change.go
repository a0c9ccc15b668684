package verb

import (
	"bytes"
	"context"
	"errors"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/sealed"
)

// plan is what is to become of an object.
type plan struct {
	act    action
	obj    api.Object // to store; or, with remove, what the caller is answered (nil: what was there)
	effect effect
	dry    bool
	// changes says that obj is known to differ from what is there, which need not be found out by comparing bytes.
	changes bool
}

type action uint8

const (
	keep   action = iota // leave it as it is
	write                // store obj
	remove               // delete the key
)

// change carries out a compare-and-swap on the object at key: decide is called with what is there (nil when nothing is) and
// says what to do. It is called first with the cached state, which may be behind; what it then says is acted upon only if it
// is a write that the store accepts, otherwise it is asked again with the newest state. It is told whether what it is called with is
// that, and may say admit.ErrUnsure to be called with it. It must not change old.
//
// The answer is the entry that is there afterwards, or obj for a dry run, or for a removal obj or the last state.
func (e *Engine) change(ctx context.Context, t target, key string, decide func(old api.Object, newest bool) (plan, error)) (Result, action, error) {
	en, err := t.peek(ctx, key)
	if err != nil {
		return Result{}, keep, err
	}
	fresh := false
	for {
		if err := ctx.Err(); err != nil {
			return Result{}, keep, storeError(err)
		}
		d, err := decideOn(ctx, t, en, fresh, decide)
		if !fresh && (err != nil || d.stays || d.dry) {
			next, nerr := t.entry(ctx, key)
			if nerr != nil {
				d.effect.end(false)
				return Result{}, keep, nerr
			}
			fresh = true
			if !sameEntry(en, next) || errors.Is(err, admit.ErrUnsure) {
				d.effect.end(false)
				en = next
				continue
			}
		}
		if err != nil || d.stays || d.dry {
			d.effect.end(false)
			if err != nil {
				return Result{}, keep, err
			}
			return d.answer(ctx, t, en)
		}
		res, err := e.commit(ctx, t, key, en, d)
		d.effect.end(err == nil)
		if errors.Is(err, store.ErrFull) && !fresh {
			// What is there may be on its way out meanwhile, and such a write is taken.
			if next, nerr := t.entry(ctx, key); nerr == nil && !sameEntry(en, next) {
				en, fresh = next, true
				continue
			}
		}
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			return res, d.act, storeError(err)
		}
		if en, err = t.after(ctx, key, conflict); err != nil {
			return Result{}, keep, err
		}
		fresh = true
	}
}

// decision is a plan with its encoding; stays says that nothing need be written.
type decision struct {
	plan
	kept   api.Object // what stored decodes to
	stored []byte
	stays  bool
}

func decideOn(ctx context.Context, t target, en *cache.Entry, newest bool, decide func(old api.Object, newest bool) (plan, error)) (decision, error) {
	var old api.Object
	if en != nil {
		var err error
		if old, err = t.object(ctx, en); err != nil {
			return decision{}, err
		}
	}
	p, err := decide(old, newest)
	d := decision{plan: p, stays: p.act == keep}
	if err != nil || p.act != write {
		return d, err
	}
	if old == nil || p.changes {
		d.kept, d.stored, err = t.encode(ctx, p.obj)
		return d, err
	}
	is, again := p.obj.GetManagedFields(), apply.OnlyTimes(p.obj, old)
	if again {
		p.obj.SetManagedFields(old.GetManagedFields())
	}
	if d.kept, d.stored, err = t.encode(ctx, p.obj); err != nil {
		return d, err
	}
	d.stays = bytes.Equal(d.stored, en.Stored()) && !t.stale(ctx, en.Key)
	if again && !d.stays { // something else differs as well
		p.obj.SetManagedFields(is)
		d.kept, d.stored, err = t.encode(ctx, p.obj)
	}
	return d, err
}

// answer is what the caller gets when nothing is written.
func (d decision) answer(ctx context.Context, t target, en *cache.Entry) (Result, action, error) {
	switch {
	case d.act != keep && d.dry && !d.stays && d.obj != nil:
		res, err := t.made(ctx, d.obj)
		return res, d.act, err
	case en == nil:
		return Result{}, d.act, nil
	}
	act := d.act
	if d.stays {
		act = keep
	}
	res, err := t.result(ctx, en)
	return res, act, err
}

// commit makes the one store write.
func (e *Engine) commit(ctx context.Context, t target, key string, en *cache.Entry, d decision) (Result, error) {
	switch {
	case d.act == remove:
		if _, err := t.place.Store().Delete(ctx, key, en.Revision); err != nil {
			return Result{}, err
		}
		t.place.Told()
		if h := e.cfg.Hooks[t.stored.GR()]; h != nil {
			if gone, err := en.Object(); err == nil {
				h.Deleted(gone)
			}
		}
		if d.obj != nil {
			return t.made(ctx, d.obj)
		}
		return t.result(ctx, en)
	case en == nil:
		t.place.Fill()
		rev, err := t.place.Store().Create(ctx, key, d.stored, t.stored.TTLSeconds)
		if errors.Is(err, store.ErrExists) {
			return Result{}, &store.ConflictError{Key: key}
		}
		if err != nil {
			return Result{}, err
		}
		return t.result(ctx, learn(t, key, rev, d.stored, d.kept))
	}
	if d.obj.GetDeletionTimestamp() != nil {
		ctx = store.Vital(ctx) // it makes room in the end
	}
	rev, err := t.place.Store().Update(ctx, key, d.stored, en.Revision, t.stored.TTLSeconds)
	if err != nil {
		return Result{}, err
	}
	return t.result(ctx, learn(t, key, rev, d.stored, d.kept))
}

// stale reports whether what is stored at key would be stored in another form now, though it says the same: under another key of
// encryption, or encrypted at all. Then it is written again, which is how such changes reach objects.
func (t target) stale(ctx context.Context, key string) bool {
	s, ok := t.place.Store().(*sealed.Store)
	return ok && s.Stale(ctx, key)
}

// entry returns the newest entry at key, nil when there is none.
func (t target) entry(ctx context.Context, key string) (*cache.Entry, error) {
	snap, err := t.newest(ctx)
	if err != nil {
		return nil, err
	}
	return snap.Get(key), nil
}

// after returns the entry that stood in the way of a write.
func (t target) after(ctx context.Context, key string, c *store.ConflictError) (*cache.Entry, error) {
	if c.Current == nil {
		return t.entry(ctx, key)
	}
	snap, err := t.cache.Snapshot(ctx, c.Current.Revision)
	if err != nil {
		return nil, storeError(err)
	}
	return snap.Get(key), nil
}

func sameEntry(a, b *cache.Entry) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Revision == b.Revision
}
