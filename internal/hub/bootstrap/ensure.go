package bootstrap

import (
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"golang.org/x/sync/errgroup"
)

// wanted is a group of objects of one resource, and how one that is there becomes what it should be: nil leaves it.
type wanted struct {
	resource  schema.GroupVersionResource
	namespace string // to list in
	objects   []api.Object
	retired   map[string]string // names of bindings to take away, with the roles they have
	reconcile func(have, want api.Object) (obj api.Object, recreate bool)
	stray     func(have api.Object) bool // whether one that is not wanted is taken away; nil: none is
}

// Ensure writes what is missing. It may be called on every start: what is there is read from lists, not asked for singly.
func Ensure(ctx context.Context, door client.Interface, cfg Config) error {
	ns := wanted{resource: client.Namespaces, objects: namespaces()}
	if err := ensure(ctx, door, []wanted{ns}); err != nil {
		return err
	}
	todo := []wanted{
		{resource: client.PriorityClasses, objects: priorityClasses()},
		{resource: client.ServiceAccounts, namespace: metav1.NamespaceSystem, objects: proxyAccounts()},
		{resource: client.ConfigMaps, namespace: metav1.NamespaceSystem, objects: []api.Object{authenticationConfigMap(&cfg)}, reconcile: sameData},
		{resource: client.ConfigMaps, namespace: metav1.NamespaceSystem, objects: []api.Object{tokenTracking()}, reconcile: sinceSomeDay},
		{resource: client.ConfigMaps, namespace: metav1.NamespacePublic, objects: []api.Object{clusterInfo(&cfg)}, reconcile: sameData},
	}
	rules := rbacObjects()
	if cfg.serves(client.PodGroups) {
		rules = groupRights(rules)
	}
	for _, res := range []schema.GroupVersionResource{client.ClusterRoles, client.ClusterRoleBindings, client.Roles, client.RoleBindings} {
		w := wanted{resource: res, reconcile: reconcile}
		for _, o := range rules {
			if resourceOf(o) == res {
				w.objects = append(w.objects, o)
			}
		}
		if res == client.ClusterRoleBindings {
			w.retired = retired
		}
		todo = append(todo, w)
	}
	if local := apiServices(cfg.Served); len(local) > 0 {
		todo = append(todo, wanted{resource: client.APIServices, objects: local}) // what is there already hub/aggregate puts right
	}
	if cfg.serves(client.FlowSchemas) {
		todo = append(todo, flowObjects()...)
	}
	if cfg.DNS {
		todo = append(todo, wanted{resource: client.Services, namespace: metav1.NamespaceSystem, objects: []api.Object{dnsService(&cfg)}})
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ensureKubernetes(ctx, door, &cfg) })
	if cfg.serves(client.ServiceCIDRs) && cfg.ServiceCIDR.IsValid() {
		g.Go(func() error { return ensureServiceCIDR(ctx, door, &cfg) })
	}
	if cfg.Identity != nil {
		g.Go(func() error { return cfg.Identity.renew(ctx, door) })
	}
	g.Go(func() error { return ensure(ctx, door, todo) })
	return g.Wait()
}

// Done reports whether some start has written the system's objects: the one without which nobody may do anything is there.
func Done(ctx context.Context, door client.Interface) bool {
	_, err := client.Get[*rbacv1.ClusterRoleBinding](ctx, door, client.ClusterRoleBindings, "", "cluster-admin")
	return err == nil
}

func (c *Config) serves(r schema.GroupVersionResource) bool {
	return c.Served != nil && c.Served.Resource(r) != nil
}

func ensure(ctx context.Context, door client.Interface, todo []wanted) error {
	g, ctx := newCrew(ctx)
	for _, w := range todo {
		have, err := existing(ctx, door, w)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for name, role := range w.retired {
			if b, ok := have["/"+name].(*rbacv1.ClusterRoleBinding); ok && b.RoleRef.Name == role && b.Annotations[rbacv1.AutoUpdateAnnotationKey] != "false" {
				g.Go(func() error {
					err := client.Delete(ctx, door, w.resource, "", name, b.UID)
					if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
						return fmt.Errorf("bootstrap %s %s: %w", w.resource.Resource, name, err)
					}
					return nil
				})
			}
		}
		removeStrays(ctx, door, w, have, g)
		for _, want := range w.objects {
			g.Go(func() error {
				if err := one(ctx, door, w, have[want.GetNamespace()+"/"+want.GetName()], want); err != nil {
					return fmt.Errorf("bootstrap %s %s: %w", w.resource.Resource, want.GetName(), err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

func existing(ctx context.Context, door client.Interface, w wanted) (map[string]api.Object, error) {
	l, err := door.List(ctx, client.Ref{Resource: w.resource, Namespace: w.namespace}, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("bootstrap: list %s: %w", w.resource.Resource, err)
	}
	have := make(map[string]api.Object, len(l.Items))
	for _, o := range l.Items {
		have[o.GetNamespace()+"/"+o.GetName()] = o
	}
	return have, nil
}

// one writes one object. Another hub may be doing the same: what it made counts, and is reconciled at the next start.
func one(ctx context.Context, door client.Interface, w wanted, have, want api.Object) error {
	if have == nil {
		return create(ctx, door, w.resource, want)
	}
	if w.reconcile == nil {
		return nil
	}
	obj, recreate := w.reconcile(have, want)
	if obj == nil {
		return nil
	}
	if recreate {
		if err := client.Delete(ctx, door, w.resource, have.GetNamespace(), have.GetName(), have.GetUID()); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		fresh := want.DeepCopyObject().(api.Object)
		return create(ctx, door, w.resource, fresh)
	}
	_, err := client.Update(ctx, door, w.resource, obj)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func create(ctx context.Context, door client.Interface, res schema.GroupVersionResource, obj api.Object) error {
	_, err := client.Create(ctx, door, res, obj.DeepCopyObject().(api.Object))
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// sameData puts the keys of want into the ConfigMap and leaves others (the signer's) alone.
func sameData(have, want api.Object) (api.Object, bool) {
	h, w := have.(*corev1.ConfigMap), want.(*corev1.ConfigMap)
	merged := merge(h.Data, w.Data)
	for k, v := range merged {
		if h.Data[k] != v {
			out := h.DeepCopy()
			out.Data = merged
			return out, false
		}
	}
	return nil, false
}

func resourceOf(o api.Object) schema.GroupVersionResource {
	switch o.(type) {
	case *rbacv1.ClusterRole:
		return client.ClusterRoles
	case *rbacv1.ClusterRoleBinding:
		return client.ClusterRoleBindings
	case *rbacv1.Role:
		return client.Roles
	case *rbacv1.RoleBinding:
		return client.RoleBindings
	}
	panic(fmt.Sprintf("bootstrap: no resource for %T", o))
}
