package storage

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api/volumes"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// claimView is what is decided from about a claim.
type claimView struct {
	claim     *corev1.PersistentVolumeClaim
	class     *storagev1.StorageClass    // the claim's; nil where it has none, or there is none of the name
	byDefault *storagev1.StorageClass    // what claims without a class get; nil for none
	volume    *corev1.PersistentVolume   // that the claim names; nil where there is none of the name
	volumes   []*corev1.PersistentVolume // all there are; only for a claim that names none
	waiting   []string                   // pods without a node that have the claim; only for a claim that waits for one

	provisioning bool // volumes are made for claims
}

// claimPlan is what is to be done about a claim: at most one of bind, assign and provision, else the phase is written.
type claimPlan struct {
	bind      *corev1.PersistentVolume // the claim and this volume become each other's
	assign    string                   // the class that the claim is to be of
	provision *storagev1.StorageClass  // a volume is to be made by this class's provisioner
	phase     corev1.PersistentVolumeClaimPhase
	event     *event
	onChange  bool // the event tells of the change of phase, and of nothing when that is there already
	err       error
}

// event is one that is to be recorded.
type event struct{ kind, reason, message string }

func normal(reason, format string, args ...any) *event {
	return &event{corev1.EventTypeNormal, reason, fmt.Sprintf(format, args...)}
}

func warning(reason, format string, args ...any) *event {
	return &event{corev1.EventTypeWarning, reason, fmt.Sprintf(format, args...)}
}

// planClaim decides what is to be done about a claim.
func planClaim(v claimView) claimPlan {
	switch {
	case metav1.HasAnnotation(v.claim.ObjectMeta, volumes.BindCompleted):
		return planBoundClaim(v)
	case v.claim.Spec.VolumeName != "":
		return planNamingClaim(v)
	}
	return planFreeClaim(v)
}

// planFreeClaim is about a claim that takes any volume that fits.
func planFreeClaim(v claimView) claimPlan {
	waits, err := volumes.Waits(v.class)
	if err != nil {
		return claimPlan{err: err}
	}
	pv, err := volumes.Search{Volumes: v.volumes, Waits: waits}.Find(v.claim)
	switch {
	case err != nil:
		return claimPlan{err: fmt.Errorf("error finding PV for claim %q: %w", key(v.claim), err)}
	case pv != nil:
		return claimPlan{bind: pv}
	case !volumes.HasClass(v.claim) && v.byDefault != nil:
		return claimPlan{assign: v.byDefault.Name}
	case waits && !metav1.HasAnnotation(v.claim.ObjectMeta, volumes.SelectedNode):
		return claimPlan{phase: corev1.ClaimPending, event: waitingFor(v.waiting)}
	case volumes.Class(v.claim) != "":
		return planProvision(v)
	}
	return claimPlan{phase: corev1.ClaimPending, event: normal("FailedBinding", "no persistent volumes available for this claim and no storage class is set")}
}

func waitingFor(pods []string) *event {
	switch len(pods) {
	case 0:
		return normal("WaitForFirstConsumer", "waiting for first consumer to be created before binding")
	case 1:
		return normal("WaitForPodScheduled", "waiting for pod %s to be scheduled", pods[0])
	}
	return normal("WaitForPodScheduled", "waiting for pods %s to be scheduled", strings.Join(pods, ","))
}

// planProvision is about a claim that a volume is to be made for. Those who make volumes are others; the claim tells them.
func planProvision(v claimView) claimPlan {
	switch name := volumes.Class(v.claim); {
	case !v.provisioning:
		return claimPlan{}
	case v.class == nil:
		return claimPlan{event: warning("ProvisioningFailed", "storageclass.storage.k8s.io %q not found", name)}
	case strings.HasPrefix(v.class.Provisioner, "kubernetes.io/"):
		if _, ok := volumes.Driver(v.class.Provisioner); !ok {
			return claimPlan{event: warning("ProvisioningFailed", "no volume plugin matched name: %s", v.class.Provisioner)}
		}
	}
	return claimPlan{provision: v.class, event: normal("ExternalProvisioning", "Waiting for a volume to be created either by the external provisioner '%s' "+
		"or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.", provisioner(v.class))}
}

// provisioner is who makes the volumes of a class.
func provisioner(class *storagev1.StorageClass) string {
	if driver, ok := volumes.Driver(class.Provisioner); ok {
		return driver
	}
	return class.Provisioner
}

// planNamingClaim is about a claim that names the volume that it wants.
func planNamingClaim(v claimView) claimPlan {
	switch pv := v.volume; {
	case pv == nil:
		return claimPlan{phase: corev1.ClaimPending}
	case pv.Spec.ClaimRef == nil:
		if err := volumes.Satisfies(pv, v.claim); err != nil {
			return claimPlan{phase: corev1.ClaimPending, event: warning("VolumeMismatch", "Cannot bind to requested volume %q: %s", pv.Name, err)}
		}
		return claimPlan{bind: pv}
	case volumes.Names(pv, v.claim):
		return claimPlan{bind: pv}
	default:
		e := warning("FailedBinding", "volume %q already bound to a different claim.", pv.Name)
		if !metav1.HasAnnotation(v.claim.ObjectMeta, volumes.BoundByController) {
			return claimPlan{phase: corev1.ClaimPending, event: e}
		}
		return claimPlan{event: e, err: fmt.Errorf("invalid binding of claim %q to volume %q: volume already claimed by %q",
			key(v.claim), pv.Name, pv.Spec.ClaimRef.Namespace+"/"+pv.Spec.ClaimRef.Name)}
	}
}

// planBoundClaim is about a claim that was bound once.
func planBoundClaim(v claimView) claimPlan {
	lost := func(reason, message string) claimPlan {
		return claimPlan{phase: corev1.ClaimLost, event: warning(reason, "%s", message), onChange: true}
	}
	switch pv := v.volume; {
	case v.claim.Spec.VolumeName == "":
		return lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
	case pv == nil:
		return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	case pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID == v.claim.UID:
		return claimPlan{bind: pv} // changes nothing where all is as it should be
	}
	return lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
}

func key(claim *corev1.PersistentVolumeClaim) string { return claim.Namespace + "/" + claim.Name }
