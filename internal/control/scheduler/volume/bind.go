package volume

import (
	"context"
	"fmt"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reserve implements plugin.Reserve.
func (b *Binding) Reserve(pod *plugin.Pod, node *plugin.Node) error {
	if !pod.Claimed || b.wants.pod != pod.UID {
		return nil
	}
	g := b.found[node.Name]
	if len(g.volumes)+len(g.made) == 0 {
		return nil // all are bound
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, p := range g.volumes {
		pv, changed := volumes.Given(p.volume, p.claim)
		if changed {
			b.mu.given.volumes[pv.Name] = entry[*corev1.PersistentVolume]{obj: pv}
		}
		g.volumes[i].volume = pv
	}
	for i, claim := range g.made {
		claim = claim.DeepCopy()
		metav1.SetMetaDataAnnotation(&claim.ObjectMeta, volumes.SelectedNode, node.Name)
		b.mu.given.claims[claim.Namespace+"/"+claim.Name] = entry[*corev1.PersistentVolumeClaim]{obj: claim}
		g.made[i] = claim
	}
	b.mu.reserved[pod.UID] = g
	return nil
}

// Unreserve implements plugin.Reserve. What has been written stays: the binder goes on from there, and the next attempt finds it.
func (b *Binding) Unreserve(pod *plugin.Pod, _ string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, ok := b.mu.reserved[pod.UID]
	if !ok {
		return
	}
	delete(b.mu.reserved, pod.UID)
	for _, p := range g.volumes {
		if e := b.mu.given.volumes[p.volume.Name]; !e.written {
			delete(b.mu.given.volumes, p.volume.Name)
		}
	}
	for _, claim := range g.made {
		key := claim.Namespace + "/" + claim.Name
		if e := b.mu.given.claims[key]; !e.written {
			delete(b.mu.given.claims, key)
		}
	}
}

// Waits reports whether PreBind may take long for a pod, so that it must not hold others up.
func (b *Binding) Waits(pod *plugin.Pod) bool {
	if !pod.Claimed {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, waits := b.mu.reserved[pod.UID]
	return waits
}

// PreBind implements plugin.PreBind: it writes what was reserved and waits until the claims are bound.
func (b *Binding) PreBind(ctx context.Context, pod *plugin.Pod, node string) error {
	b.mu.Lock()
	g, ok := b.mu.reserved[pod.UID]
	b.mu.Unlock()
	if !ok {
		return nil
	}
	if err := b.write(ctx, &g); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, b.within)
	defer cancel()
	if err := b.see.Await(waiting, func() (bool, error) { return b.complete(pod, &g) }); err != nil {
		return fmt.Errorf("binding volumes: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.reserved, pod.UID)
	return nil
}

// write lets volumes name their claims, and claims the node that theirs are to be made for.
func (b *Binding) write(ctx context.Context, g *given) error {
	for i, p := range g.volumes {
		pv, err := b.see.UpdateVolume(ctx, p.volume)
		if err != nil {
			return err
		}
		g.volumes[i].volume = pv
		b.mu.Lock()
		b.mu.given.volumes[pv.Name] = entry[*corev1.PersistentVolume]{obj: pv, written: true}
		b.mu.Unlock()
	}
	for i, claim := range g.made {
		claim, err := b.see.UpdateClaim(ctx, claim)
		if err != nil {
			return err
		}
		g.made[i] = claim
		b.mu.Lock()
		b.mu.given.claims[claim.Namespace+"/"+claim.Name] = entry[*corev1.PersistentVolumeClaim]{obj: claim, written: true}
		b.mu.Unlock()
	}
	return nil
}

// complete reports whether all that a pod was given is bound to it, or why that will not come about.
func (b *Binding) complete(pod *plugin.Pod, g *given) (bool, error) {
	node, ok := b.see.Node(g.node)
	if !ok {
		return false, fmt.Errorf("failed to get node %q: node %q not found", g.node, g.node)
	}
	if now, ok := b.see.Pod(pod.Namespace, pod.Name); !ok || now.UID != pod.UID {
		return false, fmt.Errorf("pod does not exist any more: pod %q not found", pod.Name)
	}
	for _, p := range g.volumes {
		if ok, err := b.took(p, node); !ok {
			return false, err
		}
	}
	for _, claim := range g.made {
		if ok, err := b.made(claim, node); !ok {
			return false, err
		}
	}
	return true, nil
}

// took reports whether a claim has the volume that it was given.
func (b *Binding) took(p pair, node *corev1.Node) (bool, error) {
	pv, ok := b.see.Volume(p.volume.Name)
	if !ok {
		return false, fmt.Errorf("failed to check binding: could not find v1.PersistentVolume %q", p.volume.Name)
	}
	claim, ok := b.see.Claim(p.claim.Namespace, p.claim.Name)
	if !ok {
		return false, fmt.Errorf("failed to check binding: could not find v1.PersistentVolumeClaim %q", p.claim.Namespace+"/"+p.claim.Name)
	}
	if version(pv) < version(p.volume) {
		return false, nil
	}
	if err := volumes.OnNode(pv, node); err != nil {
		return false, fmt.Errorf("pv %q node affinity doesn't match node %q: %w", pv.Name, node.Name, err)
	}
	if pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID == "" {
		return false, fmt.Errorf("ClaimRef got reset for pv %q", pv.Name)
	}
	return volumes.Bound(claim), nil
}

// made reports whether a claim has the volume that was to be made for it.
func (b *Binding) made(claim *corev1.PersistentVolumeClaim, node *corev1.Node) (bool, error) {
	now, ok := b.see.Claim(claim.Namespace, claim.Name)
	if !ok {
		return false, fmt.Errorf("failed to check provisioning pvc: could not find v1.PersistentVolumeClaim %q", claim.Namespace+"/"+claim.Name)
	}
	if version(now) < version(claim) {
		return false, nil
	}
	switch chosen := now.Annotations[volumes.SelectedNode]; {
	case now.Annotations == nil:
		return false, fmt.Errorf("selectedNode annotation reset for PVC %q", now.Name)
	case chosen != node.Name:
		return false, fmt.Errorf("provisioning failed for PVC %q", now.Name)
	}
	if name := now.Spec.VolumeName; name != "" {
		pv, ok := b.see.Volume(name)
		if !ok {
			return false, nil
		}
		if err := volumes.OnNode(pv, node); err != nil {
			return false, fmt.Errorf("pv %q node affinity doesn't match node %q: %w", pv.Name, node.Name, err)
		}
	}
	return volumes.Bound(now), nil
}
