package cache

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"weak"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/deflate"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Entry is one version of one object. Its forms are made at most once and are frozen.
//
// It keeps the object's protobuf message with resourceVersion already in it, which is what lists and watches send; the
// store's bytes are made from that when somebody asks. Of a kind that is stored as JSON it keeps that in the same way, where this
// process has written the object: of what was stored before, under another schema perhaps, JSON is made anew. The decoded object
// stays once something in process has asked for it. JSON of an object that nobody decoded is made through a temporary one.
type Entry struct {
	Key      string
	Revision int64

	kind   *api.Kind
	env    *envelope // nil when the value is not in the protobuf envelope of kind; then stored is set
	msg    []byte    // with resourceVersion; nil when env is
	stored []byte    // only when env is nil
	at     inserted  // stored is JSON with resourceVersion in it, here
	prev   *Entry    // for a deletion, whose object is that of prev with another resourceVersion
	bad    error     // why there is no object: what is stored cannot be read

	seal seal       // empty but in race builds
	mu   sync.Mutex // held while a form is made
	obj  atomic.Pointer[api.Object]
	soft weak.Pointer[api.Object] // of a bulky kind, in place of obj, under mu: it goes with the next garbage collection
	json atomic.Pointer[[]byte]
	made atomic.Pointer[[]byte] // the message, when env is nil

	runs  [forms]atomic.Pointer[Run]
	views atomic.Pointer[view] // of the object in other versions; mu is held while one is added

	bounds *Bounds // nil: its forms stay
	line   member  // guarded by bounds.mu
	used   atomic.Bool
}

// Form is an encoding of lists whose compressed runs are kept.
type Form uint8

// The forms.
const (
	ListJSON  Form = iota // each element with a comma before it
	ListProto             // each element with its tag and length
	forms
)

// Run is some elements of a list, one after another, compressed together: alone, objects that are alike would not share
// what they have in common.
type Run struct {
	Revisions []int64 // of the elements; no two objects of a kind have the same
	Block     *deflate.Block
}

// Run returns the run that begins with the entry, as somebody has made it last, else nil.
func (e *Entry) Run(f Form) *Run {
	e.use()
	return e.runs[f].Load()
}

// use notes that somebody has asked for what was made before.
func (e *Entry) use() {
	if e.bounds != nil && !e.used.Load() {
		e.used.Store(true)
	}
}

// KeepRun leaves a run that begins with the entry for others.
func (e *Entry) KeepRun(f Form, r *Run) {
	before := e.runs[f].Swap(r)
	e.bounds.add(e, r.size()-before.size())
}

func (r *Run) size() int {
	if r == nil {
		return 0
	}
	return len(r.Block.Data) + 8*len(r.Revisions)
}

// Begins reports whether a run should begin with the entry. It depends on the key alone, so that a change of one object
// leaves the other runs of a list as they are.
func (e *Entry) Begins() bool {
	h := uint32(2166136261) // FNV-1a
	for i := range len(e.Key) {
		h = (h ^ uint32(e.Key[i])) * 16777619
	}
	return (h^h>>15)%runLength == 0
}

const runLength = 32 // on average

// GVK is the kind in its served version.
func (e *Entry) GVK() schema.GroupVersionKind { return e.kind.GVK() }

// message is what the types of k8s.io/api can do.
type message interface {
	Unmarshal([]byte) error
	Marshal() ([]byte, error)
}

// entry makes the Entry of a stored value. envs keeps the envelope that was seen last, to share it.
func newEntry(kind *api.Kind, envs *atomic.Pointer[envelope], bounds *Bounds, key string, revision int64, stored []byte) *Entry {
	e := &Entry{Key: key, Revision: revision, kind: kind, bounds: bounds}
	env, raw, ok := open(stored)
	if ok && (env.kind != kind.Kind || env.apiVersion != kind.GVK().GroupVersion().String()) {
		ok = false
	}
	if ok {
		e.msg, ok = splice(raw, e.resourceVersion())
	}
	if !ok {
		e.stored = stored
		return e
	}
	shared := envs.Load()
	if shared == nil || !shared.equal(&env) {
		shared = &envelope{head: bytes.Clone(env.head), tail: bytes.Clone(env.tail), apiVersion: env.apiVersion, kind: env.kind}
		envs.Store(shared)
	}
	e.env = shared
	return e
}

// tombstone makes the entry of prev's deletion.
func tombstone(prev *Entry, revision int64) *Entry {
	e := &Entry{Key: prev.Key, Revision: revision, kind: prev.kind, prev: prev, stored: prev.stored, bounds: prev.bounds}
	if prev.env != nil {
		if msg, ok := splice(prev.msg, e.resourceVersion()); ok {
			e.env, e.msg = prev.env, msg
		}
	}
	if prev.at != (inserted{}) {
		e.stored = prev.at.without(prev.stored)
		e.plain()
	}
	return e
}

// plain notes that the store's bytes are the JSON that readers get, but for resourceVersion.
func (e *Entry) plain() {
	if data, at, ok := insert(e.stored, e.resourceVersion()); ok {
		e.stored, e.at = data, at
	}
}

// Size is how many bytes the object takes as a message, or as JSON where there is none.
func (e *Entry) Size() int {
	return max(len(e.msg), len(e.stored))
}

// APIVersion is that of the version in which the object is stored.
func (e *Entry) APIVersion() string {
	if o := e.Decoded(); o != nil {
		return o.GetObjectKind().GroupVersionKind().GroupVersion().String()
	}
	if e.env != nil {
		return e.env.apiVersion
	}
	return apiVersionIn(e.stored)
}

func (e *Entry) resourceVersion() string { return strconv.FormatInt(e.Revision, 10) }

// Object returns the decoded object with resourceVersion, apiVersion and kind set, defaulted.
func (e *Entry) Object() (api.Object, error) {
	if o := e.Decoded(); o != nil {
		e.use()
		return o, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.Decoded(); o != nil {
		return o, nil
	}
	if o := e.soft.Value(); o != nil {
		e.seal.check(e, *o)
		return *o, nil
	}
	o, err := e.decode()
	if err != nil {
		return nil, err
	}
	e.keep(o)
	return o, nil
}

// Metadata returns the decoded object if there is one, and else a *metav1.PartialObjectMetadata made for the caller, which
// takes decoding the metadata alone.
func (e *Entry) Metadata() (api.Object, error) {
	if o := e.Decoded(); o != nil {
		return o, nil
	}
	if e.bad == nil && e.env == nil && api.CodecOf(e.kind).JSON() {
		if p, ok := metadataIn(e.stored); ok {
			p.SetGroupVersionKind(e.kind.GVK())
			p.SetResourceVersion(e.resourceVersion())
			return p, nil
		}
	}
	s, found, ok := find(e.msg, fieldMetadata)
	if !found || !ok {
		return e.Object()
	}
	p := &metav1.PartialObjectMetadata{}
	if err := p.ObjectMeta.Unmarshal(e.msg[s.value:s.end]); err != nil {
		return nil, fmt.Errorf("decode the metadata of %s: %w", e.Key, err)
	}
	p.SetGroupVersionKind(e.kind.GVK())
	e.share(p)
	return p, nil
}

// keep makes o the decoded object; there must be none yet. From then on it is frozen. Of bulky kinds it is there for those only who
// ask before memory is collected, as those do who have to do with a write.
func (e *Entry) keep(o api.Object) {
	if e.kind.Bulky {
		e.seal.close(o)
		e.soft = weak.Make(&o)
		return
	}
	e.share(o)
	if e.kind.Share != nil {
		e.kind.Share(o)
	}
	e.seal.close(o)
	e.obj.Store(&o)
	e.bounds.add(e, decodedSize*e.Size())
}

// decodedSize is how many times the size of its message an object takes, about.
const decodedSize = 2

// share lets o's managed fields be the part of the message that says them. They are often the largest part of an object
// that nobody but a reader of the whole looks at, and the decoded object would hold them a second time.
func (e *Entry) share(o api.Object) {
	if e.msg == nil {
		return
	}
	fields := o.GetManagedFields()
	if len(fields) == 0 {
		return
	}
	own := slices.Clone(fields) // an older version may have the same list, or what it points to
	for i := range own {
		f := own[i].FieldsV1
		if f == nil || len(f.Raw) == 0 {
			continue
		}
		if at := bytes.Index(e.msg, f.Raw); at >= 0 {
			own[i].FieldsV1 = &metav1.FieldsV1{Raw: e.msg[at : at+len(f.Raw) : at+len(f.Raw)]}
		}
	}
	o.SetManagedFields(own)
}

// Decoded returns the decoded object if it has been made already, else nil.
func (e *Entry) Decoded() api.Object {
	if o := e.obj.Load(); o != nil {
		e.seal.check(e, *o)
		return *o
	}
	return nil
}

// Bad says why what is stored cannot be read; nil when it can. Lists leave such an entry out.
func (e *Entry) Bad() error { return e.bad }

// decode makes a new decoded object, which nothing else holds.
func (e *Entry) decode() (api.Object, error) {
	if e.bad != nil {
		return nil, e.bad
	}
	if e.prev != nil {
		if o := e.prev.Decoded(); o != nil {
			o = api.CodecOf(e.kind).Shallow(o)
			o.SetResourceVersion(e.resourceVersion())
			return o, nil
		}
	}
	var o api.Object
	if e.env != nil {
		o = e.kind.New()
		m, ok := o.(message)
		if !ok {
			return nil, fmt.Errorf("decode %s: %T is not a protobuf message", e.Key, o)
		}
		if err := m.Unmarshal(e.msg); err != nil {
			return nil, fmt.Errorf("decode %s: %w", e.Key, err)
		}
		o.GetObjectKind().SetGroupVersionKind(e.kind.GVK())
	} else {
		var err error
		if o, err = api.CodecOf(e.kind).Decode(e.stored, e.kind.New()); err != nil {
			return nil, fmt.Errorf("decode %s: %w", e.Key, err)
		}
		o.SetResourceVersion(e.resourceVersion())
	}
	if e.kind.Default != nil {
		e.kind.Default(o)
	}
	return o, nil
}

// JSON returns the object's JSON with resourceVersion set, no newline at its end.
func (e *Entry) JSON() ([]byte, error) {
	if e.at != (inserted{}) {
		return e.stored, nil
	}
	if b := e.json.Load(); b != nil {
		e.use()
		return *b, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if b := e.json.Load(); b != nil {
		return *b, nil
	}
	o := e.Decoded()
	if o == nil {
		var err error
		if o, err = e.decode(); err != nil {
			return nil, err
		}
	}
	b, err := api.EncodeJSON(o)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Key, err)
	}
	if !e.kind.Bulky {
		e.json.Store(&b)
		e.bounds.add(e, len(b))
	}
	return b, nil
}

// Proto returns the object's protobuf message with resourceVersion set: the bare message, without the "k8s\0" envelope,
// as it stands inside a list's items field.
func (e *Entry) Proto() ([]byte, error) {
	if e.env != nil {
		return e.msg, nil
	}
	if b := e.made.Load(); b != nil {
		return *b, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if b := e.made.Load(); b != nil {
		return *b, nil
	}
	o := e.Decoded()
	if o == nil {
		var err error
		if o, err = e.decode(); err != nil {
			return nil, err
		}
	}
	m, ok := o.(message)
	if !ok {
		return nil, api.NoProto(o)
	}
	b, err := m.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Key, err)
	}
	if !e.kind.Bulky {
		e.made.Store(&b)
		e.bounds.add(e, len(b))
	}
	return b, nil
}

// Stored returns the store's bytes. They may be put together at each call.
func (e *Entry) Stored() []byte {
	if e.at != (inserted{}) {
		return e.at.without(e.stored)
	}
	if e.env == nil {
		return e.stored
	}
	msg, ok := splice(e.msg, "")
	if !ok {
		panic("cache: a message that was spliced once cannot be spliced again: " + e.Key)
	}
	return e.env.seal(msg)
}
