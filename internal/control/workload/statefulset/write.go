package statefulset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// outcome is what came of a plan.
type outcome struct {
	rolled int           // pods of old revisions that were deleted
	made   []*corev1.Pod // pods that were made; nil for steps that made none
}

// carryOut does what was planned. Any error leaves the rest to the next look, which plans anew.
func (c *controller) carryOut(ctx context.Context, key string, set *appsv1.StatefulSet, p *plan) (out outcome, err error) {
	for _, s := range p.stages {
		done, made := 0, make([]*corev1.Pod, len(s.steps))
		do := func(i int) error {
			err := c.do(ctx, key, set, s.steps[i])
			if err == nil && s.steps[i].verb == create {
				made[i] = s.steps[i].pod
			}
			return err
		}
		if s.together {
			_, err = loop.SlowStartEach(len(s.steps), do)
		} else {
			for i := range s.steps {
				if err = do(i); err != nil {
					break
				}
				done++
			}
		}
		out.made = append(out.made, made...)
		if s.rollout {
			out.rolled += done
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (c *controller) do(ctx context.Context, key string, set *appsv1.StatefulSet, s step) error {
	switch s.verb {
	case create:
		return c.createPod(ctx, key, set, s.pod)
	case remove:
		return c.deletePod(ctx, key, set, s.pod)
	case mend:
		return c.mendPod(ctx, key, set, s.pod)
	case complete:
		if err := c.createClaims(ctx, key, set, s.pod); err != nil {
			return err
		}
	}
	err := c.entrust(ctx, key, set, s.pod)
	if err != nil && s.verb == complete {
		c.tell(ctx, set, "update", s.pod, err)
	}
	return err
}

// createPod makes a pod and, before it, its claims.
func (c *controller) createPod(ctx context.Context, key string, set *appsv1.StatefulSet, pod *corev1.Pod) error {
	if err := c.createClaims(ctx, key, set, pod); err != nil {
		c.tell(ctx, set, "create", pod, err)
		return err
	}
	out, err := client.Create(ctx, c.Door, client.Pods, pod)
	if apierrors.IsAlreadyExists(err) {
		return err
	}
	if err == nil {
		c.ledger.Wrote(key, c.podsView, out)
	}
	if err := c.entrust(ctx, key, set, pod); err != nil {
		c.tell(ctx, set, "update", pod, err)
		return err
	}
	c.tell(ctx, set, "create", pod, err)
	return err
}

// deletePod deletes a pod, if it is still the one of its name.
func (c *controller) deletePod(ctx context.Context, key string, set *appsv1.StatefulSet, pod *corev1.Pod) error {
	err := client.Delete(ctx, c.Door, client.Pods, pod.Namespace, pod.Name, pod.UID)
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		c.ledger.Deleted(key, c.podsView, pod)
		err = nil
	}
	c.tell(ctx, set, "delete", pod, err)
	return err
}

// mendPod gives a pod what it should have of its identity, its volumes and its claims' owners. The hub refuses new volumes for a
// pod that is there, which is told as an event.
func (c *controller) mendPod(ctx context.Context, key string, set *appsv1.StatefulSet, pod *corev1.Pod) error {
	next, ordinal := pod, ordinalOf(pod)
	fresh := func() {
		if next == pod {
			next = pod.DeepCopy()
		}
	}
	if !identified(set, pod) {
		fresh()
		next.Labels = maps.Clone(next.Labels)
		identify(next, ordinal)
	}
	if !mounted(set, pod) {
		fresh()
		next.Spec.Volumes = volumes(set, next.Spec.Volumes, ordinal)
		if err := c.createClaims(ctx, key, set, pod); err != nil {
			c.tell(ctx, set, "update", pod, err)
			return err
		}
	}
	err := c.entrust(ctx, key, set, pod)
	if err == nil && next != pod {
		var out *corev1.Pod
		if out, err = client.Update(ctx, c.Door, client.Pods, next); err == nil {
			c.ledger.Wrote(key, c.podsView, out)
		}
	}
	c.tell(ctx, set, "update", pod, err)
	return err
}

// createClaims makes those of a pod's claims that are missing. One that is being deleted has to be gone first.
func (c *controller) createClaims(ctx context.Context, key string, set *appsv1.StatefulSet, pod *corev1.Pod) error {
	var errs []error
	for _, claim := range claimsOf(set, ordinalOf(pod)) {
		if have, ok := c.claims.Get(claim.Namespace, claim.Name); ok {
			if have.DeletionTimestamp != nil {
				errs = append(errs, loop.Pending{Err: fmt.Errorf("pvc %s is being deleted", claim.Name)})
			}
			continue
		}
		out, err := client.Create(ctx, c.Door, client.PersistentVolumeClaims, claim)
		switch {
		case err == nil:
			c.ledger.Wrote(key, c.claimsView, out)
			c.Events.Eventf(set, corev1.EventTypeNormal, "SuccessfulCreate", "Create Claim %s Pod %s in StatefulSet %s success", claim.Name, pod.Name, set.Name)
			continue
		case !apierrors.IsAlreadyExists(err) && ctx.Err() == nil:
			c.Events.Eventf(set, corev1.EventTypeWarning, "FailedCreate", "Create Claim %s for Pod %s in StatefulSet %s failed error: %v", claim.Name, pod.Name, set.Name, err)
		}
		errs = append(errs, fmt.Errorf("failed to create PVC %s: %w", claim.Name, err))
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// entrust gives those of a pod's claims that are there the owners that the set's policy asks for.
func (c *controller) entrust(ctx context.Context, key string, set *appsv1.StatefulSet, pod *corev1.Pod) error {
	ordinal := ordinalOf(pod)
	for i := range set.Spec.VolumeClaimTemplates {
		name := claimName(set, &set.Spec.VolumeClaimTemplates[i], ordinal)
		claim, ok := c.claims.Get(set.Namespace, name)
		if !ok {
			continue
		}
		if conflicting(claim, set, pod) {
			c.Events.Eventf(set, corev1.EventTypeWarning, "ConflictingController",
				"PersistentVolumeClaim %s has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim", name)
		}
		if owned(claim, set, pod) {
			continue
		}
		out, err := client.Update(ctx, c.Door, client.PersistentVolumeClaims, withOwners(claim, set, pod))
		if err != nil {
			return fmt.Errorf("could not update claim %s for delete policy ownerRefs: %w", name, err)
		}
		c.ledger.Wrote(key, c.claimsView, out)
	}
	return nil
}

// tell writes the event of something that was done about a pod, or could not be.
func (c *controller) tell(ctx context.Context, set *appsv1.StatefulSet, verb string, pod *corev1.Pod, err error) {
	title := strings.ToUpper(verb[:1]) + verb[1:]
	switch {
	case err == nil:
		c.Events.Eventf(set, corev1.EventTypeNormal, "Successful"+title, "%s Pod %s in StatefulSet %s successful", title, pod.Name, set.Name)
	case ctx.Err() == nil:
		c.Events.Eventf(set, corev1.EventTypeWarning, "Failed"+title, "%s Pod %s in StatefulSet %s failed error: %s", title, pod.Name, set.Name, err)
	}
}
