package object

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/node/volume"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Reader reads config maps and secrets for the pods of a node. Those that the pods' volumes show are watched, each by a watch of its
// own, because a kubelet may not list others; a change of one calls wake for every pod that shows it. Those that only variables or
// pull secrets name are read from the hub when they are asked for.
//
// Invariant: an object is watched exactly while at least one registered pod shows it. wake is called without the lock held.
type Reader struct {
	door client.Interface
	log  *slog.Logger
	wake func(types.UID)
	ctx  context.Context // of Run; the watches end with it
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		watched map[objectKey]*watched
		refs    map[types.UID][]objectKey // what each registered pod shows
		bundles *bundles
		stale   map[types.UID]string // resource version of the pod that its volumes last showed, "" when an object has changed since
	}
}

// objectKey names a config map, or a secret.
type objectKey struct {
	secret          bool
	namespace, name string
}

// watched is one object that is watched, and the pods that show it.
type watched struct {
	users   map[types.UID]bool
	cancel  context.CancelFunc
	get     func() (api.Object, bool)
	isReady func() bool
}

func New(door client.Interface, log *slog.Logger, wake func(types.UID)) *Reader {
	o := &Reader{door: door, log: log, wake: wake}
	o.mu.watched = map[objectKey]*watched{}
	o.mu.refs = map[types.UID][]objectKey{}
	o.mu.stale = map[types.UID]string{}
	return o
}

// Begin lets watches be made; they end with ctx. Nothing may be registered before.
func (o *Reader) Begin(ctx context.Context) { o.ctx = ctx }

// Wait returns when every watch has ended.
func (o *Reader) Wait() { o.wg.Wait() }

// Register watches what a pod's volumes show.
func (o *Reader) Register(pod *corev1.Pod) {
	if o.door == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.refs[pod.UID] != nil {
		return
	}
	keys := []objectKey{}
	add := func(secret bool) func(string) {
		return func(name string) { keys = append(keys, objectKey{secret, pod.Namespace, name}) }
	}
	volume.Refs(pod, add(false), add(true))
	if volume.ShowsTrust(pod) {
		o.bundlesLocked().users[pod.UID] = true
	}
	o.mu.refs[pod.UID] = keys
	for _, key := range keys {
		w := o.mu.watched[key]
		if w == nil {
			w = o.watchLocked(key)
		}
		w.users[pod.UID] = true
	}
}

// Unregister ends the watches that only this pod needed.
func (o *Reader) Unregister(uid types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range o.mu.refs[uid] {
		if w := o.mu.watched[key]; w != nil {
			delete(w.users, uid)
			if len(w.users) == 0 {
				w.cancel()
				delete(o.mu.watched, key)
			}
		}
	}
	o.dropBundlesLocked(uid)
	delete(o.mu.refs, uid)
	delete(o.mu.stale, uid)
}

// Changed reports whether something that the pod's volumes may show has changed since the last call: an object, or (for
// the downward API) the pod itself, by its resource version.
func (o *Reader) Changed(uid types.UID, version string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, known := o.mu.stale[uid]
	o.mu.stale[uid] = version
	return known && was != version
}

// Again makes changed report a change at the next call: what was to be shown could not be.
func (o *Reader) Again(uid types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.stale[uid] = ""
}

func (o *Reader) watchLocked(key objectKey) *watched {
	ctx, cancel := context.WithCancel(o.ctx)
	w := &watched{users: map[types.UID]bool{}, cancel: cancel}
	o.mu.watched[key] = w
	if key.secret {
		follow[*corev1.Secret](ctx, o, key, w, client.Secrets)
	} else {
		follow[*corev1.ConfigMap](ctx, o, key, w, client.ConfigMaps)
	}
	return w
}

func follow[T api.Object](ctx context.Context, o *Reader, key objectKey, w *watched, res schema.GroupVersionResource) {
	inf := cache.New[T](o.door, res, cache.Options{Namespace: key.namespace, FieldSelector: "metadata.name=" + key.name}, o.log)
	tell := func(T) { o.tell(key) }
	inf.Handle(cache.Handler[T]{Add: tell, Update: func(_, obj T) { tell(obj) }, Delete: tell})
	w.get = func() (api.Object, bool) { return inf.Get(key.namespace, key.name) }
	w.isReady = func() bool {
		select {
		case <-inf.Synced():
			return true
		default:
			return false
		}
	}
	o.wg.Go(func() { inf.Run(ctx) })
}

// tell wakes the pods that show an object.
func (o *Reader) tell(key objectKey) {
	o.mu.Lock()
	var users []types.UID
	if w := o.mu.watched[key]; w != nil {
		users = o.staleLocked(w.users)
	}
	o.mu.Unlock()
	for _, uid := range users {
		o.wake(uid)
	}
}

// staleLocked notes that what these pods show has changed, and lists them.
func (o *Reader) staleLocked(users map[types.UID]bool) (out []types.UID) {
	for uid := range users {
		if _, known := o.mu.stale[uid]; known {
			o.mu.stale[uid] = ""
		}
		out = append(out, uid)
	}
	return out
}

func (o *Reader) watchedObject(key objectKey) (api.Object, bool) {
	o.mu.Lock()
	w := o.mu.watched[key]
	o.mu.Unlock()
	if w == nil || !w.isReady() {
		return nil, false
	}
	return w.get()
}

func (o *Reader) ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	if obj, ok := o.watchedObject(objectKey{false, namespace, name}); ok {
		return obj.(*corev1.ConfigMap), nil
	}
	return getObject[*corev1.ConfigMap](ctx, o, client.ConfigMaps, "configmap", namespace, name)
}

func (o *Reader) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	if obj, ok := o.watchedObject(objectKey{true, namespace, name}); ok {
		return obj.(*corev1.Secret), nil
	}
	return getObject[*corev1.Secret](ctx, o, client.Secrets, "secret", namespace, name)
}

func getObject[T api.Object](ctx context.Context, o *Reader, res schema.GroupVersionResource, kind, namespace, name string) (T, error) {
	if o.door == nil {
		var zero T
		return zero, apierrors.NewNotFound(schema.GroupResource{Resource: kind}, namespace+"/"+name)
	}
	obj, err := client.Get[T](ctx, o.door, res, namespace, name)
	if apierrors.IsNotFound(err) { // upstream's kubelet says: configmap "x" not found
		err = apierrors.NewNotFound(schema.GroupResource{Resource: kind}, name)
	}
	return obj, err
}

// Token asks the hub for a service account token bound to a pod.
func (o *Reader) Token(ctx context.Context, pod *corev1.Pod, req *authv1.TokenRequest) (*authv1.TokenRequest, error) {
	if o.door == nil {
		return nil, apierrors.NewServiceUnavailable("no hub to ask for tokens")
	}
	name := pod.Spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	ref := client.Ref{Resource: client.ServiceAccounts, Namespace: pod.Namespace, Name: name, Subresource: "token"}
	out, err := o.door.Create(ctx, ref, req, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	res, ok := out.(*authv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewInternalError(errors.New("unexpected answer"))
	}
	return res, nil
}
