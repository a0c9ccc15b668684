package aggregate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

const (
	failedDiscovery = "FailedDiscoveryCheck"
	tries           = 5 // of which one has to succeed, since a service may have several endpoints
	tryIn           = 5 * time.Second
)

// aggregator is who the hub asks other servers as, to find out how they are and what they serve.
var aggregator = api.User{Name: "system:kube-aggregator", Groups: []string{api.GroupMasters}}

// judge finds out whether the server that r names can be reached. Reasons and messages are upstream's (kube-aggregator,
// pkg/controllers/status/remote).
func (r *remote) judge(ctx context.Context, at *reach) apiregistrationv1.APIServiceCondition {
	svc, _ := r.services.Get(r.by.Namespace, r.by.Name)
	c := serviceCondition(at.service, svc, r.slices.List(r.by.Namespace))
	if c.Reason != "" {
		return c
	}
	if err := r.probe(ctx, at); err != nil {
		return condition(apiregistrationv1.ConditionFalse, failedDiscovery, err.Error())
	}
	return condition(apiregistrationv1.ConditionTrue, "Passed", "all checks passed")
}

func condition(status apiregistrationv1.ConditionStatus, reason, format string, args ...any) apiregistrationv1.APIServiceCondition {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	return apiregistrationv1.APIServiceCondition{
		Type: apiregistrationv1.Available, Status: status, LastTransitionTime: metav1.Now(), Reason: reason, Message: format,
	}
}

// serviceCondition says what is wrong with the Service (nil: there is none) and its endpoints; without a reason nothing is.
func serviceCondition(s *apiregistrationv1.APIService, svc *corev1.Service, slicesOf []*discoveryv1.EndpointSlice) apiregistrationv1.APIServiceCondition {
	by := s.Spec.Service
	no := apiregistrationv1.ConditionFalse
	if svc == nil {
		return condition(no, "ServiceNotFound", "service/%s in %q is not present", by.Name, by.Namespace)
	}
	if svc.Spec.Type != corev1.ServiceTypeClusterIP {
		return apiregistrationv1.APIServiceCondition{}
	}
	port := servicePort(svc, portOf(s))
	switch {
	case port == nil:
		return condition(no, "ServicePortError", "service/%s in %q is not listening on port %d", by.Name, by.Namespace, portOf(s))
	case len(slicesOf) == 0:
		return condition(no, "EndpointsNotFound", "cannot find endpointslices for service/%s in %q", by.Name, by.Namespace)
	case !slices.ContainsFunc(slicesOf, func(e *discoveryv1.EndpointSlice) bool { return serves(e, port.Name) }):
		return condition(no, "MissingEndpoints", "endpointslices for service/%s in %q have no addresses with port name %q", by.Name, by.Namespace, port.Name)
	}
	return apiregistrationv1.APIServiceCondition{}
}

// serves reports whether a slice has an endpoint that is ready and a port of a name.
func serves(e *discoveryv1.EndpointSlice, port string) bool {
	return slices.ContainsFunc(e.Endpoints, ready) &&
		slices.ContainsFunc(e.Ports, func(p discoveryv1.EndpointPort) bool { return p.Name != nil && *p.Name == port && p.Port != nil })
}

func ready(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// probe asks for the document that every server has to have: once, and if that fails a few times more at once.
func (r *remote) probe(ctx context.Context, at *reach) error {
	err := r.try(ctx, at)
	if err == nil || ctx.Err() != nil {
		return err
	}
	results := make(chan error, tries-1)
	for range tries - 1 {
		go func() { results <- r.try(ctx, at) }()
	}
	for range tries - 1 {
		if e := <-results; e == nil {
			err = nil // the others still end
		}
	}
	return err
}

func (r *remote) try(ctx context.Context, at *reach) error {
	ctx, cancel := context.WithTimeout(ctx, tryIn)
	defer cancel()
	resp, url, err := r.ask(ctx, at, "/apis/"+r.gv.Group+"/"+r.gv.Version, http.Header{})
	switch {
	case err != nil && url == "":
		return err
	case err != nil:
		return fmt.Errorf("failing or missing response from %s: %w", url, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDocument)) // so that the connection can be used again
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("failing or missing response from %s: bad status from %s: %d", url, url, resp.StatusCode)
	}
	return nil
}
