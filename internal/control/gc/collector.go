package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
)

// unseenRetry is how long an object waits whose owner is there but has not been seen: its deletion must not be missed
// because its creation was.
const unseenRetry = time.Second

// collector deletes objects whose owners are gone, and helps dying owners to end as they were asked to.
type collector struct {
	loop.Env
	world  *World
	graph  *graph
	looks  *loop.Queue
	orphan *loop.Queue
	absent *lru.Cache // of absentKey: owners that a live read has shown to be gone for good
}

type absentKey struct {
	gvk             schema.GroupVersionKind
	namespace, name string
	uid             types.UID
}

// NewCollector makes the garbage-collector-controller. world is run by the caller.
func NewCollector(env loop.Env, world *World) loop.Runner {
	c := &collector{Env: env, world: world, graph: newGraph(), looks: loop.NewQueue(), orphan: loop.NewQueue(), absent: lru.New(500)}
	world.handle(func(kind *api.Kind) cache.Handler[api.Object] {
		return cache.Handler[api.Object]{
			Add:    func(obj api.Object) { c.enqueue(c.graph.set(nodeOf(kind, obj))) },
			Update: func(_, obj api.Object) { c.enqueue(c.graph.set(nodeOf(kind, obj))) },
			Delete: func(obj api.Object) { c.enqueue(c.graph.remove(obj.GetUID())) },
		}
	})
	controller := func(queue *loop.Queue, f func(context.Context, types.UID) (time.Duration, error)) *loop.Controller {
		return &loop.Controller{
			Name: env.Name, Workers: 64, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{world.synced},
			Reconcile: func(ctx context.Context, key string) (time.Duration, error) { return f(ctx, types.UID(key)) },
		}
	}
	return loop.All{controller(c.looks, c.look), controller(c.orphan, c.letGo)}
}

func (c *collector) enqueue(d due) {
	for _, uid := range d.look {
		c.looks.Add(string(uid))
	}
	for _, uid := range d.orphan {
		c.orphan.Add(string(uid))
	}
}

// look decides about one object: whether it is still owned, and if it waits for its dependents, whether it still has to.
func (c *collector) look(ctx context.Context, uid types.UID) (time.Duration, error) {
	n, settled := c.graph.get(uid)
	switch {
	case n == nil, n.dying && !n.foreground:
		return 0, nil
	case n.foreground:
		return 0, c.awaitDependents(ctx, n)
	case settled:
		return 0, nil
	}
	latest, err := c.read(ctx, n)
	if latest == nil {
		return 0, err
	}
	refs, err := c.classify(ctx, n, latest.GetOwnerReferences())
	if err != nil {
		if errors.Is(err, errNeverValid) {
			c.Log.Warn("cluster-scoped object names a namespaced owner", "kind", n.kind.Kind, "name", n.name, "err", err)
			return 0, nil
		}
		return 0, err
	}
	return c.act(ctx, n, latest, refs)
}

// act carries out what the standing of the owners asks for.
func (c *collector) act(ctx context.Context, n *node, latest api.Object, refs references) (time.Duration, error) {
	switch {
	case len(latest.GetOwnerReferences()) == 0:
		return 0, nil
	case len(refs.solid) > 0:
		// It is wanted. References to owners that are gone, or that wait for it to go, come off.
		if gone := append(refs.dangling, refs.waiting...); len(gone) > 0 {
			return 0, c.dropOwners(ctx, n, latest, gone)
		}
		if refs.unseen {
			return loop.Jitter(unseenRetry, 1), nil
		}
		return 0, nil
	case len(refs.waiting) > 0 && len(c.graph.dependents(n.uid, false)) > 0:
		// Its own dependents go first, in turn, unless one of them waits already: then this is a circle, and somebody has
		// to stop blocking.
		if slices.ContainsFunc(c.graph.dependents(n.uid, false), func(dep *node) bool { return dep.foreground }) {
			var err error
			if latest, err = c.unblock(ctx, n, latest); err != nil || latest == nil {
				return 0, err
			}
		}
		return 0, c.delete(ctx, n, latest, metav1.DeletePropagationForeground)
	}
	return 0, c.delete(ctx, n, latest, policyOf(latest))
}

// policyOf keeps to how the object itself asked to be deleted, by a finalizer.
func policyOf(obj api.Object) metav1.DeletionPropagation {
	switch {
	case slices.Contains(obj.GetFinalizers(), metav1.FinalizerOrphanDependents):
		return metav1.DeletePropagationOrphan
	case slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents):
		return metav1.DeletePropagationForeground
	}
	return metav1.DeletePropagationBackground
}

// references sorts the owner references of an object.
type references struct {
	solid, dangling, waiting []types.UID
	unseen                   bool // one of solid has not been seen by the graph though it is watched
}

var errNeverValid = errors.New("namespaced owner of a cluster-scoped object")

// classify trusts the graph for owners that it has, and reads those that it has not.
func (c *collector) classify(ctx context.Context, n *node, refs []metav1.OwnerReference) (references, error) {
	var out references
	for _, ref := range refs {
		switch c.graph.standing(n, ref) {
		case solid:
			out.solid = append(out.solid, ref.UID)
			continue
		case waiting:
			out.waiting = append(out.waiting, ref.UID)
			continue
		}
		owner, kind, err := c.readOwner(ctx, n, ref)
		switch {
		case err != nil:
			return out, err
		case owner == nil:
			out.dangling = append(out.dangling, ref.UID)
		case nodeOf(kind, owner).foreground:
			out.waiting = append(out.waiting, ref.UID)
		default:
			out.solid = append(out.solid, ref.UID)
			out.unseen = out.unseen || c.world.isWatched(kind.GVR())
		}
	}
	return out, nil
}

// readOwner reads an owner from the hub; nil means that it is gone for good.
func (c *collector) readOwner(ctx context.Context, n *node, ref metav1.OwnerReference) (api.Object, *api.Kind, error) {
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	kind := c.world.served().Kind(gvk)
	if kind == nil {
		return nil, nil, fmt.Errorf("owner of %s %s: no matches for kind %q in version %q", n.kind.Kind, n.name, ref.Kind, ref.APIVersion)
	}
	namespace := ""
	if kind.Namespaced {
		if namespace = n.namespace; namespace == "" {
			return nil, nil, fmt.Errorf("%w: %s %s", errNeverValid, ref.Kind, ref.Name)
		}
	}
	key := absentKey{gvk, namespace, ref.Name, ref.UID}
	if _, gone := c.absent.Get(key); gone {
		return nil, kind, nil
	}
	at := client.Ref{Resource: kind.GVR(), Namespace: namespace, Name: ref.Name}
	// That it is there the cache may tell, that it is gone only the newest state.
	for _, revision := range []string{"0", ""} {
		if owner, err := c.get(ctx, at, ref.UID, revision); err != nil || owner != nil {
			return owner, kind, err
		}
	}
	c.absent.Add(key, nil)
	return nil, kind, nil
}

// read returns the object as the hub's cache has it, which may be a moment behind: what is done about it names its UID and
// revision and fails if it has changed. It returns nil if it is not there any more, which only the newest state can tell: the cache may show
// the one before it of the same name.
func (c *collector) read(ctx context.Context, n *node) (api.Object, error) {
	obj, err := c.get(ctx, n.ref(), n.uid, "0")
	if obj != nil || err != nil {
		return obj, err
	}
	return c.get(ctx, n.ref(), n.uid, "")
}

// get returns the object of that UID, nil if there is none. revision is "0" for what the cache has, "" for the newest.
func (c *collector) get(ctx context.Context, ref client.Ref, uid types.UID, revision string) (api.Object, error) {
	got, err := c.Door.Get(ctx, ref, metav1.GetOptions{ResourceVersion: revision})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	obj, ok := got.(api.Object)
	if !ok || obj.GetUID() != uid {
		return nil, nil
	}
	return obj, nil
}

func (n *node) ref() client.Ref {
	return client.Ref{Resource: n.kind.GVR(), Namespace: n.namespace, Name: n.name}
}

func (c *collector) delete(ctx context.Context, n *node, latest api.Object, policy metav1.DeletionPropagation) error {
	c.Log.Debug("deleting object without owner", "kind", n.kind.Kind, "namespace", n.namespace, "name", n.name, "policy", policy)
	revision := latest.GetResourceVersion()
	err := c.Door.Delete(ctx, n.ref(), metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &n.uid, ResourceVersion: &revision},
		PropagationPolicy: &policy,
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// awaitDependents ends the wait of a dying owner when nothing blocks it any more, and else makes those that do due.
func (c *collector) awaitDependents(ctx context.Context, n *node) error {
	blocking := c.graph.dependents(n.uid, true)
	if len(blocking) == 0 {
		return c.dropFinalizer(ctx, n, metav1.FinalizerDeleteDependents)
	}
	for _, dep := range blocking {
		if !dep.foreground {
			c.looks.Add(string(dep.uid))
		}
	}
	return nil
}

// letGo takes a dying owner off its dependents, and then lets it end. It lists them anew, since one that the graph has not
// seen yet would be deleted as soon as it has and its owner is gone.
func (c *collector) letGo(ctx context.Context, uid types.UID) (time.Duration, error) {
	n, _ := c.graph.get(uid)
	if n == nil || !n.orphaning {
		return 0, nil
	}
	for _, kind := range c.world.owned() {
		if n.kind.Namespaced && !kind.Namespaced {
			continue // cannot be owned by it
		}
		if err := c.letGoOf(ctx, n, kind); err != nil {
			return 0, fmt.Errorf("orphan dependents of %s %s: %w", n.kind.Kind, n.name, err)
		}
	}
	return 0, c.dropFinalizer(ctx, n, metav1.FinalizerOrphanDependents)
}

func (c *collector) letGoOf(ctx context.Context, owner *node, kind *api.Kind) error {
	ref := client.Ref{Resource: kind.GVR()}
	if kind.Namespaced {
		ref.Namespace = owner.namespace
	}
	list, err := c.Door.List(ctx, ref, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, obj := range list.Items {
		errs = append(errs, c.dropOwners(ctx, nodeOf(kind, obj), obj, []types.UID{owner.uid}))
	}
	return errors.Join(errs...)
}

func (c *collector) dropFinalizer(ctx context.Context, n *node, finalizer string) error {
	latest, err := c.read(ctx, n)
	if latest == nil {
		return err
	}
	have := latest.GetFinalizers()
	left := slices.DeleteFunc(slices.Clone(have), func(f string) bool { return f == finalizer })
	if len(left) == len(have) {
		return nil
	}
	_, err = c.patchMeta(ctx, n, latest, "finalizers", left)
	return err
}

func (c *collector) dropOwners(ctx context.Context, n *node, latest api.Object, gone []types.UID) error {
	have := latest.GetOwnerReferences()
	left := slices.DeleteFunc(slices.Clone(have), func(o metav1.OwnerReference) bool { return slices.Contains(gone, o.UID) })
	if len(left) == len(have) {
		return nil
	}
	_, err := c.patchMeta(ctx, n, latest, "ownerReferences", left)
	return err
}

func (c *collector) unblock(ctx context.Context, n *node, latest api.Object) (api.Object, error) {
	refs := slices.Clone(latest.GetOwnerReferences())
	no := false
	for i := range refs {
		refs[i].BlockOwnerDeletion = &no
	}
	return c.patchMeta(ctx, n, latest, "ownerReferences", refs)
}

// patchMeta writes one list of an object's metadata, if the object is still as it was read, and returns it as it is then;
// nil if it is gone.
func (c *collector) patchMeta(ctx context.Context, n *node, latest api.Object, field string, value any) (api.Object, error) {
	out, err := client.MergePatch(ctx, c.Door, n.ref(), map[string]any{"metadata": map[string]any{
		"uid": n.uid, "resourceVersion": latest.GetResourceVersion(), field: value,
	}})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	obj, _ := out.(api.Object)
	return obj, nil
}

func groupOf(apiVersion string) string {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return apiVersion
	}
	return gv.Group
}
