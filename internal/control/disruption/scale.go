package disruption

import (
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// errHopeless marks what does not get better by asking again: it is looked at anew when the budget or a pod changes.
var errHopeless = errors.New("")

// hopeless is an error with that mark.
func hopeless(err error) error { return fmt.Errorf("%w%w", err, errHopeless) }

// Served are the kinds that are served now.
type Served func() *api.Kinds

// scales asks how many pods the controllers of pods want.
type scales struct {
	door   client.Reader
	served Served
}

// sum is how many pods all controllers of the pods want together, each counted once. unmanaged are the pods that have no controller.
func (s scales) sum(ctx context.Context, pods []*corev1.Pod) (total int32, unmanaged []string, err error) {
	known, counted := map[types.UID]bool{}, map[types.UID]int32{}
	for _, p := range pods {
		ref := metav1.GetControllerOfNoCopy(p)
		if ref == nil {
			unmanaged = append(unmanaged, p.Name)
			continue
		}
		if known[ref.UID] {
			continue
		}
		known[ref.UID] = true
		uid, n, err := s.of(ctx, p.Namespace, *ref)
		if err != nil {
			return 0, nil, err
		}
		if uid == "" {
			return 0, nil, hopeless(fmt.Errorf("found no controllers for pod %q", p.Name))
		}
		counted[uid] = n
	}
	for _, n := range counted {
		total += n
	}
	return total, unmanaged, nil
}

// of returns how many pods a controller wants, or the Deployment above it, and whose word that is. The uid is "" when there is no such
// controller.
func (s scales) of(ctx context.Context, namespace string, ref metav1.OwnerReference) (types.UID, int32, error) {
	if group := groupOf(ref); ref.Kind == "ReplicaSet" && (group == "apps" || group == "extensions") {
		rs, err := client.Get[*appsv1.ReplicaSet](ctx, s.door, client.ReplicaSets, namespace, ref.Name)
		if err != nil && !apierrors.IsNotFound(err) {
			return "", 0, err
		}
		if err == nil && rs.UID == ref.UID {
			above := metav1.GetControllerOfNoCopy(rs)
			if above == nil || above.Kind != "Deployment" {
				return rs.UID, orOne(rs.Spec.Replicas), nil
			}
			d, err := client.Get[*appsv1.Deployment](ctx, s.door, client.Deployments, namespace, above.Name)
			switch {
			case err == nil && d.UID == above.UID:
				return d.UID, orOne(d.Spec.Replicas), nil
			case err != nil && !apierrors.IsNotFound(err):
				return "", 0, err
			}
		}
	}
	return s.subresource(ctx, namespace, ref)
}

// subresource reads the scale of any controller that has one.
func (s scales) subresource(ctx context.Context, namespace string, ref metav1.OwnerReference) (types.UID, int32, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return "", 0, hopeless(err)
	}
	kind := s.served().Kind(gv.WithKind(ref.Kind))
	if kind == nil {
		return "", 0, hopeless(&apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Group: gv.Group, Kind: ref.Kind}, SearchedVersions: []string{gv.Version}})
	}
	if kind.Sub("scale") == nil {
		return "", 0, hopeless(fmt.Errorf("%s does not implement the scale subresource", kind.GR()))
	}
	obj, err := s.door.Get(ctx, client.Ref{Resource: kind.GVR(), Namespace: namespace, Name: ref.Name, Subresource: "scale"}, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	scale, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return "", 0, hopeless(fmt.Errorf("scale of %s is a %T", kind.GR(), obj))
	}
	if scale.UID != ref.UID {
		return "", 0, nil
	}
	return scale.UID, scale.Spec.Replicas, nil
}

func groupOf(ref metav1.OwnerReference) string {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return ""
	}
	return gv.Group
}

func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
