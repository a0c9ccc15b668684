package csi

import (
	"context"
	"slices"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// attached waits until the control plane has attached a volume, and returns what the driver's attacher says of that. First the node's status has
// to say that the volume is in use: from then on nobody detaches it.
func (m *Manager) attached(ctx context.Context, t *target) (map[string]string, error) {
	waiting, cancel := context.WithTimeout(ctx, attachLimit)
	defer cancel()
	for {
		next := m.change()
		if node, ok := m.cfg.Current(); ok && Safe(node, t.key.unique()) {
			break
		}
		select {
		case <-next:
		case <-waiting.Done():
			return nil, &Error{Waiting: true, Err: waiting.Err()}
		}
	}
	name := volumes.AttachmentName(t.key.driver, t.key.handle, m.cfg.Node)
	a, err := client.Get[*storagev1.VolumeAttachment](ctx, m.cfg.Hub, client.VolumeAttachments, "", name)
	switch {
	case err != nil:
		return nil, failed("WaitForAttach", "attacher.WaitForAttach failed for volume [%s] (will continue to try): %w", t.key.handle, err)
	case a.DeletionTimestamp != nil:
		return nil, failed("WaitForAttach", "volume attachment is being deleted")
	case !a.Status.Attached && a.Status.AttachError != nil:
		return nil, failed("WaitForAttach", "%s", a.Status.AttachError.Message)
	case !a.Status.Attached:
		return nil, failed("WaitForAttach", "volume %s is not attached yet", t.key.handle)
	}
	return a.Status.AttachmentMetadata, nil
}

// Safe reports whether a node's status says of a volume both that it is attached and that it is in use.
func Safe(node *corev1.Node, name corev1.UniqueVolumeName) bool {
	return slices.Contains(node.Status.VolumesInUse, name) &&
		slices.ContainsFunc(node.Status.VolumesAttached, func(a corev1.AttachedVolume) bool { return a.Name == name })
}
