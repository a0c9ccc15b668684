package admit

import (
	"context"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime"
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
// It belongs to the goroutine that serves the request. Object is the request's own and may be changed by mutators until
// validation begins; Old is the stored object that all readers share and is changed by nobody.
type Attributes struct {
	Kind        *api.Kind
	Subresource string
	Operation   Operation
	Verb        string // of an update, as authorizers call it: "update" or "patch"
	Namespace   string
	Name        string         // may be empty on create with generateName
	Object      runtime.Object // nil on delete; a Mutator may change it. Of the subresource's type where that has its own
	Old         runtime.Object // frozen; nil on create and connect
	Options     runtime.Object // *metav1.CreateOptions and so on
	DryRun      bool
	User        api.User
	Remote      string       // ADDRESS:PORT that the caller connected from; "" when it did not
	Warn        func(string) // adds a Warning header; never nil
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

// Chain runs plugins in order.
type Chain []Plugin

// Admit runs the mutators.
func (c Chain) Admit(ctx context.Context, a *Attributes) error {
	for _, p := range c {
		if m, ok := p.(Mutator); ok {
			if err := m.Admit(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// Validate runs the validators.
func (c Chain) Validate(ctx context.Context, a *Attributes) error {
	for _, p := range c {
		if v, ok := p.(Validator); ok {
			if err := v.Validate(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}
