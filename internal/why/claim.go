package why

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// ClaimFacts are what the answer of a claim of a volume is made of.
type ClaimFacts struct {
	Claim   *corev1.PersistentVolumeClaim
	Class   *storagev1.StorageClass // that it names; nil when there is none of that name
	Volumes []*corev1.PersistentVolume
	Users   []string        // pods that have it
	Events  []*corev1.Event // about it
}

// Claim answers for a claim.
func Claim(f ClaimFacts) *Answer {
	c := f.Claim
	a := &Answer{Kind: "persistentvolumeclaim", Namespace: c.Namespace, Name: c.Name, State: orPending(c.Status.Phase)}
	switch {
	case c.DeletionTimestamp != nil:
		a.State = "Terminating"
		a.held("pvc", c.Finalizers)
		if len(f.Users) > 0 && slices.Contains(c.Finalizers, "kubernetes.io/pvc-protection") {
			a.find(Finding{What: "pods have it: " + strings.Join(f.Users, ", "), Mend: "delete them, or scale down what makes them"})
		}
	case c.Status.Phase == corev1.ClaimLost:
		a.find(Finding{What: "its volume " + c.Spec.VolumeName + " is gone", Mend: "restore the volume, or make the claim anew"})
	case c.Status.Phase != corev1.ClaimBound:
		f.unbound(a)
	default:
		f.bound(a)
	}
	a.Fine = len(a.Findings) == 0
	return a
}

// unbound says why a claim has no volume.
func (f ClaimFacts) unbound(a *Answer) {
	c := f.Claim
	class := ""
	if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	size := c.Spec.Resources.Requests[corev1.ResourceStorage]
	switch {
	case c.Spec.VolumeName != "":
		i := slices.IndexFunc(f.Volumes, func(v *corev1.PersistentVolume) bool { return v.Name == c.Spec.VolumeName })
		switch {
		case i < 0:
			a.find(Finding{What: "the volume " + c.Spec.VolumeName + " that it names does not exist", Mend: "create the volume, or leave spec.volumeName out in a new claim"})
		case f.Volumes[i].Spec.ClaimRef != nil && f.Volumes[i].Spec.ClaimRef.UID != c.UID && f.Volumes[i].Spec.ClaimRef.UID != "":
			r := f.Volumes[i].Spec.ClaimRef
			a.find(Finding{What: fmt.Sprintf("the volume %s that it names is %s/%s's (%s)", c.Spec.VolumeName, r.Namespace, r.Name, f.Volumes[i].Status.Phase),
				Mend: "let the volume go: kubectl patch pv " + c.Spec.VolumeName + ` --type=merge -p '{"spec":{"claimRef":null}}'`})
		}
	case class == "":
		a.find(Finding{What: fmt.Sprintf("it names no class, and none of %d volumes without one is free and holds %s", len(f.Volumes), size.String()),
			Mend: "create such a volume, or name a class: kubectl get storageclasses"})
	case f.Class == nil:
		a.find(Finding{What: "the class " + class + " that it names does not exist", Mend: "create it, or name another in a new claim: kubectl get storageclasses"})
	case f.Class.VolumeBindingMode != nil && *f.Class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer && len(f.Users) == 0:
		a.find(Finding{What: "no pod has it, and the class " + class + " makes volumes where the first pod runs (WaitForFirstConsumer)", Mend: "create a pod that uses it"})
	default:
		a.find(Finding{What: "a volume of " + size.String() + " is to be made", Who: "the provisioner " + f.Class.Provisioner, Mend: "look whether the driver runs"})
	}
	for _, e := range f.Events {
		if e.Type == corev1.EventTypeWarning {
			a.find(Finding{What: e.Reason + ": " + e.Message, Who: e.Source.Component + e.ReportingController})
		}
	}
}

// bound says what is left to be done about a claim that has a volume.
func (f ClaimFacts) bound(a *Answer) {
	c := f.Claim
	want, have := c.Spec.Resources.Requests[corev1.ResourceStorage], c.Status.Capacity[corev1.ResourceStorage]
	if want.Cmp(have) > 0 {
		what := fmt.Sprintf("it has %s and wants %s", have.String(), want.String())
		for _, k := range c.Status.Conditions {
			what += fmt.Sprintf("; %s: %s", k.Type, k.Message)
		}
		a.find(Finding{What: what, Who: "persistentvolume-expander-controller and the storage driver"})
	}
}
