package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// deleter is who removes the storage of a volume that is not needed any more.
type deleter int

const (
	others   deleter = iota // a provisioner outside
	hostPath                // the binder itself, below /tmp of its own machine: for tests of one machine, as upstream has it
	nobody
)

// deleterOf tells who is to remove a volume's storage, and for nobody the words that upstream has for it.
func deleterOf(pv *corev1.PersistentVolume) (deleter, error) {
	if made := pv.Annotations[volumes.ProvisionedBy]; made != "" {
		switch {
		case made == "kubernetes.io/host-path":
			return hostPath, nil
		case strings.HasPrefix(made, "kubernetes.io/"):
			return nobody, fmt.Errorf("no deletable volume plugin matched")
		}
		return others, nil
	}
	switch s := &pv.Spec; {
	case s.CSI != nil:
		return others, nil
	case s.HostPath != nil:
		return hostPath, nil
	case s.NFS != nil || s.ISCSI != nil || s.FC != nil:
		return nobody, fmt.Errorf("error getting deleter volume plugin for volume %q: no deletable volume plugin matched", pv.Name)
	}
	return nobody, fmt.Errorf("error getting deleter volume plugin for volume %q: no volume plugin matched", pv.Name)
}

// reclaim does with a released volume what its policy says.
func (b *binder) reclaim(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Annotations[volumes.MigratedTo] != "" {
		return nil
	}
	switch pv.Spec.PersistentVolumeReclaimPolicy {
	case corev1.PersistentVolumeReclaimRetain:
		return nil
	case corev1.PersistentVolumeReclaimRecycle:
		return b.recycle(ctx, pv)
	case corev1.PersistentVolumeReclaimDelete:
		return b.remove(ctx, pv)
	}
	return b.fail(ctx, pv, "VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy")
}

// remove has the storage of a volume removed, and the volume with it.
func (b *binder) remove(ctx context.Context, pv *corev1.PersistentVolume) error {
	who, err := deleterOf(pv)
	switch who {
	case others:
		return nil
	case nobody:
		return b.fail(ctx, pv, "VolumeFailedDelete", err.Error())
	}
	// The view may be old, and what is removed does not come back.
	now, err := client.Get[*corev1.PersistentVolume](ctx, b.Door, client.PersistentVolumes, "", pv.Name)
	if err != nil {
		return gone(err)
	}
	if now.UID != pv.UID || now.ResourceVersion != pv.ResourceVersion {
		return nil // its change is looked at next
	}
	path := filepath.Clean(pv.Spec.HostPath.Path)
	if !strings.HasPrefix(path, "/tmp/") {
		return b.fail(ctx, pv, "VolumeFailedDelete", "host_path deleter only supports /tmp/.+ but received provided "+pv.Spec.HostPath.Path)
	}
	if err := os.RemoveAll(path); err != nil {
		return b.fail(ctx, pv, "VolumeFailedDelete", err.Error())
	}
	if slices.Contains(now.Finalizers, volumes.InTreeProtection) {
		free := now.DeepCopy()
		free.Finalizers = slices.DeleteFunc(free.Finalizers, func(f string) bool { return f == volumes.InTreeProtection })
		if _, err := b.updateVolume(ctx, free); err != nil {
			return gone(err)
		}
	}
	return gone(client.Delete(ctx, b.Door, client.PersistentVolumes, "", pv.Name, pv.UID))
}

// fail lets people see that a volume could not be reclaimed.
func (b *binder) fail(ctx context.Context, pv *corev1.PersistentVolume, reason, message string) error {
	if pv.Status.Phase == corev1.VolumeFailed {
		return nil
	}
	now, err := b.enter(ctx, pv, corev1.VolumeFailed)
	if err == nil {
		b.Events.Event(now, corev1.EventTypeWarning, reason, message)
	}
	return gone(err)
}

// gone makes nothing of an error that says that an object is not there any more.
func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
