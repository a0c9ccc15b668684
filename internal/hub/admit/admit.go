package admit

import (
	"context"
	"errors"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Operation is what is being done.
type Operation string

// The operations.
const (
	Create  Operation = "CREATE"
	Update  Operation = "UPDATE"
	Delete  Operation = "DELETE"
	Connect Operation = "CONNECT"
)

// Attributes describes the request that admission plugins change, and then accept or refuse.
//
// It belongs to the goroutine that serves the request, and is made by the verb that carries it out. Object is the request's own and may be changed by mutators until
// validation begins; Old is the stored object that all readers share and is changed by nobody.
type Attributes struct {
	Kind        *api.Kind // as it is stored, which Object and Old are of
	Requested   *api.Kind // as it was asked for, where that is a view of Kind; nil is Kind
	Subresource string
	Operation   Operation
	Verb        string // of an update, as authorizers call it: "update" or "patch"
	Namespace   string
	Name        string         // may be empty on create with generateName
	Object      runtime.Object // nil on delete; a Mutator may change it. Of the subresource's type where that has its own
	Old         runtime.Object // frozen; nil on create and connect
	Options     runtime.Object // *metav1.CreateOptions and so on
	DryRun      bool
	Collection  bool // a delete that many objects were selected for; webhooks and policies are not told the name then
	Unsure      bool // Old may not be the newest any more: who would ask others about the write says ErrUnsure instead
	User        api.User
	Remote      string       // ADDRESS:PORT that the caller connected from; "" when it did not
	Warn        func(string) // adds a Warning header; never nil
	// Annotate adds an annotation to what the audit keeps of the request; nil where it keeps none.
	Annotate func(key, value string)

	round rounds
	ns    *corev1.Namespace // of Namespace, as a plugin has looked it up; nil before one has
}

// ErrUnsure is not sent to anybody: the verb begins anew with the newest object, so that webhooks are not asked about one that is past.
var ErrUnsure = errors.New("what is there may have changed")

// rounds is how often the mutators run: once, and a second time when one of them asks for it, so that those which come before it
// see what it did. Nothing makes them run a third time.
type rounds struct {
	again, second bool
	kept          map[Plugin]any
}

// Again has the mutators run once more when all have run.
func (a *Attributes) Again() { a.round.again = true }

// Second reports that they do so now.
func (a *Attributes) Second() bool { return a.round.second }

// Keep is what a mutator keeps from the first round to the second: the value that fresh made when it was first called for p.
func (a *Attributes) Keep(p Plugin, fresh func() any) any {
	v, ok := a.round.kept[p]
	if !ok {
		if a.round.kept == nil {
			a.round.kept = map[Plugin]any{}
		}
		v = fresh()
		a.round.kept[p] = v
	}
	return v
}

// As is the kind that was asked for.
func (a *Attributes) As() *api.Kind {
	if a.Requested != nil {
		return a.Requested
	}
	return a.Kind
}

// ObjectKind is what callers call the object that they send: for a subresource with a body of its own that body's kind.
func (a *Attributes) ObjectKind() schema.GroupVersionKind {
	if s := a.As().Sub(a.Subresource); s != nil && !s.GVK.Empty() {
		return s.GVK
	}
	return a.As().GVK()
}

// annotate notes something in the audit log.
func (a *Attributes) annotate(key, value string) {
	if a.Annotate != nil {
		a.Annotate(key, value)
	}
}

// namespace is the namespace of the request as the cache has it, looked up once for all plugins.
func (a *Attributes) namespace(ctx context.Context, l lookup) (*corev1.Namespace, error) {
	if a.ns != nil {
		return a.ns, nil
	}
	ns, err := find[*corev1.Namespace](ctx, l, client.Namespaces, "", a.Namespace)
	if err == nil {
		a.ns = ns
	}
	return ns, err
}

// Plugin has a name and is a Mutator, a Validator or both. Errors are apierrors values, ready to be sent.
type Plugin interface{ Name() string }

// Mutator may change a.Object.
type Mutator interface {
	Plugin
	Admit(ctx context.Context, a *Attributes) error
}

// Validator may refuse.
type Validator interface {
	Plugin
	Validate(ctx context.Context, a *Attributes) error
}
