package verb

import (
	"context"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Request is what every verb is told besides its body and options.
type Request struct {
	User      api.User
	UserAgent string // the part before "/" is the default field manager
	Remote    string // ADDRESS:PORT that the connection comes from; "" for a door in process
	Verb      string
	Kind      *api.Kind
	Ref       client.Ref
	Warn      func(string) // never nil
	// Annotate adds an annotation to what the audit keeps of the request; nil where it keeps none.
	Annotate func(key, value string)
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
