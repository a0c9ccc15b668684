package storage

import (
	"context"
	"fmt"
	"strings"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A volume whose policy is Recycle is scrubbed by a pod in namespace default, whose name says which volume it is for: whoever looks
// next, after a crash too, finds it and goes on from there.
const (
	scrubber      = "recycler-for-"
	scrubberImage = "registry.k8s.io/build-image/debian-base:bookworm-v1.0.6"
	scrubberPlace = metav1.NamespaceDefault
)

// recycle has a released volume scrubbed and made available again.
func (b *binder) recycle(ctx context.Context, pv *corev1.PersistentVolume) error {
	source, ok := scrubbed(pv)
	if !ok {
		return b.fail(ctx, pv, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
	}
	if ref := pv.Spec.ClaimRef; ref != nil {
		if _, again := b.claims.get(ref.Namespace, ref.Name); !again {
			if users := usingPods(b.pods.List(ref.Namespace), ref.Name); len(users) > 0 {
				b.tell(pv, normal("VolumeFailedRecycle", "Volume is used by pods: %s", strings.Join(users, ",")))
				return nil // the end of the last of them makes the volume due
			}
		}
	}
	pod, err := client.Get[*corev1.Pod](ctx, b.Door, client.Pods, scrubberPlace, scrubber+pv.Name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = client.Create(ctx, b.Door, client.Pods, scrubberPod(pv, source))
		return err
	case err != nil:
		return err
	case pod.Status.Phase == corev1.PodSucceeded:
		next, err := b.updateVolume(ctx, unbound(pv))
		if err != nil {
			return err
		}
		b.Events.Event(pv, corev1.EventTypeNormal, "VolumeRecycled", "Volume recycled")
		if _, err := b.enter(ctx, next, corev1.VolumeAvailable); err != nil {
			return err
		}
		return gone(client.Delete(ctx, b.Door, client.Pods, scrubberPlace, pod.Name, pod.UID))
	case pod.Status.Phase == corev1.PodFailed:
		why := pod.Status.Message
		if why == "" {
			why = "pod failed, pod.Status.Message unknown"
		}
		if err := b.fail(ctx, pv, "VolumeFailedRecycle", "Recycle failed: failed to recycle volume: "+why); err != nil {
			return err
		}
		if err := client.Delete(ctx, b.Door, client.Pods, scrubberPlace, pod.Name, pod.UID); err != nil {
			return gone(err)
		}
		return fmt.Errorf("failed to recycle volume: %s", why) // and so is tried again
	}
	return nil
}

// scrubbed is the volume as a pod's source, for those that can be recycled.
func scrubbed(pv *corev1.PersistentVolume) (corev1.VolumeSource, bool) {
	switch s := &pv.Spec; {
	case s.HostPath != nil:
		return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: s.HostPath.Path}}, true
	case s.NFS != nil:
		return corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: s.NFS.Server, Path: s.NFS.Path}}, true
	}
	return corev1.VolumeSource{}, false
}

func scrubberPod(pv *corev1.PersistentVolume, source corev1.VolumeSource) *corev1.Pod {
	most, each := int64(60), int64(30) // seconds: at least, and for each GiB
	if pv.Spec.NFS != nil {
		most = 300
	}
	size := pv.Spec.Capacity[corev1.ResourceStorage]
	deadline := max(most, size.Value()>>30*each)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: scrubberPlace, Name: scrubber + pv.Name},
		Spec: corev1.PodSpec{
			ActiveDeadlineSeconds: &deadline, RestartPolicy: corev1.RestartPolicyNever,
			Volumes: []corev1.Volume{{Name: "vol", VolumeSource: source}},
			Containers: []corev1.Container{{
				Name: "pv-recycler", Image: scrubberImage, Command: []string{"/bin/sh"},
				Args:         []string{"-c", `test -e /scrub && find /scrub -mindepth 1 -delete && test -z "$(ls -A /scrub)" || exit 1`},
				VolumeMounts: []corev1.VolumeMount{{Name: "vol", MountPath: "/scrub"}},
			}},
		},
	}
}

// usingPods names the pods that have a claim and have not ended.
func usingPods(pods []*corev1.Pod, claim string) []string {
	var out []string
	for _, p := range pods {
		for i := range p.Spec.Volumes {
			if name, _ := volumes.ClaimOf(p, &p.Spec.Volumes[i]); name == claim && !loop.PodTerminal(p) {
				out = append(out, loop.Key(p))
				break
			}
		}
	}
	return out
}

// scrubs makes the volume due that a scrubbing pod is for, or those that the end of a pod may have freed for one.
func (b *binder) scrubs(p *corev1.Pod) {
	if p.Namespace == scrubberPlace && strings.HasPrefix(p.Name, scrubber) {
		b.ofVolumes.Add(strings.TrimPrefix(p.Name, scrubber))
	}
	if !volumes.HasClaims(p) {
		return
	}
	for _, pv := range b.volumes.List("") {
		if ref := pv.Spec.ClaimRef; ref != nil && ref.Namespace == p.Namespace && pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
			b.ofVolumes.Add(pv.Name)
		}
	}
}
