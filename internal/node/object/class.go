package object

import (
	"context"
	"fmt"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// RuntimeHandler is the runtime's name for what is to run a pod: that of its RuntimeClass, "" for the runtime's own choice. The class
// is read when the pod has one, since most have none.
func (o *Reader) RuntimeHandler(ctx context.Context, pod *corev1.Pod) (string, error) {
	name := pod.Spec.RuntimeClassName
	if name == nil || *name == "" {
		return "", nil
	}
	missing := apierrors.NewNotFound(schema.GroupResource{Group: nodev1.GroupName, Resource: "runtimeclass"}, *name)
	if o.door == nil {
		return "", missing
	}
	class, err := client.Get[*nodev1.RuntimeClass](ctx, o.door, client.RuntimeClasses, "", *name)
	switch {
	case apierrors.IsNotFound(err):
		return "", missing
	case err != nil:
		return "", fmt.Errorf("failed to lookup RuntimeClass %s: %w", *name, err)
	}
	return class.Handler, nil
}
