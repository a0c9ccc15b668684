package admit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// namespaceLifecycle refuses objects in namespaces that do not exist or are being deleted, and refuses to delete the system's
// namespaces.
//
// mu guards the map alone, and is not held while a namespace is looked up.
type namespaceLifecycle struct {
	look lookup
	mu   struct {
		sync.Mutex
		// deleted remembers when a namespace's deletion was asked for here: for half a minute the cached state of such a
		// namespace is not believed.
		deleted map[string]time.Time
	}
}

const distrust = 30 * time.Second

func newNamespaceLifecycle(l lookup) *namespaceLifecycle {
	n := &namespaceLifecycle{look: l}
	n.mu.deleted = map[string]time.Time{}
	return n
}

func (*namespaceLifecycle) Name() string { return "NamespaceLifecycle" }

func (n *namespaceLifecycle) Admit(ctx context.Context, a *Attributes) error {
	if a.Kind.OwnNamespace {
		if a.Operation != Delete {
			return nil
		}
		switch a.Name {
		case metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic:
			return apierrors.NewForbidden(a.Kind.GR(), a.Name, fmt.Errorf("this namespace may not be deleted"))
		}
		n.note(a.Name)
		return nil
	}
	if a.Namespace == "" || a.Operation == Delete || a.Operation == Update {
		return nil
	}
	// Whether a namespace exists is nobody's to learn by asking what he may do there.
	if a.is("authorization.k8s.io", "localsubjectaccessreviews", "") {
		return nil
	}
	ns, err := a.namespace(ctx, n.look)
	if err == nil && ns.Status.Phase != corev1.NamespaceTerminating && n.suspect(a.Namespace) {
		ns, err = client.Get[*corev1.Namespace](ctx, n.look.door, client.Namespaces, "", a.Namespace)
	}
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if a.Operation == Create && ns.Status.Phase == corev1.NamespaceTerminating {
		err := apierrors.NewForbidden(a.Kind.GR(), a.displayName(),
			fmt.Errorf("unable to create new content in namespace %s because it is being terminated", a.Namespace))
		err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
			Type:    corev1.NamespaceTerminatingCause,
			Message: fmt.Sprintf("namespace %s is being terminated", a.Namespace),
			Field:   "metadata.namespace",
		})
		return err
	}
	return nil
}

func (n *namespaceLifecycle) note(name string) {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, at := range n.mu.deleted {
		if now.Sub(at) > distrust {
			delete(n.mu.deleted, k)
		}
	}
	n.mu.deleted[name] = now
}

func (n *namespaceLifecycle) suspect(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.mu.deleted[name]
	return ok && time.Since(at) <= distrust
}
