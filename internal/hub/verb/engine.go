package verb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/catalog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Config is what an Engine works with.
type Config struct {
	Catalog    *catalog.Catalog
	Admit      admit.Chain
	Authorizer authz.Authorizer // nil: only system:masters may do anything
	Patches    *apply.Engine    // nil: no patches, no managed fields
	// Hooks by stored resource, Handlers by HandlerKey.
	Hooks    map[schema.GroupResource]Hook
	Handlers map[string]Handler
	Sources  map[string]Source // by HandlerKey too
	Log      *slog.Logger
}

// Engine carries out verbs. It is safe for concurrent use.
type Engine struct {
	cfg Config
}

// New makes an engine. Handlers for pods/binding, bindings and pods/eviction are its own; it adds them to those of cfg.
func New(cfg Config) *Engine {
	if cfg.Handlers == nil {
		cfg.Handlers = map[string]Handler{}
	}
	e := &Engine{cfg: cfg}
	cfg.Handlers["pods/binding"] = e.bind
	cfg.Handlers["bindings"] = e.bind
	cfg.Handlers["pods/eviction"] = e.evict
	return e
}

// HandlerKey names the handler of a virtual resource ("tokenreviews.authentication.k8s.io") or of a subresource
// ("serviceaccounts/token").
func HandlerKey(r schema.GroupResource, subresource string) string {
	if subresource == "" {
		return r.String()
	}
	return r.String() + "/" + subresource
}

// target is where the objects of a kind are: for a view, the stored kind and its cache, which runs until the target is released.
type target struct {
	kind   *api.Kind // as asked for
	stored *api.Kind // as kept
	place  *catalog.Stored
	held   catalog.Held
	cache  *cache.Cache // what is held; nil for a target that is unread
}

// key is where the store has the object of that name. No name, which only a body can ask for, and one that is no segment of a path
// are refused: nothing is stored under them.
func (t target) key(namespace, name string) (string, error) {
	if name == "" {
		return "", apierrors.NewBadRequest("Name parameter required.")
	}
	if msgs := path.IsValidPathSegmentName(name); len(msgs) > 0 {
		return "", apierrors.NewBadRequest(fmt.Sprintf("Name parameter invalid: %q: %s", name, strings.Join(msgs, ";")))
	}
	return t.stored.Key(namespace, name), nil
}

// work is the kind in which a request is carried out, between reading what there is and storing what becomes of it: the one that
// was asked for where each object may be stored in another version, else the one that is stored.
func (t target) work() *api.Kind {
	if t.kind.Versions != nil {
		return t.kind
	}
	return t.stored
}

// release lets go of the cache.
func (t target) release() { t.held.Release() }

// replacements is how often a kind may be served anew while a request looks for its objects.
const replacements = 10

// target finds where the objects of a kind are, and has their cache run. Whoever gets one releases it.
func (e *Engine) target(k *api.Kind) (target, error) {
	for i := 0; ; i++ {
		t, err := e.unread(k)
		if err != nil {
			return t, err
		}
		if t, err = t.read(); err == nil || k.Versions == nil || i == replacements {
			return t, err
		}
	}
}

// unread is the target of a verb that may do without reading what there is: no cache runs for its sake. A kind that may be served
// anew at any time may have been since the request was routed.
func (e *Engine) unread(k *api.Kind) (target, error) {
	r := e.cfg.Catalog.Now().Resource(k.GVR())
	if r == nil || r.Kind != k && (r.Kind.Versions == nil || k.Versions == nil) {
		return target{}, NotServed(k.GVR())
	}
	place := r.Stored()
	if place == nil {
		return target{}, apierrors.NewMethodNotSupported(k.GR(), "get")
	}
	return target{kind: r.Kind, stored: place.Kind(), place: place}, nil
}

// read is the same target with a cache.
func (t target) read() (target, error) {
	var ok bool
	if t.held, ok = t.place.Hold(); !ok {
		return t, NotServed(t.kind.GVR())
	}
	t.cache = t.held.Cache()
	return t, nil
}

// result wraps an entry, through the view if there is one.
func (t target) result(ctx context.Context, en *cache.Entry) (Result, error) {
	switch {
	case t.kind.Versions != nil:
		en, err := t.shown(ctx, en)
		return Result{entry: en}, err
	case t.kind.View == nil:
		return Result{entry: en}, nil
	}
	obj, err := en.Object()
	if err != nil {
		return Result{}, apierrors.NewInternalError(err)
	}
	return t.made(ctx, obj)
}

// shown is an entry in the version that was asked for, of a kind whose objects may be stored in several.
func (t target) shown(ctx context.Context, en *cache.Entry) (*cache.Entry, error) {
	if t.kind.Versions == nil || en.APIVersion() == t.kind.GVK().GroupVersion().String() {
		return en, nil
	}
	en, err := en.In(t.kind, func(obj api.Object) (api.Object, error) { return t.unpacked(ctx, obj) })
	return en, storeError(err)
}

// object is the object of an entry in the form in which requests are carried out. It is frozen.
func (t target) object(ctx context.Context, en *cache.Entry) (api.Object, error) {
	en, err := t.shown(ctx, en)
	if err != nil {
		return nil, err
	}
	obj, err := en.Object()
	return obj, storeError(err)
}

// unpacked turns an object as it is stored into the form in which requests are carried out, and packed does the reverse.
func (t target) unpacked(ctx context.Context, obj api.Object) (api.Object, error) {
	return t.version(ctx, obj, t.kind.Version)
}

func (t target) packed(ctx context.Context, obj api.Object) (api.Object, error) {
	if t.kind.Versions == nil {
		return obj, nil
	}
	return t.version(ctx, obj, t.kind.Versions.Storage)
}

func (t target) version(ctx context.Context, obj api.Object, version string) (api.Object, error) {
	if t.kind.Versions == nil {
		return obj, nil
	}
	out, err := t.kind.Versions.Convert(ctx, obj, version)
	return out, conversionError(err)
}

// made wraps an object that was made for this request, in the form in which it is carried out.
func (t target) made(ctx context.Context, obj api.Object) (Result, error) {
	out, err := t.outward(ctx, obj)
	if err != nil {
		return Result{}, err
	}
	return Made(out), nil
}

// outward turns an object from the form in which the request is carried out into the kind that was asked for.
func (t target) outward(ctx context.Context, obj api.Object) (api.Object, error) {
	if t.kind.View == nil || t.kind.Versions != nil {
		return obj, nil
	}
	return converted(ctx, t.kind.View.To, obj, t.kind)
}

// inward turns an object as clients send it into the form in which the request is carried out.
func (t target) inward(ctx context.Context, obj api.Object) (api.Object, error) {
	if t.kind.View == nil || t.kind.Versions != nil {
		return obj, nil
	}
	return converted(ctx, t.kind.View.From, obj, t.stored)
}

// conversionError is the answer to a request whose object could not be converted: what the conversion says.
func conversionError(err error) error {
	var status apierrors.APIStatus
	if err == nil || errors.As(err, &status) {
		return err
	}
	return unknownError(err.Error())
}

// converted makes an object of another kind or version. What the conversion says is the answer where it fails.
func converted(ctx context.Context, convert func(context.Context, api.Object) (api.Object, error), obj api.Object, to *api.Kind) (api.Object, error) {
	out, err := convert(ctx, obj)
	if err != nil {
		return nil, conversionError(err)
	}
	out.GetObjectKind().SetGroupVersionKind(to.GVK())
	return out, nil
}

// loaded waits for a cache that readers start to be loaded, so that the first of them is answered like any other. Those that the
// hub starts itself are loaded before it is ready; before then, their readers are told to come again.
func (t target) loaded(ctx context.Context) error {
	if t.place.Eager() {
		return nil
	}
	select {
	case <-t.cache.Ready():
		return nil
	case <-ctx.Done():
		return storeError(ctx.Err())
	}
}

// peek returns the cached entry at key, which may be behind; nil when there is none.
func (t target) peek(ctx context.Context, key string) (*cache.Entry, error) {
	snap, err := t.cache.Snapshot(ctx, 0)
	if err != nil {
		return nil, storeError(err)
	}
	return snap.Get(key), nil
}

// newest returns a snapshot that holds everything stored before the call.
func (t target) newest(ctx context.Context) (*cache.Snapshot, error) {
	if t.cache == nil {
		var err error
		if t, err = t.read(); err != nil {
			return nil, err
		}
		defer t.release()
	}
	snap, err := t.cache.Newest(ctx)
	return snap, storeError(err)
}
