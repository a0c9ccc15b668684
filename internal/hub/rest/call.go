package rest

import (
	"net/http"
	"net/url"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/hub/wire"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// call is one verb on a resource over HTTP.
type call struct {
	s     *Server
	w     *recorder
	r     *http.Request
	x     *exchange
	out   wire.Output
	req   *verb.Request
	query url.Values
}

// options reads query parameters into one of the option types.
func (c *call) options(into runtime.Object) error {
	if len(c.query) == 0 {
		return nil
	}
	if err := api.ParameterCodec.DecodeParameters(c.query, schema.GroupVersion{Version: "v1"}, into); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

func optionErrors(kind string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: kind}, "", errs)
}

func (c *call) send(code int, res verb.Result) error {
	if c.x.trail != nil {
		if obj, err := res.Object(); err == nil {
			c.x.trail.Answer(obj)
		}
	}
	return c.out.WriteItem(c.w, c.r, code, c.tableKind(), res)
}

// tableKind makes the rows of a table; subresources with bodies of their own have only plain ones.
func (c *call) tableKind() *api.Kind {
	if s := c.req.Kind.Sub(c.req.Ref.Subresource); s != nil && s.Scale != nil {
		return scalesOf(s.Scale)
	} else if s != nil && s.New != nil {
		return nil
	}
	return c.req.Kind
}

// read reads the request's body, once there is memory for it.
func (c *call) read() ([]byte, error) {
	return wire.ReadBody(c.r, func(n int64) error { return c.x.hold(c.s, c.r, n) })
}

// body reads and decodes the request's body into the type that the resource or subresource takes.
func (c *call) body(validation string) (runtime.Object, error) {
	f, err := wire.BodyFormat(c.r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	data, err := c.read()
	if err != nil {
		return nil, err
	}
	k := c.req.Kind
	want := wire.Want{GVK: k.GVK(), Coerce: k.Coerce}
	if s := k.Sub(c.req.Ref.Subresource); s != nil && s.New != nil {
		want.Fresh, want.Coerce, want.Older = s.New(), nil, s.Older
		if !s.GVK.Empty() {
			want.GVK = s.GVK
		} else if have, err := api.GVKOf(want.Fresh); err == nil {
			want.GVK = have
		}
	} else {
		want.Fresh = k.New()
	}
	return wire.Decode(data, f, want, validation, c.req.Warn)
}

func (c *call) get() error {
	var opts metav1.GetOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	res, err := c.s.cfg.Verbs.Get(c.r.Context(), c.req, opts)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, res)
}

func (c *call) list() error {
	var opts metav1.ListOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	l, err := c.s.cfg.Verbs.List(c.r.Context(), c.req, opts)
	if err != nil {
		return err
	}
	return c.sendList(l)
}

func (c *call) sendList(l *verb.Listing) error {
	if err := c.x.holdAnswer(c.s, c.r, l.Size(), c.out.Whole()); err != nil {
		return err
	}
	if c.x.trail.Wants(audit.RequestResponse) {
		c.x.trail.Answer(l.Object())
	}
	meta := metav1.ListMeta{ResourceVersion: l.ResourceVersion, Continue: l.Continue, RemainingItemCount: l.Remaining}
	return c.out.WriteList(c.w, c.r, c.req.Kind, meta, len(l.Items), func(i int) wire.Item { return &l.Items[i] })
}
