package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// localPath is the provisioner of directories on nodes: it makes a volume for a claim on the node that the scheduler has chosen, grows it,
// and has the directory removed when the claim is gone. The directory itself is made and removed by the node's kubelet. What is under way
// is read from the objects, so that any crash leaves what the next look goes on with.
type localPath struct {
	loop.Env
	claims  *cache.Informer[*corev1.PersistentVolumeClaim]
	volumes *cache.Informer[*corev1.PersistentVolume]
	classes *cache.Informer[*storagev1.StorageClass]
	nodes   *cache.Informer[*corev1.Node]
}

// NewLocalPath makes the provisioner.
func NewLocalPath(env loop.Env) loop.Runner {
	l := &localPath{
		Env:     env,
		claims:  cache.For[*corev1.PersistentVolumeClaim](env.Informers, client.PersistentVolumeClaims, cache.Options{}),
		volumes: cache.For[*corev1.PersistentVolume](env.Informers, client.PersistentVolumes, cache.Options{}),
		classes: cache.For[*storagev1.StorageClass](env.Informers, client.StorageClasses, cache.Options{}),
		nodes:   cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{}),
	}
	claims, pvs := loop.NewQueue(), loop.NewQueue()
	claim := func(c *corev1.PersistentVolumeClaim) {
		if c.Annotations[volumes.Provisioner] == volumes.LocalProvisioner {
			claims.Add(loop.Key(c))
		}
	}
	l.claims.Handle(cache.Handler[*corev1.PersistentVolumeClaim]{Add: claim, Update: func(_, c *corev1.PersistentVolumeClaim) { claim(c) }})
	volume := func(pv *corev1.PersistentVolume) {
		if pv.Annotations[volumes.ProvisionedBy] == volumes.LocalProvisioner {
			pvs.Add(pv.Name)
		}
	}
	l.volumes.Handle(cache.Handler[*corev1.PersistentVolume]{Add: volume, Update: func(_, pv *corev1.PersistentVolume) { volume(pv) }, Delete: volume})
	node := func(n *corev1.Node) {
		for key := range n.Annotations {
			if name, ok := strings.CutPrefix(key, volumes.RemovePrefix); ok {
				pvs.Add(name)
			}
		}
	}
	l.nodes.Handle(cache.Handler[*corev1.Node]{Add: node, Update: func(_, n *corev1.Node) { node(n) }, Delete: func(n *corev1.Node) {
		for _, pv := range l.volumes.List("") { // its directories are gone with it
			if pv.Annotations[volumes.LocalNode] == n.Name {
				volume(pv)
			}
		}
	}})
	synced := []<-chan struct{}{l.claims.Synced(), l.volumes.Synced(), l.classes.Synced(), l.nodes.Synced()}
	return loop.All{
		&loop.Controller{Name: env.Name, Queue: claims, Log: env.Log, Synced: synced, Reconcile: l.lookAtClaim},
		&loop.Controller{Name: env.Name, Queue: pvs, Log: env.Log, Synced: synced, Reconcile: l.lookAtVolume},
	}
}

// EnsureLocalClasses makes the classes of local volumes where there are none of the names. What people made of them stays.
func EnsureLocalClasses(ctx context.Context, door client.Interface) error {
	for _, class := range localClasses() {
		_, err := client.Get[*storagev1.StorageClass](ctx, door, client.StorageClasses, "", class.Name)
		if !apierrors.IsNotFound(err) {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := client.Create(ctx, door, client.StorageClasses, class); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

func (l *localPath) lookAtClaim(ctx context.Context, key string) (time.Duration, error) {
	claim, ok := l.claims.Get(loop.SplitKey(key))
	if !ok || claim.DeletionTimestamp != nil {
		return 0, nil
	}
	if claim.Spec.VolumeName != "" {
		return 0, gone(l.grow(ctx, claim))
	}
	class, ok := l.classes.Get("", volumes.Class(claim))
	if !ok {
		return 0, nil
	}
	if waits, err := volumes.Waits(class); err != nil || waits && claim.Annotations[volumes.SelectedNode] == "" {
		return 0, err // the scheduler is about to choose a node
	}
	node, ok := l.nodes.Get("", claim.Annotations[volumes.SelectedNode])
	if !ok {
		node = nil
	}
	pv, elsewhere, err := madeFor(claim, class, node)
	if err != nil {
		l.Events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", fmt.Sprintf("failed to provision volume with StorageClass %q: %v", class.Name, err))
		if !elsewhere {
			return 0, nil
		}
		next := claim.DeepCopy() // the scheduler chooses again
		delete(next.Annotations, volumes.SelectedNode)
		_, err = client.Update(ctx, l.Door, client.PersistentVolumeClaims, next)
		return 0, gone(err)
	}
	switch _, err := client.Create(ctx, l.Door, client.PersistentVolumes, pv); {
	case apierrors.IsAlreadyExists(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	l.Events.Event(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume "+pv.Name)
	return 0, nil
}

// grow gives a claim that asks for more than it has the capacity: a directory grows by itself.
func (l *localPath) grow(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	want, have := claim.Spec.Resources.Requests[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	if claim.Status.Phase != corev1.ClaimBound || want.Cmp(have) <= 0 {
		return nil
	}
	pv, ok := l.volumes.Get("", claim.Spec.VolumeName)
	if !ok || pv.Annotations[volumes.ProvisionedBy] != volumes.LocalProvisioner || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != claim.UID {
		return nil
	}
	if size := pv.Spec.Capacity[corev1.ResourceStorage]; want.Cmp(size) > 0 {
		next := pv.DeepCopy()
		next.Spec.Capacity[corev1.ResourceStorage] = want
		if _, err := client.Update(ctx, l.Door, client.PersistentVolumes, next); err != nil {
			return err
		}
	}
	next := claim.DeepCopy()
	next.Status.Capacity[corev1.ResourceStorage] = want
	next.Status.Conditions = slices.DeleteFunc(next.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == corev1.PersistentVolumeClaimResizing || c.Type == corev1.PersistentVolumeClaimFileSystemResizePending
	})
	if _, err := client.UpdateStatus(ctx, l.Door, client.PersistentVolumeClaims, next); err != nil {
		return err
	}
	l.Events.Event(claim, corev1.EventTypeNormal, "VolumeResizeSuccessful", "Resize volume succeeded")
	return nil
}

func (l *localPath) lookAtVolume(ctx context.Context, name string) (time.Duration, error) {
	pv, ok := l.volumes.Get("", name)
	if !ok {
		return 0, l.forgetRemoval(ctx, name)
	}
	if pv.Annotations[volumes.ProvisionedBy] != volumes.LocalProvisioner || !unneeded(pv) {
		return 0, nil
	}
	node, ok := l.nodes.Get("", pv.Annotations[volumes.LocalNode])
	if !ok {
		// The directory is gone with its node, if that is so: a view may be old.
		_, err := client.Get[*corev1.Node](ctx, l.Door, client.Nodes, "", pv.Annotations[volumes.LocalNode])
		if apierrors.IsNotFound(err) {
			return 0, gone(l.drop(ctx, pv))
		}
		return time.Second, err
	}
	switch node.Annotations[volumes.RemovePrefix+name] {
	case volumes.RemoveDone:
		return 0, gone(l.drop(ctx, pv))
	case volumes.RemoveWanted:
		return 0, nil // the node's answer makes the volume due
	}
	return 0, gone(l.annotate(ctx, node, name, volumes.RemoveWanted))
}

// drop deletes a volume whose directory is gone.
func (l *localPath) drop(ctx context.Context, pv *corev1.PersistentVolume) error {
	if slices.Contains(pv.Finalizers, volumes.ExternalProtection) {
		next := pv.DeepCopy()
		next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == volumes.ExternalProtection })
		if _, err := client.Update(ctx, l.Door, client.PersistentVolumes, next); err != nil {
			return err
		}
	}
	return client.Delete(ctx, l.Door, client.PersistentVolumes, "", pv.Name, pv.UID)
}

// forgetRemoval takes back from the nodes what was said of the removal of a volume that is gone.
func (l *localPath) forgetRemoval(ctx context.Context, name string) error {
	for _, node := range l.nodes.List("") {
		if node.Annotations[volumes.RemovePrefix+name] == volumes.RemoveDone {
			if err := l.annotate(ctx, node, name, nil); err != nil {
				return gone(err)
			}
		}
	}
	return nil
}

// annotate sets what is said to a node of the removal of a volume; nil takes it back.
func (l *localPath) annotate(ctx context.Context, node *corev1.Node, name string, value any) error {
	ref := client.Ref{Resource: client.Nodes, Name: node.Name}
	_, err := client.MergePatch(ctx, l.Door, ref, map[string]any{"metadata": map[string]any{"uid": node.UID, "annotations": map[string]any{volumes.RemovePrefix + name: value}}})
	return err
}
