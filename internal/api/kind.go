package api

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Object is a Kubernetes object with metadata. Objects handed out by a cache or by the local door are frozen: they are
// shared by many readers and must not be changed; change a DeepCopy.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind describes one served resource. It is a value made once and never changed. A nil function means "nothing to do".
//
// All functions are pure: they may change the object they are given first and nothing else.
type Kind struct {
	Group    string // "" for core
	Version  string // the served version
	Kind     string // "Deployment"
	Resource string // plural: "deployments"
	Singular string // "deployment"

	ShortNames []string
	Categories []string // "all"
	Namespaced bool

	// Prefix is the storage prefix after /registry/, without slashes at its ends, exactly as upstream has it
	// ("minions" for nodes, "services/specs" for services). Empty means Resource. For kinds outside the core group
	// upstream also uses the bare resource name, save for those it moved later; look it up in the golden dump.
	Prefix string

	New     func() Object         // a new empty object, TypeMeta unset
	NewList func() runtime.Object // a new empty list; nil for kinds that are only created (reviews)
	// ListKind is the kind of lists; empty means Kind with "List" after it.
	ListKind string

	// Verbs that the main resource answers, as discovery prints them. Nil means all eight: create delete
	// deletecollection get list patch update watch.
	Verbs []string

	// Deprecated is the warning that every request for the kind is answered with, or "".
	Deprecated string

	// Virtual kinds are not stored: a create is answered by a Handler in the hub (reviews), a read by a Source (metrics).
	Virtual bool

	// Untracked says that of a Virtual kind no managed fields are kept: nobody ever sees the body again (Binding).
	Untracked bool
	// Refuse makes the error of a body of a Virtual kind that does not hold, where that is not the 422 that names the kind and
	// the object. errs is not empty.
	Refuse func(name string, errs field.ErrorList) error

	// OwnNamespace says that an object counts as inside the namespace of its own name, for authorization, admission and URLs,
	// though it is stored outside of all (Namespace).
	OwnNamespace bool

	// Codec is how objects are kept and copied; nil means Typed.
	Codec Codec
	// Bulky says that objects take so much more memory decoded, and are so seldom read, that none is kept beyond the next
	// garbage collection.
	Bulky bool

	// Model, for a kind that has no Go type, says what its objects look like; nil: only that they have metadata.
	Model *Model

	// View, when set, says that objects are stored as another kind, or as another version of this one, and how to turn one
	// into the other.
	View *View

	// Versions, for a kind whose objects may each be stored in another version (custom resources), says how to turn one version
	// into another. A request is then carried out in the version that it asks for, and the object is converted when it is
	// stored; all versions but the one whose cache they share have a View as well.
	Versions *Versions
	// Closed, when it is not empty, says why nothing is created any more: creates are refused with it, and discovery no longer
	// lists the verbs that make or change objects.
	Closed string

	// Coerce, for a kind without a Go type, makes of what was decoded from a request what decoding into a Go type would have made:
	// it drops unknown fields, whose paths ("spec.x") it returns where they are to be checked. It changes obj.
	Coerce func(obj Object, check bool) (unknown []string, err error)

	// Accept refuses an object, as a client sends it, that the kind has no place for, before anything else looks at it (text in an
	// annotation that stands for a number). Its error becomes a 400, as that of a body that cannot be decoded.
	Accept func(obj Object) error

	// Default fills the unset fields (upstream's SetDefaults and SetObjectDefaults). It runs on every decode of a
	// request body and on what is read from storage.
	Default func(obj Object)

	// Share replaces parts of obj by equal ones that other objects of the kind have already, so that those who are alike do
	// not each hold them. The hub calls it when it begins to keep obj, from when on nobody changes it.
	Share func(obj Object)

	// PrepareCreate clears what a client may not set on create (status) and sets generation 1 where the kind has one.
	PrepareCreate func(obj Object)
	// PrepareOnce says that PrepareCreate writes the object's name or uid into it, so that a second attempt, under another
	// generated name, must begin with the object as it was before.
	PrepareOnce bool
	// PrepareUpdate copies from old what an update of the main resource may not change (status), and bumps
	// metadata.generation when the spec changed, where the kind has one.
	PrepareUpdate func(obj, old Object)
	// Validate checks a new object; ObjectMeta's generic rules (name, labels, annotations, finalizers, owner references)
	// are checked by the hub before it, with ValidateName for the name.
	Validate func(obj Object) field.ErrorList
	// ValidateUpdate checks the change from old to obj, both already prepared. The generic ObjectMeta update rules are
	// checked by the hub before it.
	ValidateUpdate func(obj, old Object) field.ErrorList
	// Check, where it is set, is asked in place of Validate (old is nil) and of ValidateUpdate, by rules that may take time, which
	// end with ctx, or that warn.
	Check func(ctx context.Context, obj, old Object, warn func(string)) field.ErrorList
	// ValidateName returns what is wrong with a name (or a generateName prefix, when prefix is true); nil means
	// apimachinery's NameIsDNSSubdomain.
	ValidateName func(name string, prefix bool) []string
	// Warnings are sent as Warning headers on create and update.
	Warnings func(obj, old Object) []string

	// CreateOnUpdate lets PUT create an object that is not there. Unconditional lets PUT come without a resourceVersion.
	CreateOnUpdate bool
	Unconditional  bool

	// Grace, for kinds that are deleted gracefully (pods), returns the grace period in seconds to use for this deletion
	// and may change obj's status accordingly; zero means delete now. options is never nil.
	Grace func(obj Object, options *metav1.DeleteOptions) int64
	// DefaultOrphan makes "orphan" the propagation policy when a delete names none (ReplicationController, as it was before
	// there were propagation policies).
	DefaultOrphan bool
	// DeleteWarning is sent with every deletion that names no propagation policy, or "".
	DeleteWarning string
	// ReturnsDeleted has a delete that removes the object answered with the object; otherwise it is answered with a Status.
	ReturnsDeleted bool
	// Termination, for a kind whose objects are never deleted at once (Namespace, CustomResourceDefinition).
	Termination *Termination
	// Unowned kinds own nothing and are owned by nothing, so that the garbage collector does not watch them (events, which are
	// many and go by themselves).
	Unowned bool

	Subresources []Subresource

	// ResetFields are the dotted paths that a write of the main resource leaves as they were, so that its caller does not
	// become their field manager (upstream's GetResetFields). Nil means "status" where there is a status subresource.
	ResetFields []string

	// Columns and Row make the Table; Row returns one cell per column and is given the time to reckon ages from by
	// table.Age in the caller: an Age cell is the creation Timestamp itself (metav1.Time) and is turned to text by the
	// hub's wire. Nil Columns means Name and Age (upstream: "Created At").
	Columns []metav1.TableColumnDefinition
	Row     func(obj Object) []any
	// RowIn, for a kind whose rows in a list depend on what else is in it (StorageClass), makes the Row of one list.
	RowIn func(list []Object) func(obj Object) []any

	// Fields returns the selectable fields besides metadata.name and metadata.namespace. FieldLabels lists their names,
	// so that an unknown one can be refused without an object.
	Fields      func(obj Object) fields.Set
	FieldLabels []string

	// Partition, when set, is the field by whose value the watch cache divides the objects of the kind, so that a list or watch
	// of those with one value looks at no others.
	Partition *Partition

	// TTLSeconds is how long the stored object lives; zero means for ever (events: 3600).
	TTLSeconds int64
}

// Subresource describes one subresource of a kind.
//
// Those whose body is the parent kind itself (status, ephemeralcontainers, resize, finalize, approval) are served from the
// functions here. Scale is served from Kind-specific Get and Set. Those with Connect (log, exec, attach, portforward, proxy)
// are streams, which the hub hands on. All others (binding, eviction, token) have a handler in the hub, found by the names of
// the resource and the subresource.
type Subresource struct {
	Name  string                  // "status"
	Verbs []string                // as discovery prints them: "get", "patch", "update", "create"
	GVK   schema.GroupVersionKind // zero means the parent's
	New   func() runtime.Object   // body; nil means the parent's New
	// Older are versions of the body's kind that are taken too: they have the same fields.
	Older []string

	// Default fills the unset fields of a body that is no object of the parent kind, before its managed fields are reckoned.
	Default func(body runtime.Object)
	// Untracked says that of such a body no managed fields are kept: nobody ever sees it again (binding, eviction).
	Untracked bool
	// Named says that such a body bears the name in the URL.
	Named bool
	// Validate checks such a body, and Refuse makes the error of what it found, as in Kind. Nil accepts every body.
	Validate func(body Object) field.ErrorList
	Refuse   func(name string, errs field.ErrorList) error

	// PrepareUpdate copies from old all that this subresource may not change.
	PrepareUpdate  func(obj, old Object)
	ValidateUpdate func(obj, old Object) field.ErrorList
	// Check, where it is set, is asked in place of ValidateUpdate, as in Kind.
	Check func(ctx context.Context, obj, old Object, warn func(string)) field.ErrorList
	// Warnings are sent as Warning headers.
	Warnings func(obj, old Object) []string

	// ResetFields is as in Kind. Nil means "spec" for status and nothing for all others. OwnFields says it the other way
	// round where that is shorter: the dotted paths that a writer may own, "*" for any item of a list.
	ResetFields []string
	OwnFields   []string

	// Scale, for the scale subresource.
	Scale *Scale

	// Connect, for subresources that are streams.
	Connect *Connect
}

// Scale reads and writes the replica count of a workload for the autoscaling/v1 Scale subresource.
type Scale struct {
	// Get returns desired and observed replicas and the label selector of the pods, in its string form.
	Get func(obj Object) (spec, status int32, selector string)
	Set func(obj Object, replicas int32)

	// Field is the JSON path of the desired replicas (".spec.replicas"), for kinds that may lack the field; Has reports whether
	// obj has it, or what is wrong with what the scale is made of. Both are set or neither.
	Field string
	Has   func(obj Object) (bool, error)
	// Paths are the paths of the desired replicas by apiVersion, empty for versions without scale; nil is spec.replicas.
	Paths map[string][]string
	// Columns are those of the table of a Scale of this kind; nil means those of the workloads. Name, desired and observed
	// replicas and age are its cells.
	Columns []metav1.TableColumnDefinition
}

// Termination describes the deletion of a kind whose objects have finalizers in their spec besides those in their metadata, or are
// otherwise kept until something is done for them.
type Termination struct {
	// Begin marks an object that has not been marked before as being deleted at a time of whole seconds, and shows it in its
	// status.
	Begin func(obj Object, at metav1.Time)
	// Held reports whether the finalizers in the spec still keep the object.
	Held func(obj Object) bool
	// Alone says that the deletion which begins it does nothing else: what the request says of dependents is not looked at.
	Alone bool
}

// Partition is a field of a kind's objects that divides them.
type Partition struct {
	Field string // as field selectors call it: "spec.nodeName"
	// Of returns the field's value; "" belongs to no part.
	Of func(obj Object) string
	// Path leads to the same value in the object's protobuf message, by field numbers from the outside in (generated.proto of
	// k8s.io/api), so that it can be read without decoding the object.
	Path []int
}

// View tells how a kind is made from another one that is stored: events.k8s.io's Event from the core one, a version of a custom
// resource from the version that is stored. A conversion may fail, and may ask another program as long as ctx lasts; its error
// is the answer to the request, a 500 unless it says otherwise (apierrors.APIStatus).
type View struct {
	Stored schema.GroupVersionResource
	To     func(ctx context.Context, stored Object) (Object, error) // stored form -> this kind; stored is frozen, the result is new
	From   func(ctx context.Context, obj Object) (Object, error)    // this kind -> stored form
}

// Versions tells how a kind that is stored in several versions is turned from one into another.
type Versions struct {
	// Storage is the version in which objects are written. Served reports whether it is served too.
	Storage string
	Served  bool
	// Convert returns obj in another version. obj is frozen; it is returned itself when it is in that version. A conversion may
	// fail, and may ask another program as long as ctx lasts.
	Convert func(ctx context.Context, obj Object, version string) (Object, error)
}

// ViewOf makes a View of two conversions that cannot fail.
func ViewOf(stored schema.GroupVersionResource, to, from func(Object) Object) *View {
	return &View{
		Stored: stored,
		To:     func(_ context.Context, obj Object) (Object, error) { return to(obj), nil },
		From:   func(_ context.Context, obj Object) (Object, error) { return from(obj), nil },
	}
}

// AllVerbs are the verbs of an ordinary stored resource, in discovery's order.
var AllVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

// GVK of the kind.
func (k *Kind) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}

// ListGVK is the kind of lists.
func (k *Kind) ListGVK() schema.GroupVersionKind {
	gvk := k.GVK()
	if gvk.Kind = k.ListKind; gvk.Kind == "" {
		gvk.Kind = k.Kind + "List"
	}
	return gvk
}

// GVR of the resource.
func (k *Kind) GVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
}

// GR of the resource.
func (k *Kind) GR() schema.GroupResource {
	return schema.GroupResource{Group: k.Group, Resource: k.Resource}
}

// Can reports whether the main resource answers verb.
func (k *Kind) Can(verb string) bool {
	if k.Verbs == nil {
		return slices.Contains(AllVerbs, verb)
	}
	return slices.Contains(k.Verbs, verb)
}

// Sub returns the named subresource or nil.
func (k *Kind) Sub(name string) *Subresource {
	for i := range k.Subresources {
		if k.Subresources[i].Name == name {
			return &k.Subresources[i]
		}
	}
	return nil
}

// StoragePrefix is the key prefix of all objects of the kind, with a slash at its end: "/registry/minions/".
func (k *Kind) StoragePrefix() string {
	p := k.Prefix
	if p == "" {
		p = k.Resource
	}
	return "/registry/" + p + "/"
}

// Key is the storage key of one object.
func (k *Kind) Key(namespace, name string) string {
	if k.Namespaced {
		return k.StoragePrefix() + namespace + "/" + name
	}
	return k.StoragePrefix() + name
}

// Kinds is the list of what is served. Its methods are linear or map lookups over a value made once.
type Kinds struct {
	list  []*Kind
	byGVR map[schema.GroupVersionResource]*Kind
	byGVK map[schema.GroupVersionKind]*Kind
}

// NewKinds indexes list, which keeps its order (discovery prints it).
func NewKinds(list []*Kind) *Kinds {
	ks := &Kinds{list: list, byGVR: make(map[schema.GroupVersionResource]*Kind, len(list)), byGVK: make(map[schema.GroupVersionKind]*Kind, len(list))}
	for _, k := range list {
		ks.byGVR[k.GVR()] = k
		ks.byGVK[k.GVK()] = k
	}
	return ks
}

// All returns every kind in order.
func (ks *Kinds) All() []*Kind { return ks.list }

// Resource returns the kind served at r, or nil.
func (ks *Kinds) Resource(r schema.GroupVersionResource) *Kind { return ks.byGVR[r] }

// Kind returns the kind named gvk, or nil.
func (ks *Kinds) Kind(gvk schema.GroupVersionKind) *Kind { return ks.byGVK[gvk] }
