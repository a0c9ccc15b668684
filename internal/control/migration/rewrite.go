package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	svmv1 "k8s.io/api/storagemigration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// page is how many objects are listed at a time.
const page = 500

// migrate writes every object that is not newer than the migration once more. A patch of nothing does that; it names the revision that
// was read, so that an object that somebody else writes meanwhile, which is thereby done, is left alone.
func (c *controller) migrate(ctx context.Context, kind *api.Kind, m *migration) error {
	until, err := strconv.ParseUint(m.Status.ResourceVersion, 10, 64)
	if err != nil {
		return c.write(ctx, failed(m, fmt.Sprintf("migration encountered unhandled error: error comparing resource versions between GC and SVM resource: %v", err)))
	}
	old, total, err := c.older(ctx, kind, until)
	if err != nil {
		return err
	}
	var left atomic.Int64
	left.Store(int64(len(old)))
	var once sync.Once
	var first error
	var stop atomic.Bool
	loop.Together(len(old), func(i int) {
		if stop.Load() {
			return
		}
		err := c.rewrite(ctx, kind, old[i])
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			once.Do(func() { first = err })
			stop.Store(true)
			return
		}
		left.Add(-1)
	})
	p := progress{total: total, left: int(left.Load())}
	switch {
	case first == nil:
		return c.write(ctx, with(running(m, p, nil), svmv1.MigrationSucceeded, metav1.ConditionTrue, "StorageVersionMigrationSucceeded", "Migration completed"))
	case passing(first):
		if err := c.write(ctx, running(m, p, first)); err != nil {
			return err
		}
		return first
	}
	return c.write(ctx, failed(running(m, p, nil), fmt.Sprintf("%d/%d not yet migrated. migration encountered unhandled error: %s", p.left, p.total, first)))
}

// older lists the objects that were written last at a revision or before, and counts all.
func (c *controller) older(ctx context.Context, kind *api.Kind, until uint64) (old []api.Object, total int, err error) {
	for from := ""; ; {
		l, err := c.Door.List(ctx, client.Ref{Resource: kind.GVR(), Metadata: true}, metav1.ListOptions{Limit: page, Continue: from})
		if err != nil {
			return nil, 0, err
		}
		total += len(l.Items)
		for _, obj := range l.Items {
			if n, err := strconv.ParseUint(obj.GetResourceVersion(), 10, 64); err == nil && n <= until {
				old = append(old, obj)
			}
		}
		if from = l.Continue; from == "" {
			return old, total, nil
		}
	}
}

func (c *controller) rewrite(ctx context.Context, kind *api.Kind, obj api.Object) error {
	gvk := kind.GVK()
	data, err := json.Marshal(map[string]any{
		"apiVersion": gvk.GroupVersion().String(), "kind": gvk.Kind, "metadata": map[string]any{"resourceVersion": obj.GetResourceVersion()},
	})
	if err != nil {
		return err
	}
	_, err = c.Door.Patch(ctx, client.Ref{Resource: kind.GVR(), Namespace: obj.GetNamespace(), Name: obj.GetName()}, types.MergePatchType, data,
		metav1.PatchOptions{FieldManager: c.Name})
	return err
}

// passing reports whether an error may be another one, or none, in a moment.
func passing(err error) bool {
	return utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err) || utilnet.IsProbableEOF(err) || apierrors.IsServerTimeout(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) || apierrors.IsTimeout(err)
}

// mark says on the definition of a custom resource that a migration of it runs, or has ended; then, if the definition is still the one
// that it began with, no other version than that of new objects is stored any more.
func (c *controller) mark(ctx context.Context, m *migration, over bool) error {
	name := m.Spec.Resource.Resource + "." + m.Spec.Resource.Group
	crd, err := client.Get[*apiextensionsv1.CustomResourceDefinition](ctx, c.Door, client.CustomResourceDefinitions, "", name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(definition(crd, m, over))
	if err != nil {
		return err
	}
	_, err = c.Door.Patch(ctx, client.Ref{Resource: client.CustomResourceDefinitions, Name: name, Subresource: "status"}, types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: manager, Force: new(true)})
	return err
}

// definition is what is applied to a definition: at the beginning of a migration, or when it is over.
func definition(crd *apiextensionsv1.CustomResourceDefinition, m *migration, over bool) any {
	condition := map[string]any{"type": "StorageMigrating", "status": "True", "reason": "MigrationRunning", "message": "Migration " + m.Name + " is running"}
	status := map[string]any{}
	if over {
		same := false
		for _, k := range crd.Status.Conditions {
			same = same || string(k.Type) == "StorageMigrating" && k.ObservedGeneration == crd.Generation
		}
		reason, message := "MigrationFailed", "The migration has failed"
		if is(m, svmv1.MigrationSucceeded) {
			reason, message = "MigrationSucceeded", "The migration has succeeded"
			if same {
				message += " and the stored versions have been updated"
			} else {
				message += " but the stored versions have not been updated due to a generation mismatch"
			}
		}
		condition["status"], condition["reason"], condition["message"] = "False", reason, message
		for _, v := range crd.Spec.Versions {
			if same && v.Storage && is(m, svmv1.MigrationSucceeded) {
				status["storedVersions"] = []string{v.Name}
			}
		}
	}
	condition["observedGeneration"], condition["lastTransitionTime"] = crd.Generation, metav1.NewTime(time.Now())
	status["conditions"] = []any{condition}
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": crd.Name, "resourceVersion": crd.ResourceVersion}, "status": status,
	}
}
