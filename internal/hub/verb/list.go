package verb

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/verb/paging"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Listing is the answer to a list. Items are results, not objects: nothing is decoded or encoded to make one.
type Listing struct {
	Kind            *api.Kind
	ResourceVersion string
	Continue        string
	Remaining       *int64
	Items           []Result
}

// Object is the list as one value, whose items are frozen.
func (l *Listing) Object() runtime.Object {
	gv := l.Kind.GVK().GroupVersion()
	out := &metav1.List{
		TypeMeta: metav1.TypeMeta{Kind: l.Kind.Kind + "List", APIVersion: gv.String()},
		ListMeta: metav1.ListMeta{ResourceVersion: l.ResourceVersion, Continue: l.Continue, RemainingItemCount: l.Remaining},
	}
	for i := range l.Items {
		if obj, err := l.Items[i].Object(); err == nil {
			out.Items = append(out.Items, runtime.RawExtension{Object: obj})
		}
	}
	return out
}

// Size is how many bytes the objects are as messages; for those of a view, which were made for this list, what they take at
// least.
func (l *Listing) Size() int64 {
	size := int64(0)
	for i := range l.Items {
		if en := l.Items[i].entry; en != nil {
			size += int64(en.Size())
		} else {
			size += viewed
		}
	}
	return size
}

// viewed is what an object of a view is counted as, in bytes.
const viewed = 1 << 10

// List returns the selected objects in key order.
func (e *Engine) List(ctx context.Context, req *Request, opts metav1.ListOptions) (*Listing, error) {
	if err := checkListOptions(&opts); err != nil {
		return nil, err
	}
	if s := e.source(req.Kind); s != nil {
		return s.list(ctx, req, opts)
	}
	if l, err := e.nothing(ctx, req, opts); l != nil || err != nil {
		return l, err
	}
	t, err := e.target(req.Kind)
	if err != nil {
		return nil, err
	}
	defer t.release()
	s, err := selectionOf(t, req.Ref.Namespace, req.Ref.Name, opts)
	if err != nil {
		return nil, err
	}
	v, err := e.view(ctx, &s, opts)
	if err != nil {
		return nil, err
	}
	if bad := v.snap.Bad(s.prefix); len(bad) > 0 {
		req.Warn(fmt.Sprintf("%d stored objects cannot be read and are left out, first of them: %v", len(bad), bad[0].Bad()))
	}
	if opts.ResourceVersion == "0" {
		opts.Limit = 0 // upstream's cache answers "any state" whole, whatever the limit, and also the rest after a token
	}
	return v.page(ctx, &s, opts.Limit)
}

// nothing is the list of a kind that has no objects, for which no cache need be started; nil for all others. What is wrong with the
// options is found all the same.
func (e *Engine) nothing(ctx context.Context, req *Request, opts metav1.ListOptions) (*Listing, error) {
	if opts.Continue != "" || opts.ResourceVersion != "" && opts.ResourceVersion != "0" {
		return nil, nil
	}
	t, err := e.unread(req.Kind)
	if err != nil || !t.place.Idle() {
		return nil, err
	}
	if _, err := selectionOf(t, req.Ref.Namespace, req.Ref.Name, opts); err != nil {
		return nil, err
	}
	rev, err := t.place.Store().Revision(ctx, t.stored.StoragePrefix())
	if err != nil {
		return nil, storeError(err)
	}
	if !t.place.Empty() { // since the revision was asked for
		return nil, nil
	}
	return &Listing{Kind: t.kind, ResourceVersion: strconv.FormatInt(rev, 10), Items: []Result{}}, nil
}

// view is a state of a kind to list from, and where to begin.
type view struct {
	snap     *cache.Snapshot
	revision int64 // what the list carries
	from     string
}

// view finds the state that a list asks for: the most recent one, any, one not older than a revision or exactly one.
func (e *Engine) view(ctx context.Context, s *selection, opts metav1.ListOptions) (view, error) {
	if opts.Continue != "" {
		return e.continued(ctx, s, opts)
	}
	rev, err := parseRevision(opts.ResourceVersion)
	if err != nil {
		return view{}, apierrors.NewBadRequest("invalid resource version: " + err.Error())
	}
	exact := opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact ||
		opts.ResourceVersionMatch == "" && opts.Limit > 0 && rev > 0 // what limit always meant
	var snap *cache.Snapshot
	switch {
	case exact:
		snap, err = e.exactly(ctx, s.t, rev)
		if errors.Is(err, store.ErrCompacted) {
			err = apierrors.NewResourceExpired(listExpired)
		}
		if err != nil {
			return view{}, storeError(err)
		}
		return view{snap: snap, revision: rev}, nil
	case opts.ResourceVersion == "":
		snap, err = s.t.newest(ctx)
	default:
		snap, err = s.t.atLeast(ctx, rev)
	}
	if err != nil {
		return view{}, err
	}
	return view{snap: snap, revision: snap.Revision}, nil
}

// exactly returns the state at one revision; a revision to come is waited for a little.
func (e *Engine) exactly(ctx context.Context, t target, rev int64) (*cache.Snapshot, error) {
	if _, err := t.atLeast(ctx, rev); err != nil {
		return nil, err
	}
	return t.cache.At(ctx, rev)
}

// continued goes on where a token left off; when that state is gone the caller gets a token for the latest state instead.
func (e *Engine) continued(ctx context.Context, s *selection, opts metav1.ListOptions) (view, error) {
	from, rev, err := paging.Decode(opts.Continue, s.prefix)
	if err != nil {
		return view{}, err
	}
	if opts.ResourceVersion != "" && opts.ResourceVersion != "0" {
		return view{}, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	if rev < 0 {
		snap, err := s.t.newest(ctx)
		if err != nil {
			return view{}, err
		}
		return view{snap: snap, revision: snap.Revision, from: from}, nil
	}
	snap, err := e.exactly(ctx, s.t, rev)
	if errors.Is(err, store.ErrCompacted) {
		expired := apierrors.NewResourceExpired(continueInconsistent)
		expired.ErrStatus.ListMeta.Continue = paging.Encode(from, s.prefix, -1)
		return view{}, expired
	}
	if err != nil {
		return view{}, storeError(err)
	}
	return view{snap: snap, revision: rev, from: from}, nil
}

// page takes up to limit (0: all) selected objects.
func (v view) page(ctx context.Context, s *selection, limit int64) (*Listing, error) {
	l := &Listing{Kind: s.t.kind, ResourceVersion: strconv.FormatInt(v.revision, 10)}
	if limit == 0 && s.all() {
		l.Items = make([]Result, 0, v.snap.Len(s.prefix))
	}
	var last string
	var left int64
	var failed error
	err := s.each(ctx, v.snap, v.from, func(en *cache.Entry) bool {
		if limit > 0 && int64(len(l.Items)) >= limit {
			if s.all() && v.from == "" { // a first page costs the same however many there are: the index knows their number
				left = int64(v.snap.Len(s.prefix)) - limit
				return false
			}
			left++
			return s.all() // without selectors the rest is only counted
		}
		res, err := s.t.result(ctx, en)
		if err != nil {
			failed = err
			return false
		}
		last = en.Key
		l.Items = append(l.Items, res)
		return true
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	if left > 0 {
		l.Continue = paging.Encode(last+"\x00", s.prefix, v.revision)
		if s.all() {
			l.Remaining = &left
		}
	}
	return l, nil
}
