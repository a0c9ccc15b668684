package identity

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// servingSigner is the signer that the bundle of the API server's authorities is published for.
const servingSigner = "kubernetes.io/kube-apiserver-serving"

// bundleName is the name of the ClusterTrustBundle of a signer with that content: a new content is a new object, so that nobody sees
// half of a change.
func bundleName(signer string, content []byte) string {
	sum := sha256.Sum256(content)
	return fmt.Sprintf("%s:%x", strings.ReplaceAll(signer, "/", ":"), sum[:12])
}

// NewTrustBundle makes the kube-apiserver-serving-clustertrustbundle-publisher-controller: there is one ClusterTrustBundle of the signer
// kubernetes.io/kube-apiserver-serving, with the bundle (PEM) that verifies the hub. It is written before others are deleted. Account:
// kube-apiserver-serving-clustertrustbundle-publisher.
func NewTrustBundle(env loop.Env, content []byte) loop.Runner {
	queue := loop.NewQueue()
	bundles := cache.For[*certificatesv1.ClusterTrustBundle](env.Informers, client.ClusterTrustBundles, cache.Options{FieldSelector: "spec.signerName=" + servingSigner})
	again := func(*certificatesv1.ClusterTrustBundle) { queue.Add(servingSigner) }
	bundles.Handle(cache.Handler[*certificatesv1.ClusterTrustBundle]{Add: again, Update: func(_, b *certificatesv1.ClusterTrustBundle) { again(b) }, Delete: again})
	queue.Add(servingSigner)
	name := bundleName(servingSigner, content)
	put := func(ctx context.Context) error {
		have, ok := bundles.Get("", name)
		if !ok {
			_, err := client.Create(ctx, env.Door, client.ClusterTrustBundles, &certificatesv1.ClusterTrustBundle{
				ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: servingSigner, TrustBundle: string(content)},
			})
			return unlessGone(err)
		}
		if have.Spec.TrustBundle == string(content) {
			return nil
		}
		have = have.DeepCopy()
		have.Spec.TrustBundle = string(content)
		_, err := client.Update(ctx, env.Door, client.ClusterTrustBundles, have)
		return err
	}
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{bundles.Synced()},
		Reconcile: func(ctx context.Context, _ string) (time.Duration, error) {
			if err := put(ctx); err != nil {
				return 0, err
			}
			for _, b := range bundles.List("") {
				if b.Name == name {
					continue
				}
				if err := client.Delete(ctx, env.Door, client.ClusterTrustBundles, "", b.Name, ""); err != nil && !apierrors.IsNotFound(err) {
					return 0, err
				}
			}
			return 0, nil
		},
	}
}
