package bootstrap

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"golang.org/x/sync/errgroup"
)

// ensureKubernetes makes the Service kubernetes and its endpoints what they should be.
func ensureKubernetes(ctx context.Context, door client.Interface, cfg *Config) error {
	live, err := cfg.live(ctx)
	if err != nil {
		return fmt.Errorf("bootstrap: which API servers live: %w", err)
	}
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
	g.Go(func() error { return ensureEndpoints(ctx, door, cfg, live) })
	return g.Wait()
}

// ensureEndpoints makes the Service's endpoints the servers that live.
func ensureEndpoints(ctx context.Context, door client.Interface, cfg *Config, live []netip.Addr) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return put(ctx, door, client.EndpointsResource, kubernetesEndpoints(cfg, live), func(have, want *corev1.Endpoints) bool {
			same := equality.Semantic.DeepEqual(have.Subsets, want.Subsets) && have.Labels[discoveryv1.LabelSkipMirror] == "true"
			have.Subsets, have.Labels = want.Subsets, merge(have.Labels, want.Labels)
			return same
		})
	})
	g.Go(func() error {
		return put(ctx, door, client.EndpointSlices, kubernetesSlice(cfg, live), func(have, want *discoveryv1.EndpointSlice) bool {
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

// Run keeps the Service kubernetes with its endpoints, and the objects of flow control, while the hub runs: a change to any of
// them is put right, and when the hub moves to another address the former, and what nodes read that join, follow.
func Run(ctx context.Context, door client.Interface, cfg Config, log *slog.Logger) error {
	due, flowDue := make(chan struct{}, 1), make(chan struct{}, 1)
	due <- struct{}{}
	opts := cache.Options{Namespace: metav1.NamespaceDefault, FieldSelector: "metadata.name=kubernetes"}
	set := cache.NewSet(door, log)
	wake(cache.For[*corev1.Service](set, client.Services, opts), due)
	wake(cache.For[*corev1.Endpoints](set, client.EndpointsResource, opts), due)
	wake(cache.For[*discoveryv1.EndpointSlice](set, client.EndpointSlices, opts), due)
	if cfg.serves(client.FlowSchemas) {
		levels := cache.For[*flowcontrolv1.PriorityLevelConfiguration](set, client.PriorityLevels, cache.Options{})
		schemas := cache.For[*flowcontrolv1.FlowSchema](set, client.FlowSchemas, cache.Options{})
		wake(levels, flowDue)
		wake(schemas, flowDue)
		levels.Handle(cache.Handler[*flowcontrolv1.PriorityLevelConfiguration]{Add: func(*flowcontrolv1.PriorityLevelConfiguration) { kick(flowDue) }}) // one that does not belong here
		schemas.Handle(cache.Handler[*flowcontrolv1.FlowSchema]{Add: func(*flowcontrolv1.FlowSchema) { kick(flowDue) }})
	}
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	var renew <-chan time.Time // a server alone has nobody to tell that it still lives, and an idle cluster writes nothing
	if cfg.Masters != nil {
		t := time.NewTicker(renewEvery)
		defer t.Stop()
		renew = t.C
	}
	for {
		select {
		case <-ctx.Done():
			<-ended
			cfg.leave(ctx, door, log)
			return ctx.Err()
		case <-renew:
			if cfg.Identity != nil {
				if err := cfg.Identity.renew(ctx, door); err != nil && ctx.Err() == nil {
					log.Warn("renew the lease of the API server's identity", "error", err)
				}
			}
		case to := <-cfg.Moved:
			cfg.Advertise = to
			log.Info("the API server has another address", "address", cfg.Advertise)
			if err := put(ctx, door, client.ConfigMaps, clusterInfo(&cfg), followAddress); err != nil {
				log.Warn("keep the cluster's address", "error", err)
			}
		case <-cfg.Other:
			cfg.DoOther(ctx)
			continue
		case <-flowDue:
			again(ctx, flowDue, ensureFlow(ctx, door), log, "keep the objects of flow control")
			continue
		case <-due:
		}
		again(ctx, due, ensureKubernetes(ctx, door, &cfg), log, "keep the kubernetes service")
	}
}

// leaveTimeout is how long a server that ends may take to tell the others.
const leaveTimeout = 3 * time.Second

// leave takes a server that ends out of those that live, and out of the Service's endpoints. The last one leaves them.
func (c *Config) leave(ctx context.Context, door client.Interface, log *slog.Logger) {
	if c.Masters == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	err := c.Masters.Leave(ctx, c.Advertise.Addr().Unmap())
	if err == nil {
		var live []netip.Addr
		if live, err = c.Masters.Live(ctx); err == nil && len(live) > 0 {
			err = ensureEndpoints(ctx, door, c, live)
		}
	}
	if err != nil {
		log.Warn("leave the endpoints of the kubernetes service", "error", err)
	}
}

// again has what failed tried once more, a second later.
func again(ctx context.Context, due chan struct{}, err error, log *slog.Logger, what string) {
	if err == nil || ctx.Err() != nil {
		return
	}
	log.Warn(what, "error", err)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	kick(due)
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
