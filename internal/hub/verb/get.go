package verb

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// futureWait is how long a read waits for a resource version that this hub has not seen yet (upstream's figure).
const futureWait = 3 * time.Second

// Get reads one object, or a subresource whose body is the object or its scale. An unset resourceVersion means the most
// recent state, "0" what is at hand, any other one that is not older.
func (e *Engine) Get(ctx context.Context, req *Request, opts metav1.GetOptions) (Result, error) {
	if s := e.source(req.Kind); s != nil {
		return s.get(ctx, req)
	}
	t, err := e.unread(req.Kind)
	if err != nil {
		return Result{}, err
	}
	if (opts.ResourceVersion == "" || opts.ResourceVersion == "0") && t.place.Idle() {
		if _, err := t.key(req.Ref.Namespace, req.Ref.Name); err != nil {
			return Result{}, err
		}
		return Result{}, apierrors.NewNotFound(req.Kind.GR(), req.Ref.Name)
	}
	if t, err = e.target(req.Kind); err != nil {
		return Result{}, err
	}
	defer t.release()
	snap, err := t.notOlder(ctx, opts.ResourceVersion)
	if err != nil {
		return Result{}, err
	}
	key, err := t.key(req.Ref.Namespace, req.Ref.Name)
	if err != nil {
		return Result{}, err
	}
	en := snap.Get(key)
	if en == nil {
		return Result{}, apierrors.NewNotFound(req.Kind.GR(), req.Ref.Name)
	}
	if err := en.Bad(); err != nil {
		return Result{}, storeError(err)
	}
	if sub := req.Kind.Sub(req.Ref.Subresource); sub != nil && sub.Scale != nil {
		obj, err := t.object(ctx, en)
		if err != nil {
			return Result{}, err
		}
		if sub.Scale.Has != nil {
			if has, err := sub.Scale.Has(obj); err != nil {
				return Result{}, unknownError(err.Error())
			} else if !has {
				return Result{}, apierrors.NewInternalError(fmt.Errorf("the spec replicas field %q does not exist", sub.Scale.Field))
			}
		}
		return Made(scaleOf(sub.Scale, obj)), nil
	}
	return t.result(ctx, en)
}

// notOlder returns the snapshot that a resourceVersion in its NotOlderThan sense asks for.
func (t target) notOlder(ctx context.Context, rv string) (*cache.Snapshot, error) {
	if rv == "" {
		return t.newest(ctx)
	}
	min, err := parseRevision(rv)
	if err != nil {
		return nil, err
	}
	return t.atLeast(ctx, min)
}

func (t target) atLeast(ctx context.Context, min int64) (*cache.Snapshot, error) {
	if err := t.loaded(ctx); err != nil {
		return nil, err
	}
	select {
	case <-t.cache.Ready(): // mostly it is there, and needs no timer
		if snap, err := t.cache.Snapshot(ctx, 0); err == nil && snap.Revision >= min {
			return snap, nil
		}
	default:
	}
	wait, cancel := context.WithTimeout(ctx, futureWait)
	defer cancel()
	snap, err := t.cache.Snapshot(wait, min)
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		cur, cerr := t.cache.Current(ctx)
		if cerr != nil {
			return nil, storeError(cerr)
		}
		return nil, tooLargeRevision(min, cur)
	}
	return snap, storeError(err)
}

// parseRevision reads a resourceVersion. Its refusal, in upstream's words, is a 500: only lists make a 400 of it.
func parseRevision(rv string) (int64, error) {
	if rv == "" || rv == "0" {
		return 0, nil
	}
	n, err := strconv.ParseUint(rv, 10, 63)
	if err != nil {
		return 0, unknownError(field.Invalid(field.NewPath("resourceVersion"), rv, err.Error()).Error())
	}
	return int64(n), nil
}

// revisionOf is the revision an object carries, 0 when it carries none.
func revisionOf(obj api.Object) int64 {
	n, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
