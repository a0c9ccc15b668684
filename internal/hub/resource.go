package hub

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/hub/wire"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// resource carries out a verb on a resource.
func (h *Hub) resource(w *recorder, r *http.Request, x *exchange) error {
	rt, k := &x.route, x.kind
	if strings.HasPrefix(r.URL.Path, "//") || k == nil && rt.Group != "" && h.docs.byPath["/apis/"+rt.Group] == nil {
		http.NotFound(w, r) // as upstream, which asks its extensions last
		return nil
	}
	if k == nil || rt.Verb == "proxy" || rt.PathVerb && rt.Subresource != "" || !x.placed() {
		return notFound()
	}
	if !x.routed() || rt.PathVerb && r.Method != http.MethodGet || r.Method == http.MethodHead && x.stream() == nil {
		return notAllowed(r)
	}
	x.served = true
	req := &verb.Request{
		User: x.user, UserAgent: r.UserAgent(), Remote: r.RemoteAddr, Verb: rt.Verb, Kind: k, Warn: newWarnings(w).add,
		Ref: client.Ref{Resource: k.GVR(), Namespace: rt.Namespace, Name: rt.Name, Subresource: rt.Subresource},
	}
	if !k.Namespaced {
		req.Ref.Namespace = ""
	}
	if k.Deprecated != "" {
		req.Warn(k.Deprecated)
	}
	if x.stream() != nil {
		return h.connect(w, r, x, req)
	}
	if err := mediaTypes(rt, r); err != nil {
		return err
	}
	out, err := wire.Negotiate(r, func(f wire.Format, as schema.GroupVersionKind) bool {
		return wire.ObjectConversions(f, as) && (!k.Virtual || as.Kind != "Table") // what is only created has no table
	})
	if err != nil {
		return err
	}
	c := call{h: h, w: w, r: r, x: x, out: out, req: req}
	if r.URL.RawQuery != "" {
		c.query = r.URL.Query()
		c.out.IncludeObject = metav1.IncludeObjectPolicy(c.query.Get("includeObject"))
	}
	if h.cfg.Leases != nil && k.Resource == client.Leases.Resource && k.Group == client.Leases.Group {
		defer h.looked(&c)()
	}
	switch rt.Verb {
	case "get":
		return c.get()
	case "list":
		return c.list()
	case "watch":
		return c.watch()
	case "create":
		return c.create()
	case "update":
		return c.update()
	case "patch":
		return c.patch()
	case "delete":
		return c.delete()
	case "deletecollection":
		return c.deleteCollection()
	}
	return notFound()
}

func notFound() error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "404: Page Not Found", 0, false)
}

func notAllowed(r *http.Request) error {
	return apierrors.NewGenericServerResponse(http.StatusMethodNotAllowed, r.Method, schema.GroupResource{}, "", "405: Method Not Allowed", 0, false)
}

// placed reports whether the path has the resource where it belongs: in a namespace or not, below another resource or not.
func (x *exchange) placed() bool {
	rt, k := &x.route, x.kind
	if rt.Subresource != "" {
		if x.sub == nil || rt.Rest != "" && (x.sub.Connect == nil || !x.sub.Connect.Paths) {
			return false
		}
	}
	if k.Namespaced {
		return rt.Namespace != "" || !rt.NameInPath
	}
	return rt.Namespace == "" || k.OwnNamespace
}

// routed reports whether the method is served at this path.
func (x *exchange) routed() bool {
	rt, k := &x.route, x.kind
	if rt.Subresource != "" {
		return rt.NameInPath && slices.Contains(x.sub.Verbs, rt.Verb)
	}
	if !k.Can(rt.Verb) {
		return false
	}
	if k.Namespaced && rt.Namespace == "" && rt.Verb != "list" && rt.Verb != "watch" {
		return false
	}
	return rt.Verb == "list" || rt.Verb == "watch" || (rt.Verb == "create" || rt.Verb == "deletecollection") != rt.NameInPath
}

// call is one verb on a resource over HTTP.
type call struct {
	h     *Hub
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
	return c.out.WriteItem(c.w, c.r, code, c.tableKind(), res)
}

// tableKind makes the rows of a table; subresources with bodies of their own have only plain ones.
func (c *call) tableKind() *api.Kind {
	if s := c.req.Kind.Sub(c.req.Ref.Subresource); s != nil && s.Scale != nil {
		return scales
	} else if s != nil && s.New != nil {
		return nil
	}
	return c.req.Kind
}

func (c *call) get() error {
	var opts metav1.GetOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	res, err := c.h.verbs.Get(c.r.Context(), c.req, opts)
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
	l, err := c.h.verbs.List(c.r.Context(), c.req, opts)
	if err != nil {
		return err
	}
	return c.sendList(l)
}

func (c *call) sendList(l *verb.Listing) error {
	if err := c.x.holdAnswer(c.h, c.r, l.Size(), c.out.Whole()); err != nil {
		return err
	}
	meta := metav1.ListMeta{ResourceVersion: l.ResourceVersion, Continue: l.Continue, RemainingItemCount: l.Remaining}
	return c.out.WriteList(c.w, c.r, c.req.Kind, meta, len(l.Items), func(i int) wire.Item { return &l.Items[i] })
}

// read reads the request's body, once there is memory for it.
func (c *call) read() ([]byte, error) {
	return wire.ReadBody(c.r, func(n int64) error { return c.x.hold(c.h, c.r, n) })
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
	k, gvk := c.req.Kind, c.req.Kind.GVK()
	var fresh runtime.Object = k.New()
	if s := k.Sub(c.req.Ref.Subresource); s != nil && s.New != nil {
		fresh = s.New()
		if !s.GVK.Empty() {
			gvk = s.GVK
		} else if have, err := api.GVKOf(fresh); err == nil {
			gvk = have
		}
	}
	return wire.Decode(data, f, fresh, gvk, validation, c.req.Warn)
}

func (c *call) create() error {
	var opts metav1.CreateOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	if err := optionErrors("CreateOptions", metav1validation.ValidateCreateOptions(&opts)); err != nil {
		return err
	}
	obj, err := c.body(opts.FieldValidation)
	if err != nil {
		return err
	}
	res, err := c.h.verbs.Create(c.r.Context(), c.req, obj, opts)
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, res)
}

func (c *call) update() error {
	var opts metav1.UpdateOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	if err := optionErrors("UpdateOptions", metav1validation.ValidateUpdateOptions(&opts)); err != nil {
		return err
	}
	obj, err := c.body(opts.FieldValidation)
	if err != nil {
		return err
	}
	res, created, err := c.h.verbs.Update(c.r.Context(), c.req, obj, opts)
	if err != nil {
		return err
	}
	return c.send(codeFor(created), res)
}

func codeFor(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (c *call) patch() error {
	pt := patchType(c.r)
	var opts metav1.PatchOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	if err := optionErrors("PatchOptions", metav1validation.ValidatePatchOptions(&opts, pt)); err != nil {
		return err
	}
	data, err := c.read()
	if err != nil {
		return err
	}
	res, created, err := c.h.verbs.Patch(c.r.Context(), c.req, pt, data, opts)
	if err != nil {
		return err
	}
	return c.send(codeFor(created), res)
}

// deleteOptions come in the body, or else as parameters.
func (c *call) deleteOptions() (metav1.DeleteOptions, error) {
	var opts metav1.DeleteOptions
	data, err := c.read()
	if err != nil {
		return opts, err
	}
	if len(data) == 0 {
		if err := c.options(&opts); err != nil {
			return opts, err
		}
	} else {
		f, err := wire.BodyFormat(c.r.Header.Get("Content-Type"))
		if err != nil {
			return opts, err
		}
		if err := wire.DecodeDeleteOptions(data, f, &opts); err != nil {
			return opts, err
		}
	}
	return opts, optionErrors("DeleteOptions", metav1validation.ValidateDeleteOptions(&opts))
}

func (c *call) delete() error {
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	res, gone, err := c.h.verbs.Delete(c.r.Context(), c.req, opts)
	if err != nil {
		return err
	}
	code := http.StatusOK
	if !gone && opts.OrphanDependents != nil && !*opts.OrphanDependents { //nolint:staticcheck // old clients
		code = http.StatusAccepted
	}
	return c.send(code, res)
}

func (c *call) deleteCollection() error {
	var list metav1.ListOptions
	if err := c.options(&list); err != nil {
		return err
	}
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	l, err := c.h.verbs.DeleteCollection(c.r.Context(), c.req, opts, list)
	if err != nil {
		return err
	}
	return c.sendList(l)
}

// warnings adds Warning headers while they can still be added.
type warnings struct {
	w    *recorder
	seen map[string]bool
	size int
}

const maxWarnings = 4096 // bytes in all

func newWarnings(w *recorder) *warnings { return &warnings{w: w} }

func (s *warnings) add(text string) {
	if s.seen[text] || s.w.code != 0 || text == "" {
		return
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if s.size += len(text); s.size > maxWarnings {
		return
	}
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[text] = true
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	s.w.Header().Add("Warning", "299 - "+quoted)
}
