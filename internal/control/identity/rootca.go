package identity

import (
	"context"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the bundle is and is not for, on the object itself.
const (
	rootCAName            = "kube-root-ca.crt"
	descriptionAnnotation = "kubernetes.io/description"
	rootCADescription     = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. " +
		"No other usage is guaranteed across distributions of Kubernetes clusters."
)

// NewRootCA makes the root-ca-certificate-publisher-controller: every namespace has the ConfigMap kube-root-ca.crt with the
// bundle (PEM) that verifies the hub. Account: root-ca-cert-publisher.
func NewRootCA(env loop.Env, bundle []byte) loop.Runner {
	queue := loop.NewQueue()
	spaces := cache.For[*corev1.Namespace](env.Informers, client.Namespaces, cache.Options{})
	// Only these ConfigMaps, one per namespace, and not all that there are.
	maps := cache.For[*corev1.ConfigMap](env.Informers, client.ConfigMaps, cache.Options{FieldSelector: "metadata.name=" + rootCAName})
	spaces.Handle(cache.Handler[*corev1.Namespace]{
		Add:    func(ns *corev1.Namespace) { queue.Add(ns.Name) },
		Update: func(_, ns *corev1.Namespace) { queue.Add(ns.Name) },
	})
	maps.Handle(cache.Handler[*corev1.ConfigMap]{
		Update: func(_, cm *corev1.ConfigMap) { queue.Add(cm.Namespace) },
		Delete: func(cm *corev1.ConfigMap) { queue.Add(cm.Namespace) },
	})
	p := &rootCA{env, spaces, maps, string(bundle)}
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{spaces.Synced(), maps.Synced()}, Reconcile: p.reconcile,
	}
}

type rootCA struct {
	loop.Env
	spaces *cache.Informer[*corev1.Namespace]
	maps   *cache.Informer[*corev1.ConfigMap]
	bundle string
}

func (p *rootCA) reconcile(ctx context.Context, name string) (time.Duration, error) {
	if ns, ok := p.spaces.Get("", name); !ok || ns.Status.Phase != corev1.NamespaceActive {
		return 0, nil
	}
	cm, ok := p.maps.Get(name, rootCAName)
	if !ok {
		_, err := client.Create(ctx, p.Door, client.ConfigMaps, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: rootCAName, Annotations: map[string]string{descriptionAnnotation: rootCADescription}},
			Data:       map[string]string{"ca.crt": p.bundle},
		})
		return 0, unlessGone(err)
	}
	if len(cm.Data) == 1 && cm.Data["ca.crt"] == p.bundle && cm.Annotations[descriptionAnnotation] != "" {
		return 0, nil
	}
	cm = cm.DeepCopy()
	cm.Data = map[string]string{"ca.crt": p.bundle}
	if cm.Annotations == nil {
		cm.Annotations = map[string]string{}
	}
	cm.Annotations[descriptionAnnotation] = rootCADescription
	_, err := client.Update(ctx, p.Door, client.ConfigMaps, cm)
	return 0, err
}
