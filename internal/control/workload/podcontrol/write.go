package podcontrol

import (
	"context"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Writer makes and deletes pods for a controller, tells of it by events about their owner, and notes it in the ledger under
// the owner's key.
type Writer struct {
	loop.Env
	Ledger *loop.Ledger
	View   loop.View // of pods
}

// Create makes a pod. In a namespace that is being deleted nothing more will ever be made, which is no error.
func (w *Writer) Create(ctx context.Context, key string, owner api.Object, pod *corev1.Pod) error {
	out, err := client.Create(ctx, w.Door, client.Pods, pod)
	switch {
	case err == nil:
		w.Ledger.Wrote(key, w.View, out)
		w.Events.Event(owner, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: "+out.Name)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case ctx.Err() == nil:
		w.Events.Eventf(owner, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
	}
	return err
}

// Delete deletes a pod, if it is still the one of that name. One that is gone is deleted.
func (w *Writer) Delete(ctx context.Context, key string, owner api.Object, p *corev1.Pod) error {
	err := client.Delete(ctx, w.Door, client.Pods, p.Namespace, p.Name, p.UID)
	switch {
	case err == nil:
		w.Ledger.Deleted(key, w.View, p)
		w.Events.Eventf(owner, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or replaced by another of its name
		w.Ledger.Deleted(key, w.View, p)
		return nil
	case ctx.Err() == nil:
		w.Events.Eventf(owner, corev1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
		return fmt.Errorf("unable to delete pods: %w", err)
	}
	return err
}
