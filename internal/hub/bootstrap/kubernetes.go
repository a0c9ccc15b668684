package bootstrap

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"golang.org/x/sync/errgroup"
)

// ensureKubernetes makes the Service kubernetes and its endpoints what they should be.
func ensureKubernetes(ctx context.Context, door client.Interface, cfg *Config) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return put(ctx, door, client.Services, kubernetesService(cfg), func(have, want *corev1.Service) bool {
			// Upstream gives back what matters for reaching the API and leaves the rest to whoever changed it.
			same := have.Spec.Type == want.Spec.Type && len(have.Spec.Ports) == 1 &&
				have.Spec.Ports[0].Port == want.Spec.Ports[0].Port && have.Spec.Ports[0].TargetPort == want.Spec.Ports[0].TargetPort
			have.Spec.Type, have.Spec.Ports = want.Spec.Type, want.Spec.Ports
			return same
		})
	})
	g.Go(func() error {
		return put(ctx, door, client.EndpointsResource, kubernetesEndpoints(cfg), func(have, want *corev1.Endpoints) bool {
			same := equality.Semantic.DeepEqual(have.Subsets, want.Subsets) && have.Labels[discoveryv1.LabelSkipMirror] == "true"
			have.Subsets, have.Labels = want.Subsets, merge(have.Labels, want.Labels)
			return same
		})
	})
	g.Go(func() error {
		return put(ctx, door, client.EndpointSlices, kubernetesSlice(cfg), func(have, want *discoveryv1.EndpointSlice) bool {
			same := equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && equality.Semantic.DeepEqual(have.Ports, want.Ports) &&
				have.Labels[discoveryv1.LabelServiceName] == "kubernetes"
			have.Endpoints, have.Ports, have.Labels = want.Endpoints, want.Ports, merge(have.Labels, want.Labels)
			return same
		})
	})
	return g.Wait()
}

// put creates want, or lets fix make a copy of what is there the same; fix returns true when nothing was to do.
func put[T api.Object](ctx context.Context, door client.Interface, res schema.GroupVersionResource, want T, fix func(have, want T) bool) error {
	for {
		have, err := client.Get[T](ctx, door, res, want.GetNamespace(), want.GetName())
		switch {
		case apierrors.IsNotFound(err):
			if _, err = client.Create(ctx, door, res, want.DeepCopyObject().(T)); apierrors.IsAlreadyExists(err) {
				continue
			}
		case err == nil:
			obj := have.DeepCopyObject().(T)
			if fix(obj, want) {
				return nil
			}
			if _, err = client.Update(ctx, door, res, obj); apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("bootstrap %s %s/%s: %w", res.Resource, want.GetNamespace(), want.GetName(), err)
		}
		return nil
	}
}

// Run keeps the Service kubernetes and its endpoints while the hub runs: a change to any of them is put right, and when the
// hub moves to another address they, and what nodes read that join, follow.
func Run(ctx context.Context, door client.Interface, cfg Config, log *slog.Logger) error {
	due := make(chan struct{}, 1)
	due <- struct{}{}
	opts := cache.Options{Namespace: metav1.NamespaceDefault, FieldSelector: "metadata.name=kubernetes"}
	set := cache.NewSet(door, log)
	wake(cache.For[*corev1.Service](set, client.Services, opts), due)
	wake(cache.For[*corev1.Endpoints](set, client.EndpointsResource, opts), due)
	wake(cache.For[*discoveryv1.EndpointSlice](set, client.EndpointSlices, opts), due)
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	for {
		select {
		case <-ctx.Done():
			<-ended
			return ctx.Err()
		case to := <-cfg.Moved:
			cfg.Advertise = to
			log.Info("the API server has another address", "address", cfg.Advertise)
			if err := put(ctx, door, client.ConfigMaps, clusterInfo(&cfg), followAddress); err != nil {
				log.Warn("keep the cluster's address", "error", err)
			}
		case <-due:
		}
		if err := ensureKubernetes(ctx, door, &cfg); err != nil && ctx.Err() == nil {
			log.Warn("keep the kubernetes service", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			kick(due)
		}
	}
}

// followAddress puts the address into the kubeconfig of cluster-info, which also holds signatures for tokens.
func followAddress(have, want *corev1.ConfigMap) bool {
	same := have.Data["kubeconfig"] == want.Data["kubeconfig"]
	have.Data = merge(have.Data, want.Data)
	return same
}

func wake[T api.Object](i *cache.Informer[T], due chan struct{}) {
	i.Handle(cache.Handler[T]{
		Update: func(_, _ T) { kick(due) },
		Delete: func(T) { kick(due) },
	})
}

func kick(due chan struct{}) {
	select {
	case due <- struct{}{}:
	default:
	}
}
