package storage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// forceAfter is how long a volume that is to be detached waits for a node that is not healthy to let go of it.
const forceAfter = 6 * time.Minute

// attachable is a volume that pods of a node want attached to it.
type attachable struct {
	pv   *corev1.PersistentVolume
	pods []*corev1.Pod
}

// uniqueName is the name of a CSI volume in the status of nodes.
func uniqueName(pv *corev1.PersistentVolume) corev1.UniqueVolumeName {
	return volumes.CSIName(pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle)
}

// attachmentName is the name of the VolumeAttachment of a volume on a node, which everybody can compute.
func attachmentName(volume corev1.UniqueVolumeName, node string) string {
	driver, handle, _ := strings.Cut(strings.TrimPrefix(string(volume), volumes.CSI+"/"), "^")
	return volumes.AttachmentName(driver, handle, node)
}

// attachedVolume is a VolumeAttachment of a node with the name of its volume.
type attachedVolume struct {
	*storagev1.VolumeAttachment
	volume  corev1.UniqueVolumeName
	leaving bool // it is being deleted, whether that shows or not
}

// attachView is what a node's attachments are decided on.
type attachView struct {
	name      string
	node      *corev1.Node // nil: there is none
	wanted    map[corev1.UniqueVolumeName]attachable
	has       map[corev1.UniqueVolumeName]attachedVolume
	elsewhere func(corev1.UniqueVolumeName) []string // the other nodes that a volume is attached to, or may be
	since     map[corev1.UniqueVolumeName]time.Time  // when a volume was first seen that nobody wants any more
	now       time.Time
	noForce   bool
}

// blockedVolume is one that is attached to other nodes and cannot be to several.
type blockedVolume struct {
	attachable
	nodes []string
}

// detachment is a VolumeAttachment to be deleted. verify: only if the node, as it is now, does not use the volume.
type detachment struct {
	attachedVolume
	verify bool
}

// attachPlan is what is to be done, in this order: the node's status, which a kubelet mounts by, is written before anything is detached.
type attachPlan struct {
	attached []corev1.AttachedVolume // that the node's status is to name, in order
	news     []attachable            // of these, those that it does not name yet
	create   []attachable
	blocked  []blockedVolume
	failed   []failedAttachment
	detach   []detachment
	again    time.Duration // when time alone may change the plan; 0: never
}

// failedAttachment is a volume that its driver could not attach.
type failedAttachment struct {
	attachable
	err *storagev1.VolumeError
	uid string
}

// planAttachments decides about one node.
func planAttachments(v attachView) attachPlan {
	var p attachPlan
	for _, name := range sortedVolumes(v.wanted) {
		w := v.wanted[name]
		va, has := v.has[name]
		switch {
		case !has:
			if nodes := v.elsewhere(name); len(nodes) > 0 && !sharable(w.pv) {
				p.blocked = append(p.blocked, blockedVolume{w, nodes})
			} else if v.node != nil {
				p.create = append(p.create, w)
			}
		case va.leaving: // made again when it is gone
		case va.Status.Attached:
			p.attached = append(p.attached, corev1.AttachedVolume{Name: name})
			if !v.reported(name) {
				p.news = append(p.news, w)
			}
		case va.Status.AttachError != nil:
			p.failed = append(p.failed, failedAttachment{w, va.Status.AttachError, string(va.UID)})
		}
	}
	for _, name := range sortedVolumes(v.has) {
		if _, wanted := v.wanted[name]; !wanted && !v.has[name].leaving {
			v.leave(&p, v.has[name])
		}
	}
	slices.SortFunc(p.attached, func(a, b corev1.AttachedVolume) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return p
}

// leave decides about a volume that nobody wants: it is detached when the node does not use it. Of a node that is not healthy it is taken after a
// while, of one that is out of service at once.
func (v *attachView) leave(p *attachPlan, va attachedVolume) {
	waited := v.now.Sub(v.since[va.volume])
	expired := waited >= forceAfter && !v.noForce
	mounted := v.node == nil || slices.Contains(v.node.Status.VolumesInUse, va.volume)
	gone := v.node != nil && slices.ContainsFunc(v.node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
	if mounted && !gone && !(expired && !healthy(v.node)) {
		if va.Status.Attached {
			p.attached = append(p.attached, corev1.AttachedVolume{Name: va.volume})
		}
		if !healthy(v.node) && !v.noForce {
			p.again = forceAfter - waited
		}
		return
	}
	p.detach = append(p.detach, detachment{va, !expired && !gone})
}

// reported tells whether the node's status names a volume.
func (v *attachView) reported(name corev1.UniqueVolumeName) bool {
	return v.node != nil && slices.ContainsFunc(v.node.Status.VolumesAttached, func(a corev1.AttachedVolume) bool { return a.Name == name })
}

func healthy(node *corev1.Node) bool {
	return node != nil && loop.NodeReady(node)
}

// sharable reports whether a volume may be attached to several nodes.
func sharable(pv *corev1.PersistentVolume) bool {
	return slices.ContainsFunc(pv.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool {
		return m == corev1.ReadWriteMany || m == corev1.ReadOnlyMany
	})
}

func sortedVolumes[V any](m map[corev1.UniqueVolumeName]V) []corev1.UniqueVolumeName {
	out := make([]corev1.UniqueVolumeName, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// newAttachment is the VolumeAttachment of a volume on a node.
func newAttachment(pv *corev1.PersistentVolume, node string) *storagev1.VolumeAttachment {
	return &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: attachmentName(uniqueName(pv), node)},
		Spec: storagev1.VolumeAttachmentSpec{Attacher: pv.Spec.CSI.Driver, NodeName: node,
			Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv.Name}},
	}
}

// blockedText says to one of a volume's pods why it waits: others that have the volume, of other namespaces only how many.
func blockedText(pv string, pod *corev1.Pod, others []*corev1.Pod) string {
	var local []string
	for _, o := range others {
		if o.Namespace == pod.Namespace {
			local = append(local, o.Name)
		}
	}
	slices.Sort(local)
	far := len(others) - len(local)
	msg := ""
	switch {
	case len(others) == 0:
		msg = "Volume is already exclusively attached to one node, waiting on detach before it can be attached to another node"
	case len(local) == 0:
		msg = fmt.Sprintf("Volume is already used by %d pod(s) in different namespaces", far)
	case far > 0:
		msg = fmt.Sprintf("Volume is already used by pod(s) %s and %d pod(s) in different namespaces", strings.Join(local, ", "), far)
	default:
		msg = "Volume is already used by pod(s) " + strings.Join(local, ", ")
	}
	return fmt.Sprintf("Waiting for detach for volume %q %s", pv, msg)
}
