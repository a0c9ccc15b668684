package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"

	authnv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

var at = time.Date(2026, 11, 30, 12, 0, 0, 123456789, time.UTC)

func full() *Event {
	return &Event{
		Level: RequestResponse, ID: "id<&>", Stage: Complete, URI: "/api/v1/namespaces/a/pods?x=\"y\"", Verb: "create",
		User:         api.User{Name: "admin", UID: "u", Groups: []string{"system:masters", "grüße"}, Extra: map[string][]string{"b": {"2"}, "a": {"1", "\n"}}},
		Impersonated: &api.User{Name: "other"}, Constraint: "impersonate:user-info",
		SourceIPs: []string{"127.0.0.1", "::1"}, UserAgent: "kubectl/v1.37.1 (linux/amd64)",
		Object:  &Object{Resource: "pods", Namespace: "a", Name: "b", UID: "c", Group: "d", Version: "v1", ResourceVersion: "7", Subresource: "status"},
		Status:  &metav1.Status{Status: "Failure", Message: "no", Reason: "NotFound", Details: &metav1.StatusDetails{Name: "b", Kind: "pods"}, Code: 404},
		Request: []byte(`{"kind":"Pod"}`), Response: []byte(`{"kind":"Status"}`), Received: at, At: at.Add(time.Millisecond),
		Annotations: map[string]string{"z.io/b": "2", "a.io/a": "1"},
	}
}

// upstream is the same event in upstream's type.
func upstream(e *Event) *auditv1.Event {
	user := func(u *api.User) authnv1.UserInfo {
		out := authnv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
		for k, v := range u.Extra {
			if out.Extra == nil {
				out.Extra = map[string]authnv1.ExtraValue{}
			}
			out.Extra[k] = v
		}
		return out
	}
	out := &auditv1.Event{
		TypeMeta: metav1.TypeMeta{Kind: "Event", APIVersion: "audit.k8s.io/v1"},
		Level:    auditv1.Level(e.Level.String()), AuditID: types.UID(e.ID), Stage: auditv1.Stage(e.Stage.String()), RequestURI: e.URI, Verb: e.Verb,
		User: user(&e.User), SourceIPs: e.SourceIPs, UserAgent: e.UserAgent, ResponseStatus: e.Status,
		RequestReceivedTimestamp: metav1.NewMicroTime(e.Received), StageTimestamp: metav1.NewMicroTime(e.At), Annotations: e.Annotations,
	}
	if e.Impersonated != nil {
		u := user(e.Impersonated)
		out.ImpersonatedUser = &u
	}
	if e.Constraint != "" {
		out.AuthenticationMetadata = &auditv1.AuthenticationMetadata{ImpersonationConstraint: e.Constraint}
	}
	if o := e.Object; o != nil {
		out.ObjectRef = &auditv1.ObjectReference{Resource: o.Resource, Namespace: o.Namespace, Name: o.Name, UID: types.UID(o.UID), APIGroup: o.Group,
			APIVersion: o.Version, ResourceVersion: o.ResourceVersion, Subresource: o.Subresource}
	}
	if e.Request != nil {
		out.RequestObject = &runtime.Unknown{Raw: e.Request, ContentType: runtime.ContentTypeJSON}
	}
	if e.Response != nil {
		out.ResponseObject = &runtime.Unknown{Raw: e.Response, ContentType: runtime.ContentTypeJSON}
	}
	return out
}

// The encoding by hand is that of upstream's type.
func TestJSON(t *testing.T) {
	for _, e := range []*Event{full(), {Level: Metadata, Stage: Received, Verb: "get", Received: at, At: at}, {Level: Metadata, Status: &metav1.Status{Code: 200}}} {
		want, err := json.Marshal(upstream(e))
		if err != nil {
			t.Fatal(err)
		}
		if got := e.AppendJSON(nil); string(got) != string(want) {
			t.Errorf("\n%s\nupstream:\n%s", got, want)
		}
	}
}

func TestLegacyFormat(t *testing.T) {
	var out bytes.Buffer
	e := full()
	e.User.Groups = []string{"a", "b"}
	NewLines(&out).Legacy().Record(e)
	const want = `2026-11-30T12:00:00.123456789Z AUDIT: id="id<&>" stage="ResponseComplete" ip="127.0.0.1" method="create" user="admin" groups="\"a\",\"b\"" as="other" asgroups="<lookup>" user-agent="kubectl/v1.37.1 (linux/amd64)" namespace="a" uri="/api/v1/namespaces/a/pods?x=\"y\"" response="404"` + "\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

const policyHead = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"

func TestPolicies(t *testing.T) {
	pods := &Asked{User: &api.User{Name: "a", Groups: []string{"g"}}, Verb: "get", Object: &Object{Resource: "pods", Namespace: "n", Name: "x"}}
	logs := &Asked{User: &api.User{Name: "b"}, Verb: "get", Object: &Object{Resource: "pods", Subresource: "log", Namespace: "n", Name: "y"}}
	apps := &Asked{User: &api.User{Name: "a"}, Verb: "create", Object: &Object{Group: "apps", Resource: "deployments", Namespace: "m"}}
	path := &Asked{User: &api.User{Name: "a"}, Verb: "get", Path: "/healthz/etcd"}
	for _, c := range []struct {
		rules string
		want  [4]Level // pods, logs, apps, path
	}{
		{"rules: [{level: Metadata}]", [4]Level{1, 1, 1, 1}},
		{"rules: [{level: Request, users: [a]}]", [4]Level{2, 0, 2, 2}},
		{"rules: [{level: Request, userGroups: [g]}]", [4]Level{2, 0, 0, 0}},
		{"rules: [{level: Request, verbs: [create]}]", [4]Level{0, 0, 2, 0}},
		{"rules: [{level: Request, namespaces: ['n']}]", [4]Level{2, 2, 0, 0}},
		{"rules: [{level: Request, resources: [{group: '', resources: [pods]}]}]", [4]Level{2, 0, 0, 0}},
		{"rules: [{level: Request, resources: [{group: '', resources: ['pods/*']}]}]", [4]Level{2, 2, 0, 0}},
		{"rules: [{level: Request, resources: [{group: '', resources: ['*/log']}]}]", [4]Level{0, 2, 0, 0}},
		{"rules: [{level: Request, resources: [{group: '', resources: [pods/log]}]}]", [4]Level{0, 2, 0, 0}},
		{"rules: [{level: Request, resources: [{group: '', resources: ['*'], resourceNames: ['y']}]}]", [4]Level{0, 2, 0, 0}},
		{"rules: [{level: Request, resources: [{group: '*'}]}]", [4]Level{2, 2, 2, 0}},
		{"rules: [{level: None, nonResourceURLs: ['/healthz*']}, {level: RequestResponse}]", [4]Level{3, 3, 3, 0}},
		{"rules: [{level: None, users: [b]}, {level: RequestResponse, verbs: [get]}]", [4]Level{3, 0, 0, 3}},
	} {
		p, _, err := parsePolicy([]byte(policyHead + c.rules))
		if err != nil {
			t.Errorf("%s: %v", c.rules, err)
			continue
		}
		if got := [4]Level{p.Of(pods).Level, p.Of(logs).Level, p.Of(apps).Level, p.Of(path).Level}; got != c.want {
			t.Errorf("%s: %v, want %v", c.rules, got, c.want)
		}
	}
	p, warnings, err := parsePolicy([]byte(policyHead + "omitStages: [RequestReceived]\nomitManagedFields: true\nrules: [{level: Metadata, omitStages: [Panic], omitManagedFields: false, typo: 1}]"))
	if err != nil || warnings == nil {
		t.Fatalf("%v, %v", warnings, err)
	}
	if r := p.Of(pods); r.Omit != Received|Panic || r.OmitManagedFields {
		t.Errorf("%+v", r)
	}
}

func TestBadPolicies(t *testing.T) {
	for _, c := range []struct{ policy, want string }{
		{policyHead + "rules: []", "loaded illegal policy with 0 rules"},
		{policyHead + "rules: [{level: Some}]", `rules[0].level: Unsupported value: "Some": supported values: "None", "Metadata", "Request", "RequestResponse"`},
		{policyHead + "rules: [{users: [a]}]", "rules[0].level: Required value"},
		{policyHead + "rules: [{level: Metadata, namespaces: [a], nonResourceURLs: [/a]}]", "rules cannot apply to both regular resources and non-resource URLs"},
		{policyHead + "omitStages: [Soon]\nrules: [{level: Metadata}]", `Invalid value: "Soon"`},
		{"apiVersion: v1\nkind: Pod\n", "failed decoding"},
	} {
		if _, _, err := parsePolicy([]byte(c.policy)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.policy, err)
		}
	}
	if _, _, err := ReadPolicy("/nowhere"); err == nil || !strings.Contains(err.Error(), `failed to read file path "/nowhere"`) {
		t.Error(err)
	}
}

func TestDefaultPolicy(t *testing.T) {
	admin, node := &api.User{Name: "admin"}, &api.User{Name: "system:node:a"}
	for _, c := range []struct {
		a    Asked
		want Level
	}{
		{Asked{User: admin, Verb: "create", Object: &Object{Resource: "pods"}}, Metadata},
		{Asked{User: admin, Verb: "deletecollection", Object: &Object{Resource: "pods"}}, Metadata},
		{Asked{User: admin, Verb: "get", Object: &Object{Resource: "pods"}}, None},
		{Asked{User: admin, Verb: "create", Object: &Object{Resource: "pods", Subresource: "exec"}}, Metadata},
		{Asked{User: node, Verb: "patch", Object: &Object{Resource: "nodes", Subresource: "status"}}, None},
		{Asked{User: admin, Verb: "patch", Object: &Object{Resource: "nodes", Subresource: "status"}}, Metadata},
		{Asked{User: node, Verb: "update", Object: &Object{Group: "coordination.k8s.io", Resource: "leases"}}, None},
		{Asked{User: node, Verb: "create", Object: &Object{Resource: "events"}}, None},
		{Asked{User: node, Verb: "create", Object: &Object{Group: "authorization.k8s.io", Resource: "subjectaccessreviews"}}, None},
		{Asked{User: admin, Verb: "create", Object: &Object{Group: "authentication.k8s.io", Resource: "selfsubjectreviews"}}, None},
		{Asked{User: admin, Verb: "create", Object: &Object{Resource: "serviceaccounts", Subresource: "token"}}, Metadata},
		{Asked{User: admin, Verb: "get", Path: "/metrics"}, None},
	} {
		if got := (Default{}).Of(&c.a).Level; got != c.want {
			t.Errorf("%+v: %v", c.a, got)
		}
	}
}

// kept is a sink that keeps copies.
type kept struct {
	events []Event
	refuse bool
}

func (k *kept) Record(e *Event) bool {
	k.events = append(k.events, *e)
	return !k.refuse
}

func TestTrail(t *testing.T) {
	k := &kept{}
	p, _, err := parsePolicy([]byte(policyHead + "rules: [{level: RequestResponse, omitManagedFields: true, users: [a]}, {level: Metadata, users: [b]}, {level: None}]"))
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{Policy: p, Sink: k}
	begin := func(user string) *Trail {
		k.events = nil
		tr, ok := l.Begin(Event{User: api.User{Name: user}, Verb: "create", Received: at, Object: &Object{Resource: "pods", Namespace: "n"}}, "")
		if !ok {
			t.Fatal("refused")
		}
		return tr
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "u", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}}}

	tr := begin("a")
	tr.Body(pod)
	tr.Annotate("k", "1")
	tr.Annotate("k", "2")
	tr.Decision(true, "because")
	tr.Starts(101)
	tr.Answer(pod)
	tr.Ends(Status(201, nil))
	var got []string
	for _, e := range k.events {
		got = append(got, e.Stage.String())
	}
	last := k.events[len(k.events)-1]
	if strings.Join(got, " ") != "RequestReceived ResponseStarted ResponseComplete" || last.Object.Name != "x" || last.Object.UID != "u" || last.Annotations["k"] != "1" ||
		last.Annotations["authorization.k8s.io/decision"] != "allow" || last.Status.Code != 201 ||
		!bytes.Contains(last.Request, []byte(`"name":"x"`)) || bytes.Contains(last.Request, []byte("managedFields")) || !bytes.Contains(last.Response, []byte(`"name":"x"`)) {
		t.Errorf("%v %+v", got, last)
	}
	if len(pod.ManagedFields) != 1 {
		t.Error("the object was changed")
	}

	tr = begin("b")
	tr.Body(pod)
	tr.Ends(Status(404, apierrors.NewNotFound(corev1.Resource("pods"), "x")))
	last = k.events[len(k.events)-1]
	if last.Request != nil || last.Response != nil || last.Object.Name != "x" || last.Status.Reason != "NotFound" || last.Status.Code != 404 {
		t.Errorf("%+v", last)
	}
	tr = begin("b")
	tr.Answer(&metav1.Status{Status: "Success", Details: &metav1.StatusDetails{Name: "x"}})
	tr.Ends(Status(200, nil))
	if last = k.events[len(k.events)-1]; last.Status.Status != "Success" || last.Status.Code != 200 || last.Status.Details.Name != "x" {
		t.Errorf("%+v", last)
	}
	tr = begin("b")
	tr.Panics("oh")
	if last = k.events[len(k.events)-1]; last.Stage != Panic || last.Status.Message != "APIServer panic'd: oh" || last.Status.Code != 500 {
		t.Errorf("%+v", last)
	}
	if tr = begin("c"); tr != nil || len(k.events) > 0 {
		t.Error("level None is recorded")
	}
	tr.Body(pod)
	tr.Annotate("k", "v")
	tr.Ends(Status(200, nil)) // a nil trail takes everything

	k.refuse = true
	if _, ok := l.Begin(Event{User: api.User{Name: "a"}}, ""); ok {
		t.Error("a request goes on whose event was lost")
	}
}

func TestRefusals(t *testing.T) {
	k := &kept{}
	l := &Log{Policy: Default{}, Sink: k, Refusals: true}
	e := Event{User: api.User{Name: "a"}, Verb: "get", Object: &Object{Resource: "secrets"}}
	l.Refused(e, Status(403, apierrors.NewForbidden(corev1.Resource("secrets"), "x", errors.New("no"))))
	l.Refused(e, Status(404, apierrors.NewNotFound(corev1.Resource("secrets"), "x")))
	if len(k.events) != 1 || k.events[0].Status.Code != 403 || k.events[0].Level != Metadata {
		t.Errorf("%+v", k.events)
	}
	k.events = nil
	unauthorized := Status(0, apierrors.NewUnauthorized("Unauthorized"))
	all := &Log{Policy: Everything(Metadata), Sink: k}
	if all.Unauthenticated(Event{Verb: "get"}, "/api", unauthorized); len(k.events) != 0 {
		t.Error("a stage that is omitted is recorded")
	}
	p, _, _ := parsePolicy([]byte(policyHead + "rules: [{level: Metadata}]"))
	all.Policy = p
	if all.Unauthenticated(Event{Verb: "get"}, "/api", unauthorized); len(k.events) != 1 || k.events[0].Status.Message != "Unauthorized" || k.events[0].Stage != Started {
		t.Errorf("%+v", k.events)
	}
}

// page is a buffer that one goroutine writes and another looks at.
type page struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *page) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(data)
}

func (p *page) lines() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Count(p.buf.String(), "\n")
}

func TestGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		g := NewGathered(&out)
		for range 3 {
			g.Record(full())
		}
		if out.lines() > 0 {
			t.Error("each event is written alone")
		}
		time.Sleep(gatherFor)
		synctest.Wait()
		if got := out.lines(); got != 3 {
			t.Errorf("%d lines", got)
		}
	})
}

// boat is a Carrier that notes how many events came at once.
type boat struct{ loads []int }

func (b *boat) Carry(events [][]byte) error {
	b.loads = append(b.loads, len(events))
	return nil
}

func TestBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &boat{}
		b := NewBatched(to, BatchConfig{BufferSize: 5, MaxSize: 10, MaxWait: time.Second}, slog.New(slog.DiscardHandler))
		for _, n := range []int{1, 7} { // two of the second seven have no room
			for range n {
				b.Record(full())
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		b = NewBatched(to, BatchConfig{BufferSize: 100, MaxSize: 2, MaxWait: time.Hour}, slog.New(slog.DiscardHandler))
		b.Record(full())
		b.Record(full())
		synctest.Wait() // a full batch does not wait
		if got := to.loads; len(got) != 3 || got[0] != 1 || got[1] != 5 || got[2] != 2 {
			t.Errorf("%v", got)
		}
	})
}

func TestTruncated(t *testing.T) {
	k := &kept{}
	s := &Truncated{To: k, MaxEvent: 1200, Log: slog.New(slog.DiscardHandler)}
	e := full()
	e.Request = []byte(`"` + strings.Repeat("x", 2000) + `"`)
	s.Record(e)
	if len(k.events) != 1 || k.events[0].Request != nil || k.events[0].Annotations["audit.k8s.io/truncated"] != "true" || e.Annotations["audit.k8s.io/truncated"] != "" {
		t.Errorf("%+v", k.events)
	}
	e.URI = strings.Repeat("x", 2000)
	if s.Record(e); len(k.events) != 1 {
		t.Error("what cannot be made small enough is kept")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "audit.log")
	w, err := FileConfig{Path: path, MaxSize: 1, MaxBackups: 2}.Open()
	if err != nil {
		t.Fatal(err)
	}
	l := NewLines(w)
	e := full()
	e.Request = []byte(`"` + strings.Repeat("x", 300<<10) + `"`)
	for range 4 {
		l.Record(e)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	w.(io.Closer).Close()
}

func BenchmarkJSON(b *testing.B) {
	e := full()
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendJSON(buf[:0])
	}
}
