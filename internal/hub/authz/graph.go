package authz

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// claimsResource is the plural of the claims that lead from pods to volumes.
const claimsResource = "persistentvolumeclaims"

// vertex is an object that pods name: resource is the plural name ("secrets"), which is unique among the kinds here.
type vertex struct{ resource, namespace, name string }

// graph counts, for each object and node, the references from pods of the node to the object.
//
// The pod informer's handler is its only writer. Counts are enough, and no sets of pods are needed: when a pod changes or goes, the
// references of its last state are computed again and subtracted. No count is below zero, and none that is zero is kept.
type graph struct {
	mu struct {
		sync.RWMutex
		nodes map[vertex]map[string]int
	}
}

func newGraph() *graph {
	g := &graph{}
	g.mu.nodes = map[vertex]map[string]int{}
	return g
}

func (g *graph) related(v vertex, node string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.nodes[v][node] > 0
}

// claims are the claims that pods of a node name.
func (g *graph) claims(node string) []vertex {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var out []vertex
	for v, nodes := range g.mu.nodes {
		if v.resource == claimsResource && nodes[node] > 0 {
			out = append(out, v)
		}
	}
	return out
}

func (g *graph) setPod(old, pod *corev1.Pod) {
	if old != nil && pod != nil && sameReferences(old, pod) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if old != nil {
		g.countLocked(old, -1)
	}
	if pod != nil {
		g.countLocked(pod, 1)
	}
}

// sameReferences: of what a bound pod names, only ephemeral containers and resource claims can change.
func sameReferences(a, b *corev1.Pod) bool {
	return a.UID == b.UID && a.Spec.NodeName == b.Spec.NodeName && len(a.Spec.EphemeralContainers) == len(b.Spec.EphemeralContainers) &&
		len(a.Status.ResourceClaimStatuses) == len(b.Status.ResourceClaimStatuses)
}

func (g *graph) countLocked(pod *corev1.Pod, by int) {
	node := pod.Spec.NodeName
	if node == "" {
		return
	}
	for v := range references(pod) {
		nodes := g.mu.nodes[v]
		if nodes == nil {
			nodes = map[string]int{}
			g.mu.nodes[v] = nodes
		}
		if nodes[node] += by; nodes[node] <= 0 {
			if delete(nodes, node); len(nodes) == 0 {
				delete(g.mu.nodes, v)
			}
		}
	}
}

// references are the objects whose reading a pod gives its node. A mirror pod gives none but itself: a node writes it, and
// could name what it pleased.
func references(pod *corev1.Pod) map[vertex]struct{} {
	out := map[vertex]struct{}{}
	add := func(resource, name string) {
		if name != "" {
			out[vertex{resource, pod.Namespace, name}] = struct{}{}
		}
	}
	add("pods", pod.Name)
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return out
	}
	add("serviceaccounts", pod.Spec.ServiceAccountName)
	for _, s := range pod.Spec.ImagePullSecrets {
		add("secrets", s.Name)
	}
	eachContainer(pod, func(env []corev1.EnvVar, from []corev1.EnvFromSource) {
		for _, e := range env {
			if e.ValueFrom == nil {
				continue
			}
			if r := e.ValueFrom.SecretKeyRef; r != nil {
				add("secrets", r.Name)
			}
			if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
				add("configmaps", r.Name)
			}
		}
		for _, f := range from {
			if f.SecretRef != nil {
				add("secrets", f.SecretRef.Name)
			}
			if f.ConfigMapRef != nil {
				add("configmaps", f.ConfigMapRef.Name)
			}
		}
	})
	for i := range pod.Spec.Volumes {
		volumeReferences(pod, &pod.Spec.Volumes[i], add)
	}
	for _, s := range pod.Status.ResourceClaimStatuses {
		if s.ResourceClaimName != nil {
			add("resourceclaims", *s.ResourceClaimName)
		}
	}
	for _, c := range pod.Spec.ResourceClaims {
		if c.ResourceClaimName != nil {
			add("resourceclaims", *c.ResourceClaimName)
		}
	}
	return out
}

func eachContainer(pod *corev1.Pod, fn func([]corev1.EnvVar, []corev1.EnvFromSource)) {
	for i := range pod.Spec.InitContainers {
		fn(pod.Spec.InitContainers[i].Env, pod.Spec.InitContainers[i].EnvFrom)
	}
	for i := range pod.Spec.Containers {
		fn(pod.Spec.Containers[i].Env, pod.Spec.Containers[i].EnvFrom)
	}
	for i := range pod.Spec.EphemeralContainers {
		fn(pod.Spec.EphemeralContainers[i].Env, pod.Spec.EphemeralContainers[i].EnvFrom)
	}
}

func volumeReferences(pod *corev1.Pod, v *corev1.Volume, add func(resource, name string)) {
	local := func(r *corev1.LocalObjectReference) {
		if r != nil {
			add("secrets", r.Name)
		}
	}
	switch {
	case v.Secret != nil:
		add("secrets", v.Secret.SecretName)
	case v.ConfigMap != nil:
		add("configmaps", v.ConfigMap.Name)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				add("secrets", s.Secret.Name)
			}
			if s.ConfigMap != nil {
				add("configmaps", s.ConfigMap.Name)
			}
		}
	case v.PersistentVolumeClaim != nil:
		add(claimsResource, v.PersistentVolumeClaim.ClaimName)
	case v.Ephemeral != nil:
		add(claimsResource, pod.Name+"-"+v.Name)
	case v.CSI != nil:
		local(v.CSI.NodePublishSecretRef)
	case v.AzureFile != nil:
		add("secrets", v.AzureFile.SecretName)
	case v.CephFS != nil:
		local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		local(v.FlexVolume.SecretRef)
	case v.RBD != nil:
		local(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		local(v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		local(v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		local(v.StorageOS.SecretRef)
	}
}
