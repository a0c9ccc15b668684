package verb

import (
	"context"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Request is what every verb is told besides its body and options.
type Request struct {
	User      api.User
	UserAgent string // the part before "/" is the default field manager
	Verb      string
	Kind      *api.Kind
	Ref       client.Ref
	Warn      func(string) // never nil
}

// Handler answers a create that is not a plain write: virtual kinds (reviews) and subresources such as token, binding and
// eviction. It runs after authorization and mutating and validating admission.
type Handler func(ctx context.Context, req *Request, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error)

// Hook keeps what must stay unique across the objects of a kind (cluster IPs, node ports). It runs after mutating
// admission and before validation. Commit is called once the write is stored; otherwise Undo. Both may be nil.
type Hook interface {
	// Assign fills obj (old is nil on create) or refuses with an apierrors value.
	Assign(ctx context.Context, obj, old api.Object, dryRun bool) (Effect, error)
	// Deleted is told of an object that is gone.
	Deleted(obj api.Object)
}

// Effect is what a Hook did.
type Effect struct {
	Commit func()
	Undo   func()
}

// Patches is what verb needs of hub/apply: the patch engines and the keeping of metadata.managedFields. Objects come in
// with apiVersion and kind set; old is frozen. Errors are apierrors values.
type Patches interface {
	// Patch returns old with a JSON, merge or strategic merge patch applied: a new object of old's type, not defaulted.
	// validation is Ignore, Warn or Strict and says what becomes of unknown fields. fresh is a new empty object.
	Patch(pt types.PatchType, old, fresh runtime.Object, patch []byte, validation string, warn func(string)) (runtime.Object, error)
	// Apply merges an applied configuration (YAML or JSON) into old (an object without a UID when it is to be created) and
	// keeps managedFields; the result is a new object, not defaulted. A conflict with other managers is a 409 unless force.
	Apply(kind *api.Kind, subresource string, old, fresh runtime.Object, config []byte, opts metav1.PatchOptions, manager string, warn func(string)) (runtime.Object, error)
	// Track sets obj's managedFields for a change from old (an empty object on create) to obj made by manager. Where it
	// cannot, it leaves those of old.
	Track(kind *api.Kind, subresource string, old, obj runtime.Object, manager string)
}
