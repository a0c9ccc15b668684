package scheduler

import (
	"sync/atomic"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler/topology"
)

// surroundings are what plugins ask about namespaces, and about the services and controllers of pods. They implement
// topology.Cluster for the scheduler's goroutine; informers count the changes.
type surroundings struct {
	namespaces   *cache.Informer[*corev1.Namespace]
	services     *cache.Informer[*corev1.Service]
	controllers  *cache.Informer[*corev1.ReplicationController]
	replicaSets  *cache.Informer[*appsv1.ReplicaSet]
	statefulSets *cache.Informer[*appsv1.StatefulSet]

	spaces, workloads atomic.Uint64
}

// connected is a plugin that asks about surroundings.
type connected interface{ Connect(topology.Cluster) }

// connect gives plugins that ask for them their surroundings.
func (s *Scheduler) connect(profiles []*profile) {
	for _, p := range profiles {
		for _, one := range p.areals {
			if c, ok := one.(connected); ok {
				if s.around == nil {
					s.around = newSurroundings(s.cfg.Informers)
				}
				c.Connect(s.around)
			}
		}
	}
}

func newSurroundings(set *cache.Set) *surroundings {
	return &surroundings{
		namespaces:   cache.For[*corev1.Namespace](set, client.Namespaces, cache.Options{}),
		services:     cache.For[*corev1.Service](set, client.Services, cache.Options{}),
		controllers:  cache.For[*corev1.ReplicationController](set, client.ReplicationControllers, cache.Options{}),
		replicaSets:  cache.For[*appsv1.ReplicaSet](set, client.ReplicaSets, cache.Options{}),
		statefulSets: cache.For[*appsv1.StatefulSet](set, client.StatefulSets, cache.Options{}),
	}
}

// follow counts changes from now on. It returns what is closed when all there is has been read.
func (x *surroundings) follow() []<-chan struct{} {
	if x == nil {
		return nil
	}
	count(x.namespaces, &x.spaces, func(n *corev1.Namespace) any { return n.Labels })
	count(x.services, &x.workloads, func(s *corev1.Service) any { return s.Spec.Selector })
	count(x.controllers, &x.workloads, func(c *corev1.ReplicationController) any { return c.Spec.Selector })
	count(x.replicaSets, &x.workloads, func(r *appsv1.ReplicaSet) any { return r.Spec.Selector })
	count(x.statefulSets, &x.workloads, func(r *appsv1.StatefulSet) any { return r.Spec.Selector })
	return []<-chan struct{}{x.namespaces.Synced(), x.services.Synced(), x.controllers.Synced(), x.replicaSets.Synced(), x.statefulSets.Synced()}
}

// count adds to n for every object that comes, goes, or changes in what of says.
func count[T api.Object](i *cache.Informer[T], n *atomic.Uint64, of func(T) any) {
	i.Handle(cache.Handler[T]{
		Add: func(T) { n.Add(1) },
		Update: func(old, obj T) {
			if !equality.Semantic.DeepEqual(of(old), of(obj)) {
				n.Add(1)
			}
		},
		Delete: func(T) { n.Add(1) },
	})
}

// Versions implements topology.Cluster.
func (x *surroundings) Versions() (namespaces, workloads uint64) {
	return x.spaces.Load(), x.workloads.Load()
}

// NamespaceLabels implements topology.Cluster.
func (x *surroundings) NamespaceLabels(name string) labels.Set {
	if n, ok := x.namespaces.Get("", name); ok {
		return labels.Set(n.Labels)
	}
	return nil
}

// within reports whether all of part are in whole.
func within(part, whole map[string]string) bool {
	for k, v := range part {
		if have, has := whole[k]; !has || have != v {
			return false
		}
	}
	return true
}

// Selector implements topology.Cluster.
func (x *surroundings) Selector(pod *corev1.Pod) labels.Selector {
	all := labels.Set{}
	for _, s := range x.services.List(pod.Namespace) {
		if s.Spec.Selector != nil && within(s.Spec.Selector, pod.Labels) {
			all = labels.Merge(all, s.Spec.Selector)
		}
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return all.AsSelector()
	}
	var given *metav1.LabelSelector
	switch owner.APIVersion + " " + owner.Kind {
	case "v1 ReplicationController":
		if c, ok := x.controllers.Get(pod.Namespace, owner.Name); ok {
			all = labels.Merge(all, c.Spec.Selector)
		}
	case "apps/v1 ReplicaSet":
		if r, ok := x.replicaSets.Get(pod.Namespace, owner.Name); ok {
			given = r.Spec.Selector
		}
	case "apps/v1 StatefulSet":
		if r, ok := x.statefulSets.Get(pod.Namespace, owner.Name); ok {
			given = r.Spec.Selector
		}
	}
	selector := all.AsSelector()
	if given == nil {
		return selector
	}
	if other, err := metav1.LabelSelectorAsSelector(given); err == nil {
		if requirements, selectable := other.Requirements(); selectable {
			selector = selector.Add(requirements...)
		}
	}
	return selector
}
