package rest

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/fairness"
	"sampan.dev/internal/hub/flow"
	"sampan.dev/internal/hub/health"
)

// takeOn lets a request in or refuses it; leave is called when it has been answered.
func (s *Server) takeOn(w http.ResponseWriter, r *http.Request, x *exchange) (leave func(), err error) {
	long := x.long()
	if s.cfg.Fairness != nil && (!long || x.route.Verb == "watch") {
		if err := s.seat(w, r, x); err != nil {
			x.served = x.serves() // a dashboard is to show that there were too many
			return nil, flow.ErrTooMany
		}
	}
	if long {
		s.cfg.Gate.Long.Add(1)
		return func() { x.stand(); s.cfg.Gate.Long.Add(-1) }, nil
	}
	p := &s.cfg.Gate.Writes
	switch x.route.Verb {
	case "get", "list", "watch":
		p = &s.cfg.Gate.Reads
	}
	if s.cfg.Fairness != nil {
		counted, _ := s.cfg.Gate.Enter(p, flow.Exempt, "") // whoever has a seat is only counted here
		return func() { counted(); x.stand() }, nil
	}
	leave, ok := s.cfg.Gate.Enter(p, x.rank(), x.user.Name)
	if !ok {
		x.served = x.serves()
		return nil, flow.ErrTooMany
	}
	return leave, nil
}

// seat takes seats for a request by priority and fairness, which tells by headers where it belongs. A watch waits for a seat like
// any other request and keeps it until what it begins with has been sent: what it costs afterwards is spread over its time.
func (s *Server) seat(w http.ResponseWriter, r *http.Request, x *exchange) error {
	rt := &x.route
	x.asks = fairness.Request{
		User: &x.user, Resource: rt.Resource, Verb: rt.Verb, Path: rt.Path, Group: rt.Group, Version: rt.Version, Plural: rt.Plural, Subresource: rt.Subresource,
		Namespace: rt.Namespace, Name: rt.Name,
	}
	x.ticket = s.cfg.Fairness.Classify(&x.asks)
	schema, level := x.ticket.Headers()
	if schema[0] != "" && level[0] != "" { // those of the built-in rules have none
		h := w.Header()
		h["X-Kubernetes-Pf-Flowschema-Uid"], h["X-Kubernetes-Pf-Prioritylevel-Uid"] = schema, level
	}
	seats := int64(1)
	if rt.Verb == "list" && x.names != nil {
		seats = listSeats(x.names.Stored(), r)
	}
	if err := x.ticket.Enter(r.Context(), &x.asks, seats); err != nil {
		return err
	}
	x.seated = true
	return nil
}

// stand gives the seats back, if they have not been.
func (x *exchange) stand() {
	if x.seated {
		x.seated = false
		x.ticket.Leave()
	}
}

// What a list takes: a seat for so many bytes that are in memory at a time, of which there are no more than are in transit of an
// answer that is sent piece by piece. The figures are upstream's.
const (
	bytesPerSeat = 100_000
	mostInMemory = 1_000_000
)

// listSeats is how many seats a list takes, by the number of objects that there are, and their size as the first and the last show it.
func listSeats(of *catalog.Stored, r *http.Request) int64 {
	if of == nil {
		return 1
	}
	objects, size := of.Estimate()
	if r.URL.RawQuery != "" {
		if n, err := strconv.ParseInt(r.URL.Query().Get("limit"), 10, 64); err == nil && n > 0 {
			objects = min(objects, n)
		}
	}
	return max(1, (min(objects*size, mostInMemory)+bytesPerSeat-1)/bytesPerSeat)
}

// rank is what the request counts as when there are too many.
func (x *exchange) rank() flow.Rank {
	switch {
	case !x.route.Resource && health.IsPath(x.route.Path), slices.Contains(x.user.Groups, api.GroupMasters):
		return flow.Exempt
	case vital(&x.route, x.user):
		return flow.Vital
	}
	return flow.Ordinary
}

// vital reports whether a request keeps a node or a leader alive in the eyes of others. Were it to wait behind what
// everybody else asks for, pods would be moved off nodes that are well, and leaders would stand down.
func vital(rt *route, user api.User) bool {
	if !rt.Resource {
		return false
	}
	if rt.Group == client.Leases.Group && rt.Plural == client.Leases.Resource {
		return slices.Contains(user.Groups, api.GroupNodes) || slices.Contains(user.Groups, kubeSystemAccounts) || leaders[user.Name]
	}
	if !slices.Contains(user.Groups, api.GroupNodes) {
		return false
	}
	switch rt.Group + "/" + rt.Plural + "/" + rt.Subresource {
	case "/nodes/", "/nodes/status", "/pods/status", "authentication.k8s.io/tokenreviews/", "authorization.k8s.io/subjectaccessreviews/":
		return rt.Verb != "list"
	}
	return false
}

const kubeSystemAccounts = "system:serviceaccounts:kube-system"

var leaders = map[string]bool{"system:kube-controller-manager": true, "system:kube-scheduler": true}

// smallBody is what a body may have without being counted, in bytes: as many of them as may be under way are nothing.
// smallVital is that of a request that must not be held up: the status of a node names its images.
const (
	smallBody  = 16 << 10
	smallVital = 256 << 10
)

// hold takes n bytes of memory for the body of a request until the request has been answered. One that has some already
// does not wait for more: whoever it waited for might wait for it.
func (x *exchange) hold(s *Server, r *http.Request, n int64) error {
	free := int64(smallBody)
	if x.rank() == flow.Vital {
		free = smallVital
	}
	if n <= free {
		return nil
	}
	var err error
	if n -= x.held; x.held > 0 {
		err = s.cfg.Memory.Bodies.TryTake(n)
	} else {
		err = s.cfg.Memory.Bodies.Take(r.Context(), n)
	}
	if err == nil {
		x.held += n
	}
	return err
}

// inTransit is the most of an answer that is in memory at a time beside what the cache has of it, where it is sent piece by
// piece: the connection's buffers. smallAnswer is one that is not counted.
const (
	inTransit   = 512 << 10
	smallAnswer = 64 << 10
)

// holdAnswer takes memory for an answer made of objects of so many bytes, until it has been sent.
func (x *exchange) holdAnswer(s *Server, r *http.Request, size int64, whole bool) error {
	if size <= smallAnswer {
		return nil
	}
	if !whole {
		size = min(size, inTransit)
	}
	err := s.cfg.Memory.Answers.Take(r.Context(), size)
	if err == nil {
		x.answer = size
	}
	return err
}

// letGo gives back what was taken.
func (x *exchange) letGo(s *Server) {
	if x.held > 0 {
		s.cfg.Memory.Bodies.Give(x.held)
	}
	if x.answer > 0 {
		s.cfg.Memory.Answers.Give(x.answer)
	}
	x.held, x.answer = 0, 0
}

// tooMany refuses a request in the form in which upstream's filter does, which is no Status.
func tooMany(w http.ResponseWriter, err error) bool {
	if !errors.Is(err, flow.ErrTooMany) {
		return false
	}
	w.Header().Set("Retry-After", flow.RetryAfter)
	http.Error(w, flow.ErrTooMany.Error(), http.StatusTooManyRequests)
	return true
}
