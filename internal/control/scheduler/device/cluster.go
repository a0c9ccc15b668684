package device

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Cluster is what the plugin sees of the cluster beside the pod and the node at hand, and what it writes. Every goroutine may call its
// functions.
type Cluster struct {
	Account *Account // shared by all profiles

	Claim  func(namespace, name string) (*resourcev1.ResourceClaim, bool) // as the informer has it
	Class  func(name string) (*resourcev1.DeviceClass, bool)
	Slices func() []*resourcev1.ResourceSlice // with the taints of rules

	Read         func(ctx context.Context, namespace, name string) (*resourcev1.ResourceClaim, error) // asks the hub
	Update       func(context.Context, *resourcev1.ResourceClaim) (*resourcev1.ResourceClaim, error)
	UpdateStatus func(context.Context, *resourcev1.ResourceClaim) (*resourcev1.ResourceClaim, error)
	// PatchStatus sends a strategic merge patch of a claim's status.
	PatchStatus func(ctx context.Context, namespace, name string, patch []byte) error
	// Later runs a write beside the scheduler's goroutine.
	Later func(func(context.Context))
	// Await asks done now and after each change of a claim, until it says yes or fails, or ctx ends.
	Await func(ctx context.Context, done func() (bool, error)) error
	// Tell records an event of a pod.
	Tell func(pod *corev1.Pod, reason, note string)
}

// claim is the newest version of a claim that is known: the informer's, or what was written and has not come back yet.
func (c *Cluster) claim(namespace, name string) (*resourcev1.ResourceClaim, error) {
	claim, ok := c.Claim(namespace, name)
	if !ok {
		return nil, fmt.Errorf("could not find ResourceClaim %q", namespace+"/"+name)
	}
	return c.Account.newest(claim), nil
}

// classes is the allocator's view of the device classes.
type classes struct{ see *Cluster }

// Get implements structured.DeviceClassLister.
func (c classes) Get(name string) (*resourcev1.DeviceClass, error) {
	class, ok := c.see.Class(name)
	if !ok {
		return nil, apierrors.NewNotFound(resourcev1.Resource("deviceclass"), name)
	}
	return class, nil
}

// List implements structured.DeviceClassLister; the allocator asks for single classes only.
func (c classes) List() ([]*resourcev1.DeviceClass, error) { return nil, nil }
