package custom

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiextensions"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/custom/schema"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Config is what a Room works with. Everything is needed but where it says otherwise.
type Config struct {
	Catalog *catalog.Catalog
	Door    client.Interface // the hub's own
	Log     *slog.Logger
	Call    Caller // asks webhooks; nil: none can be asked
}

// Room serves what definitions define. Its records belong to whoever works on the definition; others read them under the lock, to
// learn which names are taken.
type Room struct {
	cfg    Config
	loaded chan struct{}
	work   *queue

	mu struct {
		sync.Mutex
		records map[string]*record // by the definition's name
		first   []*api.Kind        // of the definitions that there are at first, until loaded; nil when there are none
		loading bool
		ending  map[types.UID]bool // see finish
	}
	naming sync.Mutex // held while names are given out, until others can see whose they are; before mu
}

// record is what is kept of a definition.
type record struct {
	uid        types.UID
	version    string // the resourceVersion that was worked on last
	generation int64
	group      string
	names      names // accepted
	closed     bool
	kinds      []*api.Kind // in the catalog
}

// New makes a room. Nothing is served before Run.
func New(cfg Config) *Room {
	r := &Room{cfg: cfg, loaded: make(chan struct{})}
	r.mu.records, r.mu.ending, r.mu.loading = map[string]*record{}, map[types.UID]bool{}, true
	r.work = newQueue(r.sync)
	return r
}

// Loaded is closed when all that was defined at first is served.
func (r *Room) Loaded() <-chan struct{} { return r.loaded }

// Run follows the definitions until ctx ends.
func (r *Room) Run(ctx context.Context) error {
	defer r.work.wait()
	if r.none() {
		r.serveFirst(ctx)
		close(r.loaded)
		r.awaitOne(ctx)
	}
	follow{r.cfg.Door, r.cfg.Log}.run(ctx, func(first bool, changed []string) {
		r.work.add(ctx, changed...)
		if first && r.isLoading() {
			r.work.idle(ctx)
			r.serveFirst(ctx)
			close(r.loaded)
		}
	})
	return nil
}

// none reports whether there is no definition, and has been none.
func (r *Room) none() bool {
	of := r.cfg.Catalog.Now().Resource(client.CustomResourceDefinitions)
	return of != nil && of.Stored().Empty()
}

// awaitOne waits for the first definition: until then nothing is followed.
func (r *Room) awaitOne(ctx context.Context) {
	for {
		changed := r.cfg.Catalog.Changed()
		if !r.none() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// serveFirst serves at one stroke what the definitions define that there are at first: one after another they would take the square
// of their number.
func (r *Room) serveFirst(ctx context.Context) {
	r.naming.Lock()
	defer r.naming.Unlock()
	r.mu.Lock()
	first := r.mu.first
	r.mu.first, r.mu.loading = nil, false
	r.mu.Unlock()
	if err := r.replace(ctx, nil, first); err == nil {
		return
	}
	for _, is := range r.all() { // one of them cannot be served, and must not keep the others away
		if err := r.replace(ctx, nil, is.kinds); err != nil {
			r.cfg.Log.Warn("a custom resource cannot be served", "error", err)
			is.kinds = nil
		}
	}
}

// all are the records that there are.
func (r *Room) all() []*record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.mu.records))
}

func (r *Room) isLoading() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.loading
}

// later does what replace does for serveFirst to carry out. It reports false once that has been done.
func (r *Room) later(old, fresh []*api.Kind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.loading {
		r.mu.first = slices.DeleteFunc(r.mu.first, func(k *api.Kind) bool { return slices.Contains(old, k) })
		r.mu.first = append(r.mu.first, fresh...)
	}
	return r.mu.loading
}

// find returns the record of a definition, nil for none.
func (r *Room) find(name string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.records[name]
}

// sync brings one definition up to date. What it returns is tried again.
func (r *Room) sync(ctx context.Context, name string) error {
	if r.done(ctx, name) {
		return nil
	}
	d, err := r.get(ctx, name)
	if err != nil {
		return err
	}
	was := r.find(name)
	if was != nil && (d == nil || d.UID != was.uid) {
		if err := r.forget(ctx, name, was); err != nil {
			return err
		}
		was = nil
	}
	switch {
	case d == nil:
		return nil
	case was != nil && was.version == d.ResourceVersion:
		return nil
	}
	d, err = r.settled(ctx, d)
	if err != nil || d == nil {
		return err
	}
	if d.DeletionTimestamp != nil {
		r.finish(ctx, d)
	}
	return nil
}

// done reports whether the last version of a definition has been worked on, as it has when the change is what the work itself wrote.
// To learn that takes the metadata alone.
func (r *Room) done(ctx context.Context, name string) bool {
	uid, version := r.worked(name)
	if version == "" {
		return false
	}
	got, err := r.cfg.Door.Get(ctx, client.Ref{Resource: client.CustomResourceDefinitions, Name: name, Metadata: true}, metav1.GetOptions{})
	o, ok := got.(api.Object)
	return err == nil && ok && o.GetUID() == uid && o.GetResourceVersion() == version
}

// worked says what was worked on last under a name; "" is nothing, or that it is to be looked at again.
func (r *Room) worked(name string) (types.UID, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if is := r.mu.records[name]; is != nil {
		return is.uid, is.version
	}
	return "", ""
}

// settled gives a definition its names, serves it and says so in its status. It returns the definition as it is then; nil when
// somebody else has changed it, who has it worked on again.
func (r *Room) settled(ctx context.Context, d *apiextensions.Definition) (*apiextensions.Definition, error) {
	r.naming.Lock()
	locked := true
	unlock := func() {
		if locked {
			r.naming.Unlock()
			locked = false
		}
	}
	defer unlock()
	next := d.DeepCopy()
	settle(next, r.taken(d.Spec.Group, d.Name))
	was := r.find(d.Name)
	is, err := r.serve(ctx, was, next)
	if err != nil {
		return nil, err
	}
	freed := was != nil && !sameNames(&was.names, &is.names)
	unlock()
	if freed {
		r.again(ctx, d.Spec.Group, d.Name)
	}
	written, err := r.write(ctx, d, next)
	if err != nil || written == nil {
		return nil, err
	}
	r.note(d.Name, is, written.ResourceVersion)
	return written, nil
}

// serve puts what next defines into the catalog in place of what there was before, and makes the record of it.
func (r *Room) serve(ctx context.Context, was *record, next *apiextensions.Definition) (*record, error) {
	is := &record{
		uid: next.UID, generation: next.Generation, group: next.Spec.Group, names: next.Status.AcceptedNames,
		closed: next.DeletionTimestamp != nil,
	}
	var old []*api.Kind
	if was != nil {
		old = was.kinds
	}
	same := was != nil && was.generation == is.generation && sameNames(&was.names, &is.names)
	switch {
	case !accepted(next):
		if len(old) == 0 {
			break
		}
		if err := r.replace(ctx, old, nil); err != nil {
			return nil, err
		}
	case same && was.closed == is.closed:
		is.kinds = old
	default:
		is.kinds = kinds(next, define(next, r.source(next.Name), r.converter(next)))
		if same && len(is.kinds) == len(old) && !r.isLoading() {
			r.cfg.Catalog.Rename(old, is.kinds)
		} else if err := r.replace(ctx, old, is.kinds); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.records[next.Name] = is
	return is, nil
}

// replace serves fresh kinds in place of old ones. What was made of the old ones goes when requests under way have finished.
func (r *Room) replace(ctx context.Context, old, fresh []*api.Kind) error {
	if r.later(old, fresh) {
		return nil
	}
	drain, err := r.cfg.Catalog.Replace(old, fresh)
	if err != nil {
		return err
	}
	if len(old) > 0 {
		r.work.beside(func() { _ = drain(ctx) })
	}
	return nil
}

// forget stops to serve a definition that is no longer there, and lets others have its names.
func (r *Room) forget(ctx context.Context, name string, was *record) error {
	if len(was.kinds) > 0 {
		if err := r.replace(ctx, was.kinds, nil); err != nil {
			return err
		}
	}
	r.mu.Lock()
	delete(r.mu.records, name)
	r.mu.Unlock()
	r.again(ctx, was.group, name)
	return nil
}

// again has the other definitions of a group looked at: a name may have become free.
func (r *Room) again(ctx context.Context, group, but string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, o := range r.mu.records {
		if o.group == group && name != but {
			o.version = ""
			r.work.add(ctx, name)
		}
	}
}

// note notes up to where a definition has been worked on.
func (r *Room) note(name string, of *record, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.records[name] == of {
		of.version = version
	}
}

// taken are the names that the others of a group have.
func (r *Room) taken(group, but string) taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out taken
	for name, o := range r.mu.records {
		if o.group == group && name != but {
			out.add(&o.names)
		}
	}
	return out
}

func sameNames(a, b *names) bool {
	join := func(n *names) string {
		return strings.Join([]string{n.Plural, n.Singular, n.Kind, n.ListKind, strings.Join(n.ShortNames, " "), strings.Join(n.Categories, " ")}, ",")
	}
	return join(a) == join(b)
}

// source returns the definition of a name for those who need all of it.
func (r *Room) source(name string) schema.Source {
	return func() (*apiextensions.Definition, error) {
		ctx, cancel := context.WithTimeout(context.Background(), sourceIn)
		defer cancel()
		return client.Get[*apiextensions.Definition](ctx, near{r.cfg.Door}, client.CustomResourceDefinitions, "", name)
	}
}

// sourceIn is how long a definition may take to be read, which is in memory.
const sourceIn = 5 * time.Second

// near reads what the cache has, though it may be behind.
type near struct{ client.Interface }

// Get implements client.Reader.
func (n near) Get(ctx context.Context, ref client.Ref, opts metav1.GetOptions) (runtime.Object, error) {
	opts.ResourceVersion = "0"
	return n.Interface.Get(ctx, ref, opts)
}
