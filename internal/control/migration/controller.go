package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	svmv1 "k8s.io/api/storagemigration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// manager owns the fields that the controller applies to definitions; writes of objects have the controller's name.
const manager = "migration-runner-controller"

// appearWithin is how long after its creation a migration's resource may still be unknown.
const appearWithin = time.Minute

// nowhere is a namespace that has no objects: a list of it tells the resource's revision and nothing else.
const nowhere = "svm-fake-namespace"

// controller is the storage-version-migrator-controller. A status is written over the migration as the view has it; a view that lags
// makes the write fail, and the resource come again.
type controller struct {
	loop.Env
	served func() *api.Kinds
	all    *cache.Informer[*migration]
}

// New makes the storage-version-migrator-controller. served are the kinds that are served now. Account:
// storage-version-migrator-controller.
func New(env loop.Env, served func() *api.Kinds) loop.Runner {
	c := &controller{Env: env, served: served, all: cache.For[*migration](env.Informers, client.StorageVersionMigrations, cache.Options{})}
	queue := loop.NewQueue()
	again := func(m *migration) { queue.Add(m.Spec.Resource.Resource + "/" + m.Spec.Resource.Group) }
	c.all.Handle(cache.Handler[*migration]{Add: again, Update: func(_, m *migration) { again(m) }, Delete: again})
	return &loop.Controller{Name: env.Name, Workers: 5, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{c.all.Synced()}, Reconcile: c.reconcile}
}

// reconcile takes the next step of the migrations of a resource.
func (c *controller) reconcile(ctx context.Context, key string) (time.Duration, error) {
	return 0, c.step(ctx, key)
}

func (c *controller) step(ctx context.Context, key string) error {
	var mine []*migration
	for _, m := range c.all.List("") {
		if m.Spec.Resource.Resource+"/"+m.Spec.Resource.Group == key {
			mine = append(mine, m)
		}
	}
	over, next := turn(mine)
	for _, m := range over {
		if err := c.mark(ctx, m, true); err != nil {
			return err
		}
		if err := c.write(ctx, with(m, svmv1.MigrationRunning, metav1.ConditionFalse, "MigrationCompleted", "Migration completed")); err != nil {
			return err
		}
	}
	switch {
	case next == nil:
		return nil
	case !is(next, svmv1.MigrationRunning):
		if err := c.mark(ctx, next, false); err != nil {
			return err
		}
		return c.write(ctx, running(next, progress{}, nil))
	}
	kind := c.kind(schema.GroupResource{Group: next.Spec.Resource.Group, Resource: next.Spec.Resource.Resource})
	switch {
	case kind == nil && time.Since(next.CreationTimestamp.Time) < appearWithin:
		return loop.Pending{Err: errors.New("resource does not exist in our rest mapper, requeuing to attempt again")}
	case kind == nil:
		return c.write(ctx, failed(next, "resource does not exist in discovery"))
	case !kind.Can("update") || !kind.Can("patch") || !kind.Can("list"):
		return c.write(ctx, failed(next, fmt.Sprintf("resource %q does not support discovery operations: [update patch list]", kind.GVR().String())))
	case next.Status.ResourceVersion == "":
		return c.begin(ctx, kind, next)
	}
	return c.migrate(ctx, kind, next)
}

// kind finds a resource among what is served.
func (c *controller) kind(r schema.GroupResource) *api.Kind {
	for _, k := range c.served().All() {
		if k.GR() == r && k.View == nil {
			return k
		}
	}
	return nil
}

// begin notes the resource's revision: what is newer is stored as it should be.
func (c *controller) begin(ctx context.Context, kind *api.Kind, m *migration) error {
	ref := client.Ref{Resource: kind.GVR(), Metadata: true}
	if kind.Namespaced {
		ref.Namespace = nowhere
	}
	l, err := c.Door.List(ctx, ref, metav1.ListOptions{Limit: 1})
	if err != nil {
		return fmt.Errorf("error getting latest resourceVersion for %s: %w", kind.GVR(), err)
	}
	out := m.DeepCopy()
	out.Status.ResourceVersion = l.ResourceVersion
	return c.write(ctx, out)
}

func (c *controller) write(ctx context.Context, m *migration) error {
	_, err := client.UpdateStatus(ctx, c.Door, client.StorageVersionMigrations, m)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
