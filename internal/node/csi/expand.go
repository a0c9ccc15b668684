package csi

import (
	"context"
	"fmt"

	"sampan.dev/internal/client"

	csipb "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeExpansionNotRequired is the annotation of a claim with which an external resizer says that nodes have nothing to grow.
const nodeExpansionNotRequired = "volume.kubernetes.io/node-expansion-not-required"

// growth is what is to be done about the size of a volume.
type growth struct {
	size int64 // that it is to have on the node
	do   bool
	tell bool // the claim's status does not say it yet
}

// grow compares a volume, its claim and the size that the node has grown it to last (0: not in this run). The claim's status says whose turn it
// is: a node grows what the resizer has left to it. A volume of several writers is grown on each node, whatever the claim says.
func grow(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, known int64) growth {
	want, has := pv.Spec.Capacity[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	turn := claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage]
	g := growth{size: want.Value()}
	switch {
	case turn == corev1.PersistentVolumeClaimNodeResizePending, turn == corev1.PersistentVolumeClaimNodeResizeInProgress:
		g.do, g.tell = true, true
	case turn == "" && has.Cmp(want) >= 0 && known > 0 && known < g.size:
		_, no := claim.Annotations[nodeExpansionNotRequired]
		for _, m := range claim.Spec.AccessModes {
			g.do = g.do || m == corev1.ReadWriteMany && !no
		}
	}
	return g
}

// expand grows a volume that has become larger, and says so in its claim's status. What fails does not keep the pod from its volume.
func (c *caller) expand(ctx context.Context, staged string, r Result) error {
	claim, pv, err := c.t.Claim(ctx)
	if err != nil {
		return nil // it is looked at again
	}
	g := grow(claim, pv, c.v.size)
	if !g.do {
		c.v.size = max(c.v.size, g.size)
		return nil
	}
	if g.tell && claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage] != corev1.PersistentVolumeClaimNodeResizeInProgress {
		claim, err = c.m.patchClaim(ctx, claim, map[string]any{"allocatedResourceStatuses": map[string]any{"storage": corev1.PersistentVolumeClaimNodeResizeInProgress}})
		if err != nil {
			return nil
		}
	}
	if err := c.callExpand(ctx, pv, g.size, staged, r); err != nil {
		c.tellFailure(ctx, claim, pv, g, err)
		return nil
	}
	c.v.size = g.size
	text := fmt.Sprintf("MountVolume.NodeExpandVolume succeeded for volume %q %s", pv.Name, c.t.Pod.Spec.NodeName)
	c.m.cfg.PodEvent(c.t.Pod, corev1.EventTypeNormal, "FileSystemResizeSuccessful", "%s", text)
	c.m.cfg.ClaimEvent(claim, corev1.EventTypeNormal, "FileSystemResizeSuccessful", "%s", text)
	if !g.tell {
		return nil
	}
	if _, err := c.m.patchClaim(ctx, claim, grown(claim, pv)); err != nil {
		c.m.cfg.Log.Warn("growth of a volume not told", "claim", claim.Namespace+"/"+claim.Name, "error", err)
	}
	return nil
}

func (c *caller) callExpand(ctx context.Context, pv *corev1.PersistentVolume, size int64, staged string, r Result) error {
	secrets, err := c.m.secret(ctx, pv.Spec.CSI.NodeExpandSecretRef)
	if err != nil {
		return err
	}
	path := r.Path
	if c.t.block {
		path = r.Device
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err = c.d.api.NodeExpandVolume(ctx, &csipb.NodeExpandVolumeRequest{VolumeId: c.t.key.handle, VolumePath: path, StagingTargetPath: staged,
		CapacityRange: &csipb.CapacityRange{RequiredBytes: size}, VolumeCapability: c.capability(nil), Secrets: secrets})
	return err
}

// tellFailure says on the pod and in the claim's status that a volume could not be grown. What can never be done is not tried again.
func (c *caller) tellFailure(ctx context.Context, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume, g growth, cause error) {
	c.m.cfg.PodEvent(c.t.Pod, corev1.EventTypeWarning, "VolumeResizeFailed", "NodeExpandVolume.NodeExpandVolume failed for volume %q : Expander.NodeExpand failed to expand the volume : %v", pv.Name, cause)
	if !final(cause) || !g.tell {
		return
	}
	change := map[string]any{"conditions": withCondition(claim, corev1.PersistentVolumeClaimCondition{Type: corev1.PersistentVolumeClaimNodeResizeError,
		Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(), Message: fmt.Sprintf("failed to expand pvc with %v", cause)})}
	switch status.Code(cause) {
	case codes.InvalidArgument, codes.OutOfRange, codes.NotFound:
		change["allocatedResourceStatuses"] = map[string]any{"storage": corev1.PersistentVolumeClaimNodeResizeInfeasible}
	}
	if _, err := c.m.patchClaim(ctx, claim, change); err != nil {
		c.m.cfg.Log.Debug("failure to grow a volume not told", "claim", claim.Namespace+"/"+claim.Name, "error", err)
	}
}

// withCondition are a claim's conditions with one more, in place of one of its type that says the same.
func withCondition(claim *corev1.PersistentVolumeClaim, c corev1.PersistentVolumeClaimCondition) []corev1.PersistentVolumeClaimCondition {
	var out []corev1.PersistentVolumeClaimCondition
	for _, have := range claim.Status.Conditions {
		if have.Type == c.Type && have.Status == c.Status {
			c.LastTransitionTime = have.LastTransitionTime
		}
		if have.Type != c.Type {
			out = append(out, have)
		}
	}
	return append(out, c)
}

// grown is the change of a claim's status when its volume has the size that it was to have: no condition speaks of resizing any more.
func grown(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) map[string]any {
	left := []corev1.PersistentVolumeClaimCondition{}
	for _, c := range claim.Status.Conditions {
		switch c.Type {
		case corev1.PersistentVolumeClaimFileSystemResizePending, corev1.PersistentVolumeClaimResizing,
			corev1.PersistentVolumeClaimControllerResizeError, corev1.PersistentVolumeClaimNodeResizeError:
		default:
			left = append(left, c)
		}
	}
	size := pv.Spec.Capacity[corev1.ResourceStorage]
	return map[string]any{"capacity": map[string]any{"storage": size.String()}, "conditions": left,
		"allocatedResourceStatuses": map[string]any{"storage": nil}}
}

// patchClaim changes the status of a claim that nobody else has changed meanwhile.
func (m *Manager) patchClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim, change map[string]any) (*corev1.PersistentVolumeClaim, error) {
	at := client.Ref{Resource: client.PersistentVolumeClaims, Namespace: claim.Namespace, Name: claim.Name, Subresource: "status"}
	obj, err := client.MergePatch(ctx, m.cfg.Hub, at, map[string]any{"metadata": map[string]any{"resourceVersion": claim.ResourceVersion}, "status": change})
	if err != nil {
		return claim, err
	}
	next, ok := obj.(*corev1.PersistentVolumeClaim)
	if !ok {
		return claim, fmt.Errorf("the API server answered with %T", obj)
	}
	return next, nil
}
