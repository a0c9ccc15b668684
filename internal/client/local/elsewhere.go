package local

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/verb"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

var (
	_ client.Elsewhere = (*Door)(nil)
	_ client.Fetcher   = (*Door)(nil)
)

// Elsewhere implements client.Elsewhere.
func (d *Door) Elsewhere() (kinds []*api.Kind, unknown []schema.GroupVersion) {
	for gv, other := range d.cfg.Catalog.Now().Delegates() {
		if other.Discovery.Freshness != apidiscoveryv2.DiscoveryFreshnessCurrent {
			unknown = append(unknown, gv)
			continue
		}
		for i := range other.Discovery.Resources {
			kinds = append(kinds, remote.KindOf(gv, &other.Discovery.Resources[i]))
		}
	}
	return kinds, unknown
}

// elsewhere is a client of who answers for ref in the hub's place, once it is known that this caller may; nil when that is the hub.
func (d *Door) elsewhere(ctx context.Context, v string, ref client.Ref) (client.Interface, error) {
	other := d.cfg.Catalog.Now().Delegates()[ref.Resource.GroupVersion()]
	if other == nil {
		return nil, nil
	}
	kind := &api.Kind{Group: ref.Resource.Group, Version: ref.Resource.Version, Resource: ref.Resource.Resource, Namespaced: ref.Namespace != ""}
	req := &verb.Request{User: d.user, UserAgent: d.userAgent, Verb: v, Kind: kind, Ref: ref, Warn: d.warn, Remote: d.cfg.Remote}
	trail, done, err := d.audited(req)
	if err != nil {
		return nil, err
	}
	reason, err := d.cfg.Verbs.Decide(ctx, verb.AttributesOf(req))
	trail.Decision(err == nil, reason)
	if done(err); err != nil {
		return nil, err
	}
	far, err := remote.New(&rest.Config{Host: "http://hub", UserAgent: d.userAgent, Transport: through{other, d.user}})
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return far, nil
}

// Fetch implements client.Fetcher. What the hub answers for itself is read by Get and List.
func (d *Door) Fetch(ctx context.Context, ref client.Ref, query url.Values) ([]byte, error) {
	v := "get"
	if ref.Name == "" {
		v = "list"
	}
	far, err := d.elsewhere(ctx, v, ref)
	if err != nil {
		return nil, err
	}
	f, ok := far.(client.Fetcher)
	if !ok {
		return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "get", ref.Resource.GroupResource(), ref.Name, "404 page not found", 0, true)
	}
	return f.Fetch(ctx, ref, query)
}

// through has a delegate answer requests, each whole.
type through struct {
	to   *catalog.Delegate
	user api.User
}

// RoundTrip implements http.RoundTripper.
func (t through) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &answer{header: http.Header{}, code: http.StatusOK}
	if err := t.to.Serve(w, r, t.user); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: w.code, Status: http.StatusText(w.code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// answer is a ResponseWriter that keeps what is written.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
