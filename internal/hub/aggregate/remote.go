package aggregate

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiregistration"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub/catalog"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

const (
	lookEvery = 30 * time.Second      // at a server that nothing is heard of; upstream's
	lookSoon  = 50 * time.Millisecond // after one has failed; it doubles each time, up to lookEvery
)

// remote is what is known of one APIService of somebody else's, as long as that names one Service.
//
// set, which the aggregator calls, replaces spec; run, a goroutine of its own, looks whether the server answers and sets found; the
// goroutines of requests read both. due and learned say that one of them has something new for another.
type remote struct {
	of   *Aggregator
	name string
	gv   schema.GroupVersion
	by   apiregistrationv1.ServiceReference

	views    *cache.Set
	services *cache.Informer[*corev1.Service]
	slices   *cache.Informer[*discoveryv1.EndpointSlice]

	spec      atomic.Pointer[reach]
	found     atomic.Pointer[found]
	available atomic.Bool            // it was found to answer, by this hub or by another
	wrote     atomic.Pointer[string] // the resource version of the last status that this hub wrote
	learned   atomic.Bool            // found is another than the aggregator has told the catalog of
	due       chan struct{}          // of one slot
}

// reach is how the server is reached. It never changes.
type reach struct {
	service   *apiregistrationv1.APIService
	transport *http.Transport // nil with err
	err       error           // the certificates cannot be read
}

func newRemote(a *Aggregator, s *apiregistrationv1.APIService) *remote {
	by := *s.Spec.Service
	r := &remote{
		of: a, name: s.Name, gv: schema.GroupVersion{Group: s.Spec.Group, Version: s.Spec.Version}, by: by,
		views: cache.NewSet(a.cfg.Door, a.cfg.Log), due: make(chan struct{}, 1),
	}
	r.services = cache.For[*corev1.Service](r.views, client.Services, cache.Options{Namespace: by.Namespace, FieldSelector: "metadata.name=" + by.Name})
	r.slices = cache.For[*discoveryv1.EndpointSlice](r.views, client.EndpointSlices,
		cache.Options{Namespace: by.Namespace, LabelSelector: discoveryv1.LabelServiceName + "=" + by.Name})
	wake(r.services, r.due)
	wake(r.slices, r.due)
	r.wrote.Store(new(string))
	r.found.Store(&found{discovery: empty(r.gv.Version)})
	return r
}

func wake[T api.Object](i *cache.Informer[T], due chan struct{}) {
	i.Handle(cache.Handler[T]{Add: func(T) { kick(due) }, Update: func(_, _ T) { kick(due) }, Delete: func(T) { kick(due) }})
}

// same reports whether s names the same service.
func (r *remote) same(s *apiregistrationv1.APIService) bool {
	return s.Spec.Service.Namespace == r.by.Namespace && s.Spec.Service.Name == r.by.Name &&
		apiregistration.Port(s.Spec.Service) == apiregistration.Port(&r.by)
}

// set takes a newer APIService over, and reports whether clients are to be told of something else.
func (r *remote) set(s *apiregistrationv1.APIService) bool {
	was := r.spec.Load()
	if was != nil && was.service.ResourceVersion == s.ResourceVersion {
		return false
	}
	next := &reach{service: s}
	if was != nil && bytes.Equal(was.service.Spec.CABundle, s.Spec.CABundle) && was.service.Spec.InsecureSkipTLSVerify == s.Spec.InsecureSkipTLSVerify {
		next.transport, next.err = was.transport, was.err
	} else {
		next.transport, next.err = r.of.transport(s)
		if was != nil && was.transport != nil {
			was.transport.CloseIdleConnections()
		}
		kick(r.due)
	}
	r.spec.Store(next)
	if older(s.ResourceVersion, *r.wrote.Load()) {
		return false // what the status says has been overtaken
	}
	r.available.Store(apiregistration.Available(s))
	return was != nil && (was.service.Spec.GroupPriorityMinimum != s.Spec.GroupPriorityMinimum || was.service.Spec.VersionPriority != s.Spec.VersionPriority)
}

// delegate is what the catalog is told.
func (r *remote) delegate() *catalog.Delegate {
	spec := &r.spec.Load().service.Spec
	return &catalog.Delegate{
		GV: r.gv, Backend: r, Discovery: r.found.Load().discovery,
		GroupPriority: spec.GroupPriorityMinimum, VersionPriority: spec.VersionPriority,
	}
}

// run looks whether the server answers, whenever something has happened to it and every so often, until ctx ends.
func (r *remote) run(ctx context.Context) {
	var views sync.WaitGroup
	defer views.Wait()
	defer func() {
		if t := r.spec.Load().transport; t != nil {
			t.CloseIdleConnections()
		}
	}()
	views.Go(func() { _ = r.views.Run(ctx) }) // ends with ctx only
	if r.views.WaitSynced(ctx) != nil {
		return
	}
	pause := lookSoon
	for ctx.Err() == nil {
		select {
		case <-r.due: // seen by what follows
		default:
		}
		wait := lookEvery
		if r.look(ctx) {
			pause = lookSoon
		} else {
			wait, pause = pause, min(2*pause, lookEvery)
		}
		t := time.NewTimer(wait)
		select {
		case <-r.due:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// look finds out how the server is, writes that down and learns what it serves. It reports false when it is to be looked at again soon.
func (r *remote) look(ctx context.Context) bool {
	at := r.spec.Load()
	condition := r.judge(ctx, at)
	if ctx.Err() != nil {
		return true
	}
	if err := r.write(ctx, condition); err != nil {
		if ctx.Err() == nil && !apierrors.IsConflict(err) {
			r.of.cfg.Log.Warn("write how an APIService is", "apiservice", r.name, "error", err)
		}
		return false
	}
	answers := condition.Status == apiregistrationv1.ConditionTrue
	fine := r.learn(ctx, at, answers)
	return (fine || !answers) && condition.Reason != failedDiscovery
}

// write puts a condition into the APIService's status, if it says something new.
func (r *remote) write(ctx context.Context, c apiregistrationv1.APIServiceCondition) error {
	s, err := client.Get[*apiregistrationv1.APIService](ctx, r.of.cfg.Door, client.APIServices, "", r.name)
	if err != nil {
		return ignoreGone(err)
	}
	if s.UID != r.spec.Load().service.UID {
		return nil // another of that name; it has a remote of its own
	}
	have := apiregistration.Condition(s, c.Type)
	if have != nil && have.Status == c.Status && have.Reason == c.Reason && have.Message == c.Message {
		return nil
	}
	if have == nil || have.Status != c.Status {
		r.of.cfg.Log.Info("APIService changes", "apiservice", r.name, "available", c.Status, "reason", c.Reason, "message", c.Message)
	}
	s = s.DeepCopy()
	apiregistration.SetCondition(s, c)
	if s, err = client.UpdateStatus(ctx, r.of.cfg.Door, client.APIServices, s); err != nil {
		return ignoreGone(err)
	}
	r.wrote.Store(&s.ResourceVersion)
	r.available.Store(c.Status == apiregistrationv1.ConditionTrue)
	return nil
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) { // the aggregator hears of it
		return nil
	}
	return err
}

// older reports whether a resource version of the hub's is from before another; nothing is from before "".
func older(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }
