package rest

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/fairness"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// exchange is one request on its way through the stages, each of which notes what it has found out. It belongs to the
// goroutine that serves the request.
type exchange struct {
	route  route
	now    *catalog.Snapshot // what is served, as far as this request knows
	names  *catalog.Resource // by the route; nil for plain paths and for what is not served
	kind   *api.Kind         // of names
	sub    *api.Subresource  // nil for none, and for one that the kind does not have
	other  *catalog.Delegate // answers in the hub's place; then names, kind and sub are nil
	opens  bool              // the client asks to speak another protocol
	query  bool              // the method is OPTIONS, which has no verb
	user   api.User
	caller api.User // before impersonation
	id     string
	came   time.Time
	served bool         // it asks for something that there is, and may
	err    error        // what it was refused with
	trail  *audit.Trail // what is recorded of it; nil: nothing
	held   int64        // bytes of memory taken for its body
	answer int64        // and for its answer

	asks   fairness.Request // what priority and fairness knows of it
	ticket fairness.Ticket
	seated bool // it has the seats of its ticket
}

// identify finds the kind and the subresource that the route names, if they are served, or who else answers for it.
func (s *Server) identify(x *exchange, r *http.Request) {
	rt := &x.route
	x.now, x.query = s.cfg.Catalog.Now(), r.Method == http.MethodOptions
	if x.other = x.now.DelegateOf(rt.Path); x.other != nil {
		x.opens = r.Header.Get("Upgrade") != ""
		return
	}
	if !rt.Resource {
		return
	}
	x.names = x.now.Resource(schema.GroupVersionResource{Group: rt.Group, Version: rt.Version, Resource: rt.Plural})
	if x.names == nil {
		return
	}
	if x.kind = x.names.Kind; rt.Subresource != "" {
		x.sub = x.kind.Sub(rt.Subresource)
	}
}

// long reports whether the request may take as long as it likes.
func (x *exchange) long() bool {
	if !x.route.Resource {
		return strings.HasPrefix(x.route.Path, "/debug/pprof/")
	}
	return x.route.Verb == "watch" || x.route.Verb == "proxy" || x.stream() != nil || x.other != nil && (x.opens || streams[x.route.Subresource])
}

// streams are the subresources that, at somebody else's, may take as long as they like, as upstream has it.
var streams = map[string]bool{"attach": true, "exec": true, "proxy": true, "log": true, "portforward": true}

// stream describes the stream that is asked for; nil when it is anything else, or nothing that is served.
func (x *exchange) stream() *api.Connect {
	if x.sub == nil {
		return nil
	}
	return x.sub.Connect
}

// serves reports whether there is what a request asks for.
func (x *exchange) serves() bool { return x.kind != nil && x.placed() && x.routed() }

// answers is what the resource has to say to the verb. What hands paths on to another server hands OPTIONS on too.
func (x *exchange) answers() catalog.Answer {
	if x.query && x.stream() != nil && x.stream().Paths {
		return catalog.Served
	}
	return x.names.Answers(x.route.Subresource, x.route.Verb)
}

// placed reports whether the path has the resource where it belongs: in a namespace or not, below another resource or not.
func (x *exchange) placed() bool {
	rt, k := &x.route, x.kind
	if rt.Subresource != "" && rt.Rest != "" && (x.stream() == nil || !x.stream().Paths) {
		return false
	}
	if x.answers() == catalog.NoSubresource {
		return false
	}
	if k.Virtual && !k.Can("get") && rt.Subresource == "" && rt.NameInPath { // what is only created has no place of its own
		return false
	}
	if k.Namespaced {
		return rt.Namespace != "" || !rt.NameInPath
	}
	return rt.Namespace == "" || k.OwnNamespace
}

// routed reports whether the method is served at this path.
func (x *exchange) routed() bool {
	rt, k := &x.route, x.kind
	if x.answers() != catalog.Served {
		return false
	}
	if rt.Subresource != "" {
		return rt.NameInPath
	}
	if k.Namespaced && rt.Namespace == "" && rt.Verb != "list" && rt.Verb != "watch" {
		return false
	}
	return rt.Verb == "list" || rt.Verb == "watch" || (rt.Verb == "create" || rt.Verb == "deletecollection") != rt.NameInPath
}

// recorder remembers the status of an answer. Unwrap lets http.ResponseController and hijackers through.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
	lasts *audit.Trail // of a request that lasts: is told when the answer begins; else nil
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 || w.code == http.StatusContinue {
		w.begin(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.begin(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// begin notes the status; that of a request that lasts is recorded at once.
func (w *recorder) begin(code int) {
	if w.code = code; code != http.StatusContinue && w.lasts != nil {
		w.lasts.Starts(int32(code))
		w.lasts = nil
	}
}

// Flush is for streams that look for http.Flusher.
func (w *recorder) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (w *recorder) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

// Hijack is for streams that take over the connection (HTTP/1.1 upgrades).
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	hj, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("the connection cannot be taken over")
	}
	if w.code == 0 {
		w.begin(http.StatusSwitchingProtocols)
	}
	return hj.Hijack()
}
