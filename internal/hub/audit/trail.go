package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"sampan.dev/internal/api"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Log records requests as its policy says. A nil Log records none.
type Log struct {
	Policy Policy
	Sink   Sink
	// Refusals records what was refused for who asked (401 and 403) also where the policy records nothing.
	Refusals bool
}

// Trail is what is recorded of one request. A nil Trail takes everything and records nothing. Its methods may be called from several
// goroutines.
type Trail struct {
	sink Sink
	rule Rule

	mu struct {
		sync.Mutex
		e      Event
		answer *metav1.Status // when that is what was answered
	}
}

// Begin starts the trail of a request; e says what is known when it has been authenticated. path is for policies, without a query.
// The first event is recorded at once; ok is false when that failed and the request must not go on.
func (l *Log) Begin(e Event, path string) (t *Trail, ok bool) {
	if l == nil {
		return nil, true
	}
	rule := l.Policy.Of(&Asked{User: &e.User, Verb: e.Verb, Object: e.Object, Path: path})
	if rule.Level == None {
		return nil, true
	}
	t = &Trail{sink: l.Sink, rule: rule}
	e.Level = rule.Level
	t.mu.e = e
	return t, t.stage(Received)
}

// Refused records a request that has no trail and was refused for who asked; e lacks only level and stage.
func (l *Log) Refused(e Event, status *metav1.Status) {
	if !l.Minds(status.Code) {
		return
	}
	e.Level, e.Stage, e.At, e.Status = Metadata, Complete, time.Now(), status
	if status.Code == http.StatusUnauthorized {
		e.Stage = Started // as upstream, which looks no further then
	}
	l.Sink.Record(&e)
}

// Unauthenticated records a request whose sender could not be found out, as far as the policy, which then knows no user, has it
// recorded.
func (l *Log) Unauthenticated(e Event, path string, status *metav1.Status) {
	if l == nil {
		return
	}
	rule := l.Policy.Of(&Asked{User: &e.User, Verb: e.Verb, Object: e.Object, Path: path})
	if rule.Level == None || rule.Omit&Started != 0 {
		return
	}
	e.Level, e.Stage, e.At, e.Status = rule.Level, Started, time.Now(), status
	if rule.Level >= RequestResponse {
		e.Response = statusJSON(status)
	}
	l.Sink.Record(&e)
}

// Minds reports whether an answer with that code is recorded even without a trail.
func (l *Log) Minds(code int32) bool {
	return l != nil && l.Refusals && (code == http.StatusForbidden || code == http.StatusUnauthorized)
}

type trailKey struct{}

// With puts the trail into a context, for Annotate.
func With(ctx context.Context, t *Trail) context.Context {
	if t == nil {
		return ctx
	}
	return context.WithValue(ctx, trailKey{}, t)
}

// From is the trail of the request that a context belongs to; nil for none.
func From(ctx context.Context) *Trail {
	t, _ := ctx.Value(trailKey{}).(*Trail)
	return t
}

// Annotate adds a note to the event of the request that ctx belongs to. The first value of a key stays.
func Annotate(ctx context.Context, key, value string) { From(ctx).Annotate(key, value) }

// Annotate adds a note. The first value of a key stays.
func (t *Trail) Annotate(key, value string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.e.Annotations == nil {
		t.mu.e.Annotations = make(map[string]string, 4)
	}
	if _, has := t.mu.e.Annotations[key]; !has {
		t.mu.e.Annotations[key] = value
	}
}

// Decision says what authorization answered, and why.
func (t *Trail) Decision(allowed bool, reason string) {
	if t == nil {
		return
	}
	decision := "forbid"
	if allowed {
		decision = "allow"
	}
	t.Annotate("authorization.k8s.io/decision", decision)
	t.Annotate("authorization.k8s.io/reason", reason)
}

// Impersonates says on whose behalf the request is carried out; constraint is the verb that allowed it, "" for plain impersonation.
func (t *Trail) Impersonates(u *api.User, constraint string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.e.Impersonated, t.mu.e.Constraint = u, constraint
}

// Wants reports whether objects are recorded at that level.
func (t *Trail) Wants(l Level) bool { return t != nil && t.rule.Level >= l }

// Body says what was sent. It completes what the path says of the object.
func (t *Trail) Body(obj runtime.Object) {
	if t == nil || obj == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if m, err := meta.Accessor(obj); err == nil && t.mu.e.Object != nil {
		o := *t.mu.e.Object
		o.Name, o.UID, o.ResourceVersion = first(o.Name, m.GetName()), string(m.GetUID()), m.GetResourceVersion()
		t.mu.e.Object = &o
	}
	if t.rule.Level >= Request {
		t.mu.e.Request = t.encode(obj)
	}
}

// Patch says what patch was sent; one that is no JSON is recorded as a string.
func (t *Trail) Patch(patch []byte) {
	if !t.Wants(Request) {
		return
	}
	if !json.Valid(patch) {
		patch, _ = json.Marshal(string(patch))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.e.Request = patch
}

// Answer says what was answered.
func (t *Trail) Answer(obj runtime.Object) {
	if t == nil || obj == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := obj.(*metav1.Status); ok {
		t.mu.answer = s
	}
	if t.rule.Level >= RequestResponse {
		t.mu.e.Response = t.encode(obj)
	}
}

func (t *Trail) encode(obj runtime.Object) []byte {
	if t.rule.OmitManagedFields {
		obj = withoutManagedFields(obj)
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return nil
	}
	return data
}

func withoutManagedFields(obj runtime.Object) runtime.Object {
	_, noObject := meta.Accessor(obj)
	if noObject != nil && !meta.IsListType(obj) {
		return obj
	}
	obj = obj.DeepCopyObject()
	if m, err := meta.Accessor(obj); err == nil {
		m.SetManagedFields(nil)
		return obj
	}
	_ = meta.EachListItem(obj, func(item runtime.Object) error {
		if m, err := meta.Accessor(item); err == nil {
			m.SetManagedFields(nil)
		}
		return nil
	})
	return obj
}

// Starts records that an answer begins that will last.
func (t *Trail) Starts(code int32) {
	if t == nil {
		return
	}
	t.status(&metav1.Status{Code: code})
	t.stage(Started)
}

// Ends records how the request ended: with a code, and with the error that was sent, if there was one.
func (t *Trail) Ends(status *metav1.Status) {
	if t == nil {
		return
	}
	t.status(status)
	t.stage(Complete)
}

// Panics records that the request made the server panic with p.
func (t *Trail) Panics(p any) {
	if t == nil {
		return
	}
	t.status(&metav1.Status{
		Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError, Code: http.StatusInternalServerError,
		Message: fmt.Sprintf("APIServer panic'd: %v", p),
	})
	t.stage(Panic)
}

func (t *Trail) status(s *metav1.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.answer != nil && s.Status == "" {
		said := *t.mu.answer
		said.TypeMeta, said.ListMeta, said.Code = metav1.TypeMeta{}, metav1.ListMeta{}, s.Code
		s = &said
	}
	t.mu.e.Status = s
	if t.rule.Level >= RequestResponse && s.Status != "" && t.mu.e.Response == nil {
		t.mu.e.Response = statusJSON(s)
	}
}

// statusJSON is a Status as it is sent.
func statusJSON(s *metav1.Status) []byte {
	whole := *s
	whole.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	data, _ := json.Marshal(&whole) // texts and numbers: cannot fail
	return data
}

func (t *Trail) stage(s Stage) bool {
	if t.rule.Omit&s != 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.e.Stage, t.mu.e.At = s, time.Now(); s == Received {
		t.mu.e.At = t.mu.e.Received
	}
	return t.sink.Record(&t.mu.e)
}

// Status is what an event says of an answer.
func Status(code int, err error) *metav1.Status {
	if err == nil {
		return &metav1.Status{Code: int32(code)}
	}
	var s metav1.Status
	if of, ok := err.(apierrors.APIStatus); ok { //nolint:errorlint // what was sent
		s = of.Status()
	} else {
		s = apierrors.NewInternalError(err).ErrStatus
	}
	if code != 0 {
		s.Code = int32(code)
	}
	s.TypeMeta, s.ListMeta = metav1.TypeMeta{}, metav1.ListMeta{}
	return &s
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
