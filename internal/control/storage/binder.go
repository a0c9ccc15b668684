package storage

import (
	"context"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/storage"
	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BinderConfig of the binder.
type BinderConfig struct {
	// Static lets no volumes be made for claims (--enable-dynamic-provisioning=false).
	Static bool
}

// binder is the persistentvolume-binder-controller. Claims are looked at one after the other, and volumes too, so that what one claim
// is given is seen by the next. It is bound with four writes: the volume's claim, its phase, the claim's volume, its phase; whatever is
// missing of them the next look at either makes good.
type binder struct {
	loop.Env
	cfg     BinderConfig
	claims  *view[*corev1.PersistentVolumeClaim]
	volumes *view[*corev1.PersistentVolume]
	classes *cache.Informer[*storagev1.StorageClass]
	pods    *cache.Informer[*corev1.Pod]

	ofClaims, ofVolumes *loop.Queue

	mu struct {
		sync.Mutex
		open map[string]wish  // claims without a volume, by key
		told map[string]event // the last event about an object, by key, so that a look that finds nothing new tells nothing
	}
}

// wish is what a claim without a volume waits for.
type wish struct {
	volume   string // the one that it names
	class    string
	hasClass bool
}

// NewBinder makes the persistentvolume-binder-controller.
func NewBinder(env loop.Env, cfg BinderConfig) loop.Runner {
	b := &binder{
		Env: env, cfg: cfg,
		claims:   viewOf(cache.For[*corev1.PersistentVolumeClaim](env.Informers, client.PersistentVolumeClaims, cache.Options{})),
		volumes:  viewOf(cache.For[*corev1.PersistentVolume](env.Informers, client.PersistentVolumes, cache.Options{})),
		classes:  cache.For[*storagev1.StorageClass](env.Informers, client.StorageClasses, cache.Options{}),
		pods:     cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{}),
		ofClaims: loop.NewQueue(), ofVolumes: loop.NewQueue(),
	}
	b.mu.open, b.mu.told = map[string]wish{}, map[string]event{}
	b.follow()
	synced := []<-chan struct{}{b.claims.Synced(), b.volumes.Synced(), b.classes.Synced(), b.pods.Synced()}
	return loop.All{
		&loop.Controller{Name: env.Name, Queue: b.ofVolumes, Log: env.Log, Synced: synced, Reconcile: b.lookAtVolume},
		&loop.Controller{Name: env.Name, Queue: b.ofClaims, Log: env.Log, Synced: synced, Reconcile: b.lookAtClaim},
	}
}

// follow makes due what a change concerns.
func (b *binder) follow() {
	claim := func(c *corev1.PersistentVolumeClaim) {
		b.wishes(c)
		b.ofClaims.Add(loop.Key(c))
		if c.Spec.VolumeName != "" {
			b.ofVolumes.Add(c.Spec.VolumeName)
		}
	}
	b.claims.Handle(cache.Handler[*corev1.PersistentVolumeClaim]{
		Add: claim, Update: func(_, c *corev1.PersistentVolumeClaim) { claim(c) },
		Delete: func(c *corev1.PersistentVolumeClaim) {
			b.forget(loop.Key(c))
			if c.Spec.VolumeName != "" {
				b.ofVolumes.Add(c.Spec.VolumeName)
				return
			}
			for _, pv := range b.volumes.List("") { // one may have been given to it a moment ago
				if volumes.Names(pv, c) {
					b.ofVolumes.Add(pv.Name)
				}
			}
		},
	})
	volume := func(pv *corev1.PersistentVolume) {
		b.ofVolumes.Add(pv.Name)
		b.wakeFor(pv)
	}
	b.volumes.Handle(cache.Handler[*corev1.PersistentVolume]{
		Add: volume, Update: func(_, pv *corev1.PersistentVolume) { volume(pv) },
		Delete: func(pv *corev1.PersistentVolume) {
			b.forget(pv.Name)
			if ref := pv.Spec.ClaimRef; ref != nil {
				b.ofClaims.Add(loop.KeyOf(ref.Namespace, ref.Name))
			}
		},
	})
	class := func(c *storagev1.StorageClass) {
		b.wake(func(w wish) bool { return !w.hasClass || w.class == c.Name })
	}
	b.classes.Handle(cache.Handler[*storagev1.StorageClass]{Add: class, Update: func(_, c *storagev1.StorageClass) { class(c) }, Delete: class})
	b.pods.Handle(cache.Handler[*corev1.Pod]{Add: b.needs, Update: func(old, p *corev1.Pod) {
		if old.Spec.NodeName != p.Spec.NodeName {
			b.needs(p)
		}
		if loop.PodTerminal(p) && !loop.PodTerminal(old) {
			b.scrubs(p)
		}
	}, Delete: b.scrubs})
}

// wishes notes whether a claim waits for a volume.
func (b *binder) wishes(c *corev1.PersistentVolumeClaim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if metav1.HasAnnotation(c.ObjectMeta, volumes.BindCompleted) {
		delete(b.mu.open, loop.Key(c))
	} else {
		b.mu.open[loop.Key(c)] = wish{c.Spec.VolumeName, volumes.Class(c), volumes.HasClass(c)}
	}
}

// wake makes those claims without a volume due that a change may help.
func (b *binder) wake(helps func(wish) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, w := range b.mu.open {
		if helps(w) {
			b.ofClaims.Add(key)
		}
	}
}

// wakeFor makes the claims due that a volume may be for.
func (b *binder) wakeFor(pv *corev1.PersistentVolume) {
	ref, class := pv.Spec.ClaimRef, volumes.ClassOf(pv)
	if ref != nil {
		b.ofClaims.Add(loop.KeyOf(ref.Namespace, ref.Name))
	}
	b.wake(func(w wish) bool {
		return w.volume == pv.Name || w.volume == "" && ref == nil && w.class == class && pv.Status.Phase == corev1.VolumeAvailable
	})
}

// needs makes the claims of a pod due that wait for a volume: what is said of them depends on the pod.
func (b *binder) needs(p *corev1.Pod) {
	if !volumes.HasClaims(p) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range p.Spec.Volumes {
		name, _ := volumes.ClaimOf(p, &p.Spec.Volumes[i])
		if key := loop.KeyOf(p.Namespace, name); name != "" {
			if _, open := b.mu.open[key]; open {
				b.ofClaims.Add(key)
			}
		}
	}
}

// forget drops what is known of an object that is gone.
func (b *binder) forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.open, key)
	delete(b.mu.told, key)
}

// lookAtClaim carries out the plan for a claim.
func (b *binder) lookAtClaim(ctx context.Context, key string) (time.Duration, error) {
	claim, ok := b.claims.get(loop.SplitKey(key))
	if !ok {
		return 0, nil
	}
	if next := migratedClaim(claim); next != nil {
		_, err := b.updateClaim(ctx, next)
		return 0, gone(err)
	}
	p := planClaim(b.viewOfClaim(claim))
	if p.event != nil && !p.onChange {
		b.tell(claim, p.event)
	}
	switch {
	case p.err != nil:
		return 0, p.err
	case p.bind != nil:
		return 0, gone(b.bind(ctx, p.bind, claim))
	case p.assign != "":
		next := claim.DeepCopy()
		next.Spec.StorageClassName = &p.assign
		_, err := b.updateClaim(ctx, next)
		return 0, gone(err)
	case p.provision != nil:
		return 0, gone(b.provision(ctx, claim, p.provision))
	case p.phase != "" && !(p.onChange && claim.Status.Phase == p.phase):
		next, err := withStatus(claim, p.phase, nil)
		if err != nil || next == nil {
			return 0, err
		}
		if next, err = client.UpdateStatus(ctx, b.Door, client.PersistentVolumeClaims, next); err != nil {
			return 0, gone(err)
		}
		if b.claims.note(next); p.onChange {
			b.tell(next, p.event)
		}
	}
	return 0, nil
}

// viewOfClaim gathers what is decided from.
func (b *binder) viewOfClaim(claim *corev1.PersistentVolumeClaim) claimView {
	v := claimView{claim: claim, provisioning: !b.cfg.Static}
	if name := claim.Spec.VolumeName; name != "" {
		v.volume, _ = b.volumes.get("", name)
		return v
	}
	if class := volumes.Class(claim); class != "" {
		v.class, _ = b.classes.Get("", class)
	}
	if !volumes.HasClass(claim) {
		v.byDefault = defaultClass(b.classes.List(""))
	}
	v.volumes = b.volumes.all()
	if waits, err := volumes.Waits(v.class); waits && err == nil {
		v.waiting = waitingPods(b.pods.List(claim.Namespace), claim.Name)
	}
	return v
}

// defaultClass is the class of claims that name none.
func defaultClass(list []*storagev1.StorageClass) *storagev1.StorageClass {
	var best *storagev1.StorageClass
	for _, c := range list {
		if storage.IsDefaultClass(c) && (best == nil || storage.Before(c, best)) {
			best = c
		}
	}
	return best
}

// waitingPods names the pods without a node that have a claim.
func waitingPods(pods []*corev1.Pod, claim string) []string {
	var out []string
	for _, p := range pods {
		if p.Spec.NodeName != "" || loop.PodTerminal(p) {
			continue
		}
		for i := range p.Spec.Volumes {
			if name, _ := volumes.ClaimOf(p, &p.Spec.Volumes[i]); name == claim {
				out = append(out, p.Name)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// tell records an event unless it says what the last one about the object did.
func (b *binder) tell(obj api.Object, e *event) {
	key := loop.Key(obj)
	b.mu.Lock()
	same := b.mu.told[key] == *e
	b.mu.told[key] = *e
	b.mu.Unlock()
	if !same {
		b.Events.Event(obj, e.kind, e.reason, e.message)
	}
}
