package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// resources are what is looked at, by the name that steps use.
var resources = byName(map[string]string{
	"v1":      "pods services endpoints configmaps secrets serviceaccounts persistentvolumeclaims replicationcontrollers resourcequotas limitranges events nodes namespaces persistentvolumes",
	"apps/v1": "deployments replicasets statefulsets daemonsets controllerrevisions", "batch/v1": "jobs cronjobs",
	"discovery.k8s.io/v1": "endpointslices", "policy/v1": "poddisruptionbudgets", "autoscaling/v2": "horizontalpodautoscalers",
	"rbac.authorization.k8s.io/v1": "clusterroles", "resource.k8s.io/v1": "resourceclaims resourceclaimtemplates", "coordination.k8s.io/v1": "leases",
})

func byName(versions map[string]string) map[string]schema.GroupVersionResource {
	out := map[string]schema.GroupVersionResource{}
	for version, names := range versions {
		gv, _ := schema.ParseGroupVersion(version)
		for _, name := range strings.Fields(names) {
			out[name] = gv.WithResource(name)
		}
	}
	return out
}

// ofCluster are those of resources that have no namespace; of them a scene sees what begins with its namespace's name.
var ofCluster = map[string]bool{"nodes": true, "namespaces": true, "persistentvolumes": true, "clusterroles": true}

// side is one of the two control planes.
type side struct {
	door  dynamic.Interface
	views map[string]cache.SharedIndexInformer

	mu     sync.Mutex
	stages map[string]*stage // by namespace
}

func open(ctx context.Context, kubeconfig string) (*side, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	cfg.QPS = -1
	door, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	s := &side{door: door, views: map[string]cache.SharedIndexInformer{}, stages: map[string]*stage{}}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(door, 0)
	for name, gvr := range resources {
		if name == "leases" {
			continue
		}
		view := factory.ForResource(gvr).Informer()
		saw := func(o any) { s.saw(ctx, name, o) }
		if _, err := view.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: saw, DeleteFunc: saw, UpdateFunc: func(_, o any) { saw(o) },
		}); err != nil {
			return nil, err
		}
		s.views[name] = view
	}
	factory.Start(ctx.Done())
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for name, view := range s.views {
		if !cache.WaitForCacheSync(within.Done(), view.HasSynced) {
			return nil, fmt.Errorf("no view of %s", name)
		}
	}
	return s, nil
}

// saw is told of every change of an object.
func (s *side) saw(ctx context.Context, resource string, o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	obj, ok := o.(*unstructured.Unstructured)
	if !ok {
		return
	}
	st := s.stageOf(resource, obj)
	if st == nil {
		return
	}
	if resource == "nodes" && !st.changed(obj) {
		return
	}
	st.saw(resource, obj)
	if resource == "pods" {
		st.kubelet(ctx, obj)
	}
}

// stageOf is the stage of the scene that an object belongs to; nil for none.
func (s *side) stageOf(resource string, obj *unstructured.Unstructured) *stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ofCluster[resource] {
		return s.stages[obj.GetNamespace()]
	}
	name, _, _ := strings.Cut(obj.GetName(), ".")
	return s.stages[name]
}

// play carries out a scene and shows what is left of it.
func (s *side) play(ctx context.Context, sc scene) shot {
	st := newStage(s, sc)
	s.mu.Lock()
	s.stages[st.ns] = st
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer st.clear()
	if err := st.set(ctx); err != nil {
		return shot{trouble: []string{err.Error()}}
	}
	for _, step := range sc.steps {
		if err := step.do(ctx, st); err != nil {
			st.note("%s: %v", step.say, err)
		}
		st.touch()
	}
	st.settle(ctx)
	return st.shoot()
}

// list is what a view has of a stage's namespace, or of the cluster's objects that are the stage's.
func (s *side) list(st *stage, resource string) (found []*unstructured.Unstructured) {
	for _, o := range s.views[resource].GetStore().List() {
		obj := o.(*unstructured.Unstructured)
		if !ofCluster[resource] && obj.GetNamespace() == st.ns || ofCluster[resource] && (obj.GetName() == st.ns || strings.HasPrefix(obj.GetName(), st.ns+".")) {
			found = append(found, obj)
		}
	}
	return found
}

func (s *side) of(resource, ns string) dynamic.ResourceInterface {
	if ofCluster[resource] {
		return s.door.Resource(resources[resource])
	}
	return s.door.Resource(resources[resource]).Namespace(ns)
}

// quiet is how long nothing may have changed before a stage counts as settled.
const quiet = 6 * time.Second

var background = metav1.DeletePropagationBackground
