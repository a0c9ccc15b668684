package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scene is what happens in a namespace.
type scene struct {
	seed  uint64
	theme string
	steps []step
}

// step is one thing that is done; say tells what.
type step struct {
	say string
	do  func(context.Context, *stage) error
}

func (sc scene) says() (all []string) {
	for _, s := range sc.steps {
		all = append(all, s.say)
	}
	return all
}

// theme makes the steps of a scene.
type theme struct {
	name  string
	steps func(*dice) []step
}

// themes take turns.
var themes = []theme{
	{"deployment", deploymentScene}, {"statefulset", statefulSetScene}, {"daemonset", daemonSetScene}, {"job", jobScene},
	{"services", serviceScene}, {"garbage", garbageScene}, {"budget", budgetScene}, {"quota", quotaScene}, {"namespace", namespaceScene},
	{"volumes", volumeScene}, {"taints", taintScene}, {"identity", identityScene}, {"autoscaler", autoscalerScene}, {"adoption", adoptionScene},
	{"deployment", deploymentScene}, {"job", jobScene}, {"statefulset", statefulSetScene}, {"cronjob", cronJobScene}, {"nodeloss", nodeLossScene}, {"claims", claimScene},
}

func sceneOf(seed uint64) scene {
	t := themes[seed%uint64(len(themes))]
	return scene{seed, t.name, t.steps(&dice{rand.New(rand.NewPCG(seed, 37))})}
}

// dice are what is random in a scene.
type dice struct{ *rand.Rand }

func pick[T any](d *dice, of ...T) T { return of[d.IntN(len(of))] }

func (d *dice) chance(percent int) bool { return d.IntN(100) < percent }

// The steps of most scenes.

func makes(resource string, o func() object) step {
	return step{"create " + resource + " " + text(o()), func(ctx context.Context, st *stage) error { return st.make(ctx, resource, o()) }}
}

func patches(resource, name, change string, sub ...string) step {
	return step{fmt.Sprint("patch ", resource, "/", name, " ", change, sub), func(ctx context.Context, st *stage) error {
		return st.patch(ctx, resource, name, change, sub...)
	}}
}

func removes(resource, name string, how metav1.DeletionPropagation) step {
	return step{fmt.Sprint("delete ", resource, "/", name, " ", how), func(ctx context.Context, st *stage) error { return st.remove(ctx, resource, name, how) }}
}

func settles() step {
	return step{"rest", func(ctx context.Context, st *stage) error { st.settle(ctx); return nil }}
}

func waits(d time.Duration) step {
	return step{"wait " + d.String(), func(ctx context.Context, _ *stage) error {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
		return nil
	}}
}

func awaits(what string, met func(*stage) bool) step {
	return step{"until " + what, func(ctx context.Context, st *stage) error {
		return st.until(ctx, what, func() bool { return met(st) })
	}}
}

// kindOf is the kind of a resource.
var kindOf = map[string]string{
	"pods": "Pod", "services": "Service", "endpoints": "Endpoints", "configmaps": "ConfigMap", "secrets": "Secret", "serviceaccounts": "ServiceAccount",
	"persistentvolumeclaims": "PersistentVolumeClaim", "persistentvolumes": "PersistentVolume", "replicationcontrollers": "ReplicationController", "resourcequotas": "ResourceQuota",
	"deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "jobs": "Job", "cronjobs": "CronJob",
	"poddisruptionbudgets": "PodDisruptionBudget", "horizontalpodautoscalers": "HorizontalPodAutoscaler", "clusterroles": "ClusterRole",
	"resourceclaims": "ResourceClaim", "resourceclaimtemplates": "ResourceClaimTemplate", "endpointslices": "EndpointSlice",
}
