package volume

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
)

// Reasons of VolumeBinding's filter.
const (
	noMatch   = "node(s) didn't find available persistent volumes to bind"
	elsewhere = "node(s) didn't match PersistentVolume's node affinity"
	noSpace   = "node(s) did not have enough free storage"
	noVolume  = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
	unbound   = "pod has unbound immediate PersistentVolumeClaims"
)

// Binding is VolumeBinding. For the pod at hand it knows what its claims are (wants) and, of each node that passed, which volumes
// they would get there (found). Reserve puts what the chosen node's are into the account of what is given away but not written, so that
// no other pod is given the same; PreBind writes it and waits until claims and volumes are bound. Make one with NewBinding.
type Binding struct {
	fits
	see    *Storage
	within time.Duration // that claims and volumes are waited for

	wants wants // of the scheduler's goroutine, like found
	found map[string]given

	mu struct {
		sync.Mutex
		reserved map[types.UID]given
		given    account
	}
}

// wants are the claims of one pod.
type wants struct {
	pod     types.UID
	bound   []*corev1.PersistentVolumeClaim
	waiting []*corev1.PersistentVolumeClaim       // to be bound where the pod is to run
	offers  map[string][]*corev1.PersistentVolume // the volumes there are for those, by class
}

// given is what a pod gets on one node: volumes, each with the claim that it is for, and claims that volumes are to be made for.
type given struct {
	volumes []pair
	made    []*corev1.PersistentVolumeClaim
	node    string
}

type pair struct {
	volume *corev1.PersistentVolume
	claim  *corev1.PersistentVolumeClaim
}

// BindWithin is upstream's default of VolumeBindingArgs.bindTimeoutSeconds.
const BindWithin = 10 * time.Minute

// NewBinding makes the plugin VolumeBinding, which waits so long for volumes to be bound.
func NewBinding(see *Storage, within time.Duration) *Binding {
	b := &Binding{see: see, within: within}
	b.mu.reserved = map[types.UID]given{}
	b.mu.given = newAccount()
	return b
}

// Name implements plugin.Plugin.
func (*Binding) Name() string { return "VolumeBinding" }

// PreFilter implements plugin.PreFilter.
func (b *Binding) PreFilter(pod *plugin.Pod) plugin.Verdict {
	if !pod.Claimed {
		return plugin.Verdict{}
	}
	if err := b.look(pod); err != nil {
		return plugin.Unresolvable(err.Error())
	}
	return plugin.Verdict{}
}

// look works out what the claims of a pod are, or why it can be placed nowhere.
func (b *Binding) look(pod *plugin.Pod) error {
	w := wants{pod: pod.UID, offers: map[string][]*corev1.PersistentVolume{}}
	b.wants, b.found = wants{}, map[string]given{}
	immediate := false
	for i := range pod.Spec.Volumes {
		name, own := volumes.ClaimOf(pod.Pod, &pod.Spec.Volumes[i])
		if name == "" {
			continue
		}
		claim, err := b.usable(pod, name, own)
		if err != nil {
			return err
		}
		if volumes.Bound(claim) {
			w.bound = append(w.bound, claim)
			continue
		}
		class, _ := b.see.Class(volumes.Class(claim))
		waits, err := volumes.Waits(class)
		if err != nil {
			return err
		}
		if waits && claim.Spec.VolumeName == "" {
			w.waiting = append(w.waiting, claim)
			w.offers[volumes.Class(claim)] = nil
		} else {
			immediate = true
		}
	}
	if immediate {
		return fmt.Errorf(unbound)
	}
	for class := range w.offers {
		w.offers[class] = b.offered(class)
	}
	slices.SortStableFunc(w.waiting, func(x, y *corev1.PersistentVolumeClaim) int { // the smallest first, or it might take what a larger needs
		a := x.Spec.Resources.Requests[corev1.ResourceStorage]
		return a.Cmp(y.Spec.Resources.Requests[corev1.ResourceStorage])
	})
	b.wants = w
	return nil
}

// usable returns a pod's claim, or why the pod must not have it.
func (b *Binding) usable(pod *plugin.Pod, name string, own bool) (*corev1.PersistentVolumeClaim, error) {
	claim, ok := b.claim(pod.Namespace, name)
	switch {
	case !ok && own:
		return nil, fmt.Errorf("waiting for ephemeral volume controller to create the persistentvolumeclaim %q", name)
	case !ok:
		return nil, fmt.Errorf("persistentvolumeclaim %q not found", name)
	case claim.Status.Phase == corev1.ClaimLost:
		return nil, fmt.Errorf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", name, claim.Spec.VolumeName)
	case claim.DeletionTimestamp != nil:
		return nil, fmt.Errorf("persistentvolumeclaim %q is being deleted", name)
	case own:
		return claim, volumes.MadeFor(pod.Pod, claim)
	}
	return claim, nil
}

// Filter implements plugin.Filter.
func (b *Binding) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	if !pod.Claimed {
		return plugin.Verdict{}
	}
	if b.wants.pod != pod.UID {
		if err := b.look(pod); err != nil {
			return plugin.Unresolvable(err.Error())
		}
	}
	g, reasons := b.wants.on(node.Node, b.see, b.volume)
	if len(reasons) > 0 {
		return plugin.Verdict{Reasons: reasons, Unresolvable: true}
	}
	b.found[node.Name] = g
	return plugin.Verdict{}
}

// Events implements plugin.Rejecting.
func (*Binding) Events() plugin.Event {
	return plugin.NodeAdded | plugin.NodeLabel | plugin.StorageChanged
}

// Helps implements plugin.Rejecting.
func (*Binding) Helps(pod *plugin.Pod, c plugin.Change) bool {
	if c.Event&plugin.StorageChanged == 0 {
		return true
	}
	switch now := c.Object.(type) {
	case *corev1.PersistentVolumeClaim:
		return has(pod, now)
	case *corev1.PersistentVolume:
		return true
	case *storagev1.StorageClass:
		was, had := c.Previous.(*storagev1.StorageClass)
		return !had || !equality.Semantic.DeepEqual(was.AllowedTopologies, now.AllowedTopologies)
	case *storagev1.CSIStorageCapacity:
		was, had := c.Previous.(*storagev1.CSIStorageCapacity)
		return !had || limit(now) != nil && (limit(was) == nil || limit(now).Value() > limit(was).Value())
	case *storagev1.CSINode:
		was, had := c.Previous.(*storagev1.CSINode)
		return !had || was.Annotations[corev1.MigratedPluginsAnnotationKey] != now.Annotations[corev1.MigratedPluginsAnnotationKey]
	case *storagev1.CSIDriver:
		was, had := c.Previous.(*storagev1.CSIDriver)
		return had && tells(was) && !tells(now)
	}
	return false
}

// has reports whether a claim is one of the pod's.
func has(pod *plugin.Pod, claim *corev1.PersistentVolumeClaim) bool {
	return claim.Namespace == pod.Namespace && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		name, _ := volumes.ClaimOf(pod.Pod, &v)
		return name == claim.Name
	})
}

// tells reports whether a driver says how much storage it has where.
func tells(d *storagev1.CSIDriver) bool {
	return d.Spec.StorageCapacity != nil && *d.Spec.StorageCapacity
}
