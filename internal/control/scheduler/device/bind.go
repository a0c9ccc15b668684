package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api/devices"
	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// Errors of a binding that waits for conditions of devices.
var (
	errBindingTimeout = errors.New("device binding timeout")
	errBindingFailed  = errors.New("device binding failed")
)

// PreBind implements plugin.PreBind: it writes into the claims which devices they have and whom they are reserved for, and waits until
// devices that want to be made ready are.
func (r *Resources) PreBind(ctx context.Context, pod *plugin.Pod, node string) error {
	if !pod.Devices {
		return nil
	}
	r.mu.Lock()
	a := r.mu.reserved[pod.UID]
	r.mu.Unlock()
	if a == nil {
		return nil
	}
	waits := false
	for i := range a.claims {
		c := &a.claims[i]
		if !resourceclaim.IsReservedForPod(pod.Pod, c.ResourceClaim, false) {
			written, err := r.write(ctx, *c, pod.Pod)
			if err != nil {
				return err
			}
			r.see.Account.wrote(written)
			c.ResourceClaim = written
		}
		waits = waits || conditional(c.ResourceClaim)
	}
	if waits {
		r.see.Tell(pod.Pod, "BindingConditionsPending", "waiting for binding conditions for device on node "+node)
		if err := r.ready(ctx, a); err != nil {
			return err
		}
	}
	for i := range a.claims {
		if a.claims[i].gets != nil {
			r.see.Account.settled(a.claims[i].UID)
		}
	}
	return nil
}

// PostBind implements plugin.PostBind.
func (r *Resources) PostBind(pod *plugin.Pod) {
	if pod.Devices {
		r.take(pod.UID)
	}
}

// write adds a pod to those that a claim is reserved for, and first gives it the devices that were decided on. A crash between its two
// writes leaves a finalizer on a claim without devices, which the next attempt finds there.
func (r *Resources) write(ctx context.Context, c claim, pod *corev1.Pod) (*resourcev1.ResourceClaim, error) {
	now, key := c.ResourceClaim, c.Namespace+"/"+c.Name
	var err error
	for tries := 0; ; tries++ {
		if tries > 0 {
			if now, err = r.see.Read(ctx, c.Namespace, c.Name); err != nil {
				return nil, fmt.Errorf("get updated claim %s after conflict: %w", key, err)
			}
		}
		var written *resourcev1.ResourceClaim
		if written, err = r.writeOnce(ctx, now.DeepCopy(), c.gets, pod); err == nil || !apierrors.IsConflict(err) || tries >= 4 {
			return written, err
		}
	}
}

func (r *Resources) writeOnce(ctx context.Context, now *resourcev1.ResourceClaim, gets *resourcev1.AllocationResult, pod *corev1.Pod) (*resourcev1.ResourceClaim, error) {
	key := now.Namespace + "/" + now.Name
	if now.DeletionTimestamp != nil {
		return nil, fmt.Errorf("claim %s got deleted in the meantime", key)
	}
	if gets != nil {
		if now.Status.Allocation != nil {
			return nil, fmt.Errorf("claim %s got allocated elsewhere in the meantime", key)
		}
		if !slices.Contains(now.Finalizers, resourcev1.Finalizer) {
			now.Finalizers = append(now.Finalizers, resourcev1.Finalizer)
			updated, err := r.see.Update(ctx, now)
			if err != nil {
				return nil, fmt.Errorf("add finalizer to claim %s: %w", key, err)
			}
			now = updated.DeepCopy()
		}
		now.Status.Allocation = gets.DeepCopy()
	}
	if now.Status.Allocation == nil {
		return nil, fmt.Errorf("claim %s got deallocated elsewhere in the meantime", key)
	}
	now.Status.ReservedFor = append(now.Status.ReservedFor, devices.Consumer(pod))
	if now.Status.Allocation.AllocationTimestamp == nil {
		now.Status.Allocation.AllocationTimestamp = &metav1.Time{Time: time.Now()}
	}
	written, err := r.see.UpdateStatus(ctx, now)
	switch {
	case err != nil && gets != nil:
		return nil, fmt.Errorf("add allocation and reservation to claim %s: %w", key, err)
	case err != nil:
		return nil, fmt.Errorf("add reservation to claim %s: %w", key, err)
	}
	return written, nil
}

// ready waits until all devices of a pod's claims may be bound.
func (r *Resources) ready(ctx context.Context, a *attempt) error {
	waiting, cancel := context.WithTimeout(ctx, r.args.BindingTimeout)
	defer cancel()
	err := r.see.Await(waiting, func() (bool, error) {
		for i := range a.claims {
			c := &a.claims[i]
			now, err := r.see.claim(c.Namespace, c.Name)
			if err != nil {
				return false, err
			}
			c.ResourceClaim = now
			ok, err := bindable(now)
			if err != nil {
				return false, err
			}
			if !ok && r.late(now) {
				return false, fmt.Errorf("%w: claim=%s", errBindingTimeout, now.Name)
			}
			if !ok {
				return false, nil
			}
		}
		return true, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", errBindingTimeout, err)
	}
	return err
}

// stuck reports whether the devices of a claim will not become ready to be bound.
func (r *Resources) stuck(c *resourcev1.ResourceClaim) bool {
	ok, err := bindable(c)
	return err != nil || !ok && r.late(c)
}

// late reports whether the time is over within which the devices of a claim had to become ready.
func (r *Resources) late(c *resourcev1.ResourceClaim) bool {
	a := c.Status.Allocation
	return a != nil && a.AllocationTimestamp != nil && conditional(c) && a.AllocationTimestamp.Add(r.args.BindingTimeout).Before(time.Now())
}

// conditional reports whether a device of a claim may be bound only when conditions hold.
func conditional(c *resourcev1.ResourceClaim) bool {
	return c.Status.Allocation != nil && slices.ContainsFunc(c.Status.Allocation.Devices.Results, func(d resourcev1.DeviceRequestAllocationResult) bool {
		return len(d.BindingConditions) > 0
	})
}

// bindable reports whether all devices of a claim are ready; an error says that one never will be.
func bindable(c *resourcev1.ResourceClaim) (bool, error) {
	if c.Status.Allocation == nil {
		return false, nil
	}
	for i := range c.Status.Allocation.Devices.Results {
		d := &c.Status.Allocation.Devices.Results[i]
		if len(d.BindingConditions) == 0 {
			continue
		}
		s := statusOf(c, d)
		if s == nil {
			return false, nil
		}
		for _, name := range d.BindingFailureConditions {
			if f := apimeta.FindStatusCondition(s.Conditions, name); f != nil && f.Status == metav1.ConditionTrue {
				return false, fmt.Errorf("%w: claim=%s, reason=%s, message=%q", errBindingFailed, c.Name, f.Reason, f.Message)
			}
		}
		for _, name := range d.BindingConditions {
			if !apimeta.IsStatusConditionTrue(s.Conditions, name) {
				return false, nil
			}
		}
	}
	return true, nil
}

func statusOf(c *resourcev1.ResourceClaim, d *resourcev1.DeviceRequestAllocationResult) *resourcev1.AllocatedDeviceStatus {
	for i := range c.Status.Devices {
		if s := &c.Status.Devices[i]; s.Device == d.Device && s.Driver == d.Driver && s.Pool == d.Pool {
			return s
		}
	}
	return nil
}
