package storage

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// AttachConfig says how volumes are attached and detached.
type AttachConfig struct {
	NoForce bool // a node that is not healthy keeps its volumes for as long as it uses them
}

// attacher makes VolumeAttachments for the volumes that pods want on their nodes, which drivers' attachers act upon, and says in the nodes' status
// which are attached. Its key is a node's name.
//
// What is attached is in the VolumeAttachments alone. Of its own memory are since when a volume is to be detached, which begins
// anew with the process, and what it wrote and the informer does not show: two nodes must never both get a volume of one writer, and one
// that is being detached must not be called attached.
//
// One node is worked on at a time, and only its goroutine uses since and told.
type attacher struct {
	loop.Env
	cfg      AttachConfig
	queue    *loop.Queue
	pods     *cache.Informer[*corev1.Pod]
	nodes    *cache.Informer[*corev1.Node]
	claims   *cache.Informer[*corev1.PersistentVolumeClaim]
	pvs      *cache.Informer[*corev1.PersistentVolume]
	drivers  *cache.Informer[*storagev1.CSIDriver]
	attached *cache.Informer[*storagev1.VolumeAttachment]

	since map[string]map[corev1.UniqueVolumeName]time.Time // by node
	told  map[string]map[string]string                     // by node, and by what waits: what pods were told last
	mu    struct {
		sync.Mutex
		made    map[string]*storagev1.VolumeAttachment      // by name: created, and not in the informer yet
		dropped map[types.UID]bool                          // deleted, which the informer does not show yet
		blocked map[string]map[corev1.UniqueVolumeName]bool // nodes that wait for a volume
	}
}

const podsByNode = "node"

// NewAttacher makes the persistentvolume-attach-detach-controller.
func NewAttacher(env loop.Env, cfg AttachConfig) loop.Runner {
	a := &attacher{Env: env, cfg: cfg, queue: loop.NewQueue(),
		pods:     cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{}),
		nodes:    cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{}),
		claims:   cache.For[*corev1.PersistentVolumeClaim](env.Informers, client.PersistentVolumeClaims, cache.Options{}),
		pvs:      cache.For[*corev1.PersistentVolume](env.Informers, client.PersistentVolumes, cache.Options{}),
		drivers:  cache.For[*storagev1.CSIDriver](env.Informers, client.CSIDrivers, cache.Options{}),
		attached: cache.For[*storagev1.VolumeAttachment](env.Informers, client.VolumeAttachments, cache.Options{}),
		since:    map[string]map[corev1.UniqueVolumeName]time.Time{}, told: map[string]map[string]string{},
	}
	a.mu.made, a.mu.dropped, a.mu.blocked = map[string]*storagev1.VolumeAttachment{}, map[types.UID]bool{}, map[string]map[corev1.UniqueVolumeName]bool{}
	a.pods.AddIndex(podsByNode, func(p *corev1.Pod) []string {
		if p.Spec.NodeName == "" || !volumes.HasClaims(p) {
			return nil
		}
		return []string{p.Spec.NodeName}
	})
	a.attached.AddIndex(podsByNode, func(va *storagev1.VolumeAttachment) []string { return []string{va.Spec.NodeName} })
	a.follow()
	return &loop.Controller{Name: env.Name, Queue: a.queue, Log: env.Log, Reconcile: a.reconcile,
		Synced: []<-chan struct{}{a.pods.Synced(), a.nodes.Synced(), a.claims.Synced(), a.pvs.Synced(), a.drivers.Synced(), a.attached.Synced()}}
}

// follow has nodes looked at when something changes for them.
func (a *attacher) follow() {
	pod := func(p *corev1.Pod) {
		if p.Spec.NodeName != "" && volumes.HasClaims(p) {
			a.queue.Add(p.Spec.NodeName)
		}
	}
	a.pods.Handle(cache.Handler[*corev1.Pod]{Add: pod, Delete: pod, Update: func(old, p *corev1.Pod) {
		if old.Spec.NodeName != p.Spec.NodeName || loop.PodTerminal(old) != loop.PodTerminal(p) || old.UID != p.UID {
			pod(old)
			pod(p)
		}
	}})
	a.nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node) { a.queue.Add(n.Name) },
		Delete: func(n *corev1.Node) { a.queue.Add(n.Name) },
		Update: func(old, n *corev1.Node) {
			if !slices.Equal(old.Status.VolumesInUse, n.Status.VolumesInUse) || !slices.Equal(old.Status.VolumesAttached, n.Status.VolumesAttached) ||
				healthy(old) != healthy(n) || len(old.Spec.Taints) != len(n.Spec.Taints) || old.UID != n.UID {
				a.queue.Add(n.Name)
			}
		},
	})
	a.attached.Handle(cache.Handler[*storagev1.VolumeAttachment]{Add: a.seen, Update: func(_, va *storagev1.VolumeAttachment) { a.seen(va) }, Delete: a.gone})
	claim := func(c *corev1.PersistentVolumeClaim) {
		for _, p := range a.pods.List(c.Namespace) {
			if p.Spec.NodeName != "" && volumes.HasClaims(p) {
				pod(p)
			}
		}
	}
	a.claims.Handle(cache.Handler[*corev1.PersistentVolumeClaim]{Add: claim, Update: func(old, c *corev1.PersistentVolumeClaim) {
		if old.Spec.VolumeName != c.Spec.VolumeName || old.Status.Phase != c.Status.Phase {
			claim(c)
		}
	}})
	// A claim may be seen bound before its volume is seen to be its own.
	pv := func(pv *corev1.PersistentVolume) {
		if pv.Spec.CSI == nil || pv.Spec.ClaimRef == nil {
			return
		}
		if c, ok := a.claims.Get(pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name); ok {
			claim(c)
		}
	}
	a.pvs.Handle(cache.Handler[*corev1.PersistentVolume]{Add: pv, Update: func(old, now *corev1.PersistentVolume) {
		if claimedBy(old) != claimedBy(now) || old.UID != now.UID {
			pv(now)
		}
	}})
	all := func(*storagev1.CSIDriver) {
		for _, n := range a.nodes.List("") {
			a.queue.Add(n.Name)
		}
	}
	a.drivers.Handle(cache.Handler[*storagev1.CSIDriver]{Add: all, Delete: all, Update: func(_, d *storagev1.CSIDriver) { all(d) }})
}

// claimedBy is the UID of the claim that a volume is bound to, empty while there is none.
func claimedBy(pv *corev1.PersistentVolume) types.UID {
	if pv.Spec.ClaimRef == nil {
		return ""
	}
	return pv.Spec.ClaimRef.UID
}

// seen takes a VolumeAttachment that has come or changed.
func (a *attacher) seen(va *storagev1.VolumeAttachment) {
	a.queue.Add(va.Spec.NodeName)
}

// gone takes one that is no more: nodes may wait for its volume.
func (a *attacher) gone(va *storagev1.VolumeAttachment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.mu.dropped, va.UID)
	a.queue.Add(va.Spec.NodeName)
	for node := range a.mu.blocked {
		a.queue.Add(node)
	}
}

func (a *attacher) reconcile(ctx context.Context, name string) (time.Duration, error) {
	v := a.view(name)
	p := planAttachments(v)
	a.tell(&v, &p)
	if v.node != nil && !sameAttached(v.node.Status.VolumesAttached, p.attached) {
		if err := a.writeStatus(ctx, name, p.attached); err != nil {
			return 0, err
		}
	}
	for _, w := range p.news {
		for _, pod := range w.pods {
			a.Events.Event(pod, corev1.EventTypeNormal, "SuccessfulAttachVolume", fmt.Sprintf("AttachVolume.Attach succeeded for volume %q ", w.pv.Name))
		}
	}
	for _, w := range p.create {
		if err := a.create(ctx, w, name); err != nil {
			return 0, err
		}
	}
	for _, d := range p.detach {
		again, err := a.detach(ctx, &d)
		if err != nil {
			return 0, err
		}
		if again {
			return time.Second, nil // the kubelet has just begun to use it: its status comes
		}
	}
	return p.again, nil
}

// view gathers what is decided on.
func (a *attacher) view(name string) attachView {
	v := attachView{name: name, now: time.Now(), noForce: a.cfg.NoForce, wanted: a.wanted(name), has: map[corev1.UniqueVolumeName]attachedVolume{}, elsewhere: func(u corev1.UniqueVolumeName) []string { return a.elsewhere(u, name) }}
	if n, ok := a.nodes.Get("", name); ok {
		v.node = n
	}
	for _, va := range a.of(name) {
		if u, ok := a.volumeOf(va, v.node); ok {
			v.has[u] = attachedVolume{va, u, va.DeletionTimestamp != nil || a.isDropped(va.UID)}
		}
	}
	since := map[corev1.UniqueVolumeName]time.Time{}
	for u, va := range v.has {
		if _, wanted := v.wanted[u]; !wanted && !va.leaving {
			if since[u] = a.since[name][u]; since[u].IsZero() {
				since[u] = v.now
			}
		}
	}
	if a.since[name] = since; len(since) == 0 {
		delete(a.since, name)
	}
	v.since = since
	return v
}

// wanted are the volumes that pods of a node want attached.
func (a *attacher) wanted(node string) map[corev1.UniqueVolumeName]attachable {
	out := map[corev1.UniqueVolumeName]attachable{}
	for _, p := range a.pods.ByIndex(podsByNode, node) {
		if loop.PodTerminal(p) {
			continue
		}
		for i := range p.Spec.Volumes {
			pv, ok := a.volume(p, &p.Spec.Volumes[i])
			if !ok {
				continue
			}
			w := out[uniqueName(pv)]
			w.pv = pv
			if !slices.Contains(w.pods, p) {
				w.pods = append(w.pods, p)
			}
			out[uniqueName(pv)] = w
		}
	}
	return out
}

// volume is what a pod's volume stands for, if that is to be attached.
func (a *attacher) volume(p *corev1.Pod, v *corev1.Volume) (*corev1.PersistentVolume, bool) {
	name, own := volumes.ClaimOf(p, v)
	if name == "" {
		return nil, false
	}
	c, ok := a.claims.Get(p.Namespace, name)
	if !ok || c.Spec.VolumeName == "" || c.Status.Phase != corev1.ClaimBound || own && volumes.MadeFor(p, c) != nil {
		return nil, false
	}
	pv, ok := a.pvs.Get("", c.Spec.VolumeName)
	if !ok || pv.Spec.CSI == nil || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != c.UID {
		return nil, false
	}
	d, _ := a.drivers.Get("", pv.Spec.CSI.Driver)
	return pv, volumes.Attaches(d)
}

// of are the VolumeAttachments of a node, with those that the informer does not show yet.
func (a *attacher) of(node string) []*storagev1.VolumeAttachment {
	out := slices.Clone(a.attached.ByIndex(podsByNode, node))
	for _, va := range a.hidden() {
		if va.Spec.NodeName == node {
			out = append(out, va)
		}
	}
	return out
}

// hidden are the VolumeAttachments that were created and that the informer does not show yet.
func (a *attacher) hidden() (out []*storagev1.VolumeAttachment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	shown, _ := strconv.ParseUint(a.attached.Revision(), 10, 64)
	for name, va := range a.mu.made {
		if at, err := strconv.ParseUint(va.ResourceVersion, 10, 64); err != nil || shown >= at {
			delete(a.mu.made, name)
			continue
		}
		out = append(out, va)
	}
	return out
}

func (a *attacher) isDropped(uid types.UID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.dropped[uid]
}

// volumeOf is the volume of a VolumeAttachment of ours; those that others have made have other names. Of one whose persistent volume is gone the
// node's status may still tell.
func (a *attacher) volumeOf(va *storagev1.VolumeAttachment, node *corev1.Node) (corev1.UniqueVolumeName, bool) {
	var may []corev1.UniqueVolumeName
	if s := va.Spec.Source.PersistentVolumeName; s != nil {
		if pv, ok := a.pvs.Get("", *s); ok && pv.Spec.CSI != nil {
			may = append(may, uniqueName(pv))
		}
	}
	if node != nil {
		may = append(may, node.Status.VolumesInUse...)
		for _, v := range node.Status.VolumesAttached {
			may = append(may, v.Name)
		}
	}
	for _, u := range may {
		if attachmentName(u, va.Spec.NodeName) == va.Name {
			return u, true
		}
	}
	return "", false
}

// elsewhere are the nodes but one to which a volume is, or may be, attached.
func (a *attacher) elsewhere(u corev1.UniqueVolumeName, but string) (out []string) {
	for _, va := range append(slices.Clone(a.attached.List("")), a.hidden()...) {
		if va.Spec.NodeName != but && va.Name == attachmentName(u, va.Spec.NodeName) {
			out = append(out, va.Spec.NodeName)
		}
	}
	slices.Sort(out)
	return out
}

// tell says to pods what their volumes wait for: once for each time that it changes.
func (a *attacher) tell(v *attachView, p *attachPlan) {
	waits, was, told := map[corev1.UniqueVolumeName]bool{}, a.told[v.name], map[string]string{}
	for _, b := range p.blocked {
		u := uniqueName(b.pv)
		waits[u] = true
		var others []*corev1.Pod
		for _, node := range b.nodes {
			others = append(others, a.wanted(node)[u].pods...)
		}
		for _, pod := range b.pods {
			text := blockedText(b.pv.Name, pod, others)
			key := string(pod.UID) + string(u)
			if told[key] = was[key]; told[key] == "" {
				told[key] = text
				a.Events.Event(pod, corev1.EventTypeWarning, "FailedAttachVolume", text)
			}
		}
	}
	for _, f := range p.failed {
		if told[f.uid] = f.err.Time.String(); told[f.uid] != was[f.uid] {
			for _, pod := range f.pods {
				a.Events.Event(pod, corev1.EventTypeWarning, "FailedAttachVolume", fmt.Sprintf("AttachVolume.Attach failed for volume %q : %s", f.pv.Name, f.err.Message))
			}
		}
	}
	if a.told[v.name] = told; len(told) == 0 {
		delete(a.told, v.name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.blocked[v.name] = waits; len(waits) == 0 {
		delete(a.mu.blocked, v.name)
	}
}

func sameAttached(a, b []corev1.AttachedVolume) bool {
	names := func(list []corev1.AttachedVolume) (out []string) {
		for _, v := range list {
			out = append(out, string(v.Name))
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(names(a), names(b))
}

func (a *attacher) writeStatus(ctx context.Context, node string, list []corev1.AttachedVolume) error {
	var next any
	if len(list) > 0 {
		next = list
	}
	at := client.Ref{Resource: client.Nodes, Name: node, Subresource: "status"}
	if _, err := client.MergePatch(ctx, a.Door, at, map[string]any{"status": map[string]any{"volumesAttached": next}}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("tell the volumes of node %s: %w", node, err)
	}
	return nil
}

func (a *attacher) create(ctx context.Context, w attachable, node string) error {
	made, err := client.Create(ctx, a.Door, client.VolumeAttachments, newAttachment(w.pv, node))
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		for _, pod := range w.pods {
			a.Events.Event(pod, corev1.EventTypeWarning, "FailedAttachVolume", fmt.Sprintf("AttachVolume.Attach failed for volume %q : %v", w.pv.Name, err))
		}
		return fmt.Errorf("attach %s to %s: %w", w.pv.Name, node, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.made[made.Name] = made
	return nil
}

// detach deletes a VolumeAttachment. again reports that the node has begun to use the volume meanwhile. The node's status does not call the volume
// attached any more, so that the kubelet begins nothing after this look.
func (a *attacher) detach(ctx context.Context, d *detachment) (again bool, err error) {
	if d.verify {
		n, err := client.Get[*corev1.Node](ctx, a.Door, client.Nodes, "", d.Spec.NodeName)
		if err != nil && !apierrors.IsNotFound(err) {
			return false, err
		}
		if err == nil && slices.Contains(n.Status.VolumesInUse, d.volume) {
			return true, nil
		}
	}
	if err := client.Delete(ctx, a.Door, client.VolumeAttachments, "", d.Name, d.UID); err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("detach %s from %s: %w", d.volume, d.Spec.NodeName, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.attached.Get("", d.Name); there {
		a.mu.dropped[d.UID] = true
	}
	return false, nil
}

// Driven reports whether what is known of a volume's metadata allows it to be a CSI driver's: all but our own are.
func Driven(obj api.Object) bool {
	return obj.GetAnnotations()[volumes.ProvisionedBy] != volumes.LocalProvisioner
}
