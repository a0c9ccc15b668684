package authz

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sampan.dev/internal/api"

	authorizationv1 "k8s.io/api/authorization/v1"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestABAC(t *testing.T) {
	file := write(t, "policy", `# a comment

{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "alice", "namespace": "*", "resource": "*", "apiGroup": "*"}}
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"group": "readers", "readonly": true, "namespace": "a", "resource": "pods", "apiGroup": ""}}
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "*", "nonResourcePath": "/api*", "readonly": true}}
{"user": "old", "readonly": true}
`)
	l, err := readABAC(file)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{api.GroupAuthenticated}
	for _, c := range []struct {
		a    Attributes
		want Decision
	}{
		{Attributes{User: api.User{Name: "alice"}, Verb: "delete", Resource: "pods", Namespace: "x"}, Allow},
		{Attributes{User: api.User{Name: "alice"}, Verb: "get", Path: "/x"}, NoOpinion},
		{Attributes{User: api.User{Name: "bob", Groups: []string{"readers"}}, Verb: "list", Resource: "pods", Namespace: "a"}, Allow},
		{Attributes{User: api.User{Name: "bob", Groups: []string{"readers"}}, Verb: "list", Resource: "pods", Namespace: "b"}, NoOpinion},
		{Attributes{User: api.User{Name: "bob", Groups: []string{"readers"}}, Verb: "create", Resource: "pods", Namespace: "a"}, NoOpinion},
		{Attributes{User: api.User{Name: "bob", Groups: all}, Verb: "get", Path: "/apis/apps"}, Allow},
		{Attributes{User: api.User{Name: api.UserAnonymous}, Verb: "get", Path: "/apis"}, NoOpinion},
		{Attributes{User: api.User{Name: "old"}, Verb: "watch", Resource: "secrets", Group: "x"}, Allow},
		{Attributes{User: api.User{Name: "old"}, Verb: "get", Path: "/x"}, Allow},
		{Attributes{User: api.User{Name: "old"}, Verb: "update", Resource: "secrets"}, NoOpinion},
	} {
		if d, _, err := l.Authorize(t.Context(), c.a); d != c.want || err != nil {
			t.Errorf("%+v: %v, %v", c.a, d, err)
		}
	}
	if _, err := readABAC(write(t, "policy", "{\n")); err == nil || !strings.Contains(err.Error(), "line 1: {: unexpected end of JSON input") {
		t.Error(err)
	}
}

// judge is a webhook of authorization: carol may do everything, mallory nothing, dave brings it down.
type judge struct {
	mu    sync.Mutex
	asked []authorizationv1.SubjectAccessReview
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var in authorizationv1.SubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	j.asked = append(j.asked, in)
	switch in.Spec.User {
	case "carol":
		in.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: "it is carol"}
	case "mallory":
		in.Status = authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: "never"}
	case "dave":
		http.Error(w, "no", http.StatusNotImplemented)
		return
	}
	json.NewEncoder(w).Encode(&in) //nolint:errcheck // a test's server
}

func (j *judge) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.asked)
}

// hooked serves a webhook and returns a kubeconfig that leads to it.
func hooked(t *testing.T) (*judge, string) {
	t.Helper()
	j := &judge{}
	s := httptest.NewServer(j)
	t.Cleanup(s.Close)
	return j, write(t, "kubeconfig", fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: %q}}]\nusers: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n", s.URL+"/authorize"))
}

func TestWebhookByFlags(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1"} {
		j, kubeconfig := hooked(t)
		f := NewFlags()
		f.Modes, f.WebhookFile, f.WebhookVersion = []string{"Webhook", "AlwaysDeny"}, kubeconfig, version
		s, err := Read(f)
		if err != nil {
			t.Fatal(err)
		}
		c := &Chain{settings: s}
		members, err := s.build(c)
		if err != nil {
			t.Fatal(err)
		}
		c.now.Store(&members)
		ask := func(user string) (Decision, string, error) {
			return c.Authorize(t.Context(), Attributes{User: api.User{Name: user, Extra: map[string][]string{"k": {"v"}}}, Verb: "list", Resource: "pods", Version: "v1", LabelSelector: "a=b", FieldSelector: "metadata.name=x"})
		}
		if d, reason, err := ask("carol"); d != Allow || reason != "it is carol" || err != nil {
			t.Errorf("%v %q %v", d, reason, err)
		}
		if d, reason, _ := ask("mallory"); d != Deny || reason != "never" {
			t.Errorf("%v %q", d, reason)
		}
		if d, reason, err := ask("eve"); d != NoOpinion || reason != "alwaysdeny: Everything is forbidden." || err != nil {
			t.Errorf("%v %q %v", d, reason, err)
		}
		if d, _, err := ask("dave"); d != NoOpinion || err == nil {
			t.Errorf("%v %v", d, err)
		}
		n := j.count()
		ask("carol")
		ask("mallory")
		if j.count() != n {
			t.Error("it is asked again about what it has answered")
		}
		first := j.asked[0]
		if first.APIVersion != "authorization.k8s.io/"+version || first.Spec.ResourceAttributes.LabelSelector == nil || first.Spec.ResourceAttributes.FieldSelector.Requirements[0].Values[0] != "x" {
			t.Errorf("%+v", first)
		}
		if _, incomplete, err := c.Rules(api.User{Name: "carol"}, "default"); !incomplete || err == nil {
			t.Errorf("%v, %v", incomplete, err)
		}
	}
}

const configHead = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n"

func hook(kubeconfig, more string) string {
	return `- type: Webhook
  name: judge
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: ` + kubeconfig + `}
` + more
}

func TestConfigurationFile(t *testing.T) {
	j, kubeconfig := hooked(t)
	file := write(t, "authz.yaml", configHead+hook(kubeconfig, "    matchConditions: [{expression: \"request.resourceAttributes.namespace == 'a'\"}]\n")+"- {type: AlwaysDeny, name: alwaysdeny}\n")
	f := NewFlags()
	f.File = file
	s, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	c := &Chain{settings: s}
	members, err := s.build(c)
	if err != nil {
		t.Fatal(err)
	}
	c.now.Store(&members)
	ask := func(user, namespace string) Decision {
		d, _, _ := c.Authorize(t.Context(), Attributes{User: api.User{Name: user}, Verb: "get", Resource: "pods", Namespace: namespace})
		return d
	}
	if ask("carol", "a") != Allow || ask("carol", "b") != NoOpinion || j.count() != 1 {
		t.Errorf("asked %d times", j.count())
	}
	if d, _, err := c.Authorize(t.Context(), Attributes{User: api.User{Name: "carol"}, Verb: "get", Path: "/x"}); d != Deny || err == nil || !strings.Contains(err.Error(), "no such key: resourceAttributes") {
		t.Errorf("a condition that errs, failurePolicy Deny: %v, %v", d, err)
	}
	if ask("dave", "a") != Deny {
		t.Error("a webhook that fails, failurePolicy Deny, does not deny")
	}

	// The file is followed: what is wrong changes nothing.
	ctx, cancel := context.WithCancel(t.Context())
	logged := make(chan string, 16)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, slog.New(slog.NewTextHandler(lines(logged), nil))) }()
	if err := os.WriteFile(file, []byte(configHead+hook(kubeconfig, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-logged; !strings.Contains(got, "missing required types: [AlwaysDeny]") || ask("carol", "b") != NoOpinion {
		t.Errorf("%s", got)
	}
	if err := os.WriteFile(file, []byte(configHead+hook(kubeconfig, "")+"- {type: AlwaysDeny, name: alwaysdeny}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-logged; !strings.Contains(got, "reloaded authz config") || ask("carol", "b") != Allow {
		t.Errorf("%s", got)
	}
	cancel()
	<-ended
}

type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestBadSettings(t *testing.T) {
	_, kubeconfig := hooked(t)
	for _, c := range []struct {
		change func(*Flags)
		want   string
	}{
		{func(f *Flags) { f.Modes = []string{"Some"} }, `authorization-mode "Some" is not a valid mode`},
		{func(f *Flags) { f.Modes = []string{"ABAC"} }, "authorization-mode ABAC's authorization policy file not passed"},
		{func(f *Flags) { f.Modes = []string{"Webhook"} }, "authorization-mode Webhook's authorization config file not passed"},
		{func(f *Flags) { f.Modes = []string{"RBAC", "RBAC"} }, "has mode specified more than once"},
		{func(f *Flags) { f.Modes, f.PolicyFile = []string{"RBAC"}, "x" }, "cannot specify --authorization-policy-file without mode ABAC"},
		{func(f *Flags) { f.Modes, f.WebhookFile = []string{"RBAC"}, "x" }, "cannot specify --authorization-webhook-config-file without mode Webhook"},
		{func(f *Flags) { f.Modes, f.File = []string{"RBAC"}, "x" }, "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined"},
		{func(f *Flags) { f.File = write(t, "f", configHead+"- {type: RBAC, name: other}\n") }, "expected name rbac for authorizer RBAC instead of other"},
		{func(f *Flags) {
			f.File = write(t, "f", configHead+"- {type: RBAC, name: rbac}\n- {type: RBAC, name: rbac}\n")
		}, `authorizers[1].type: Duplicate value: "RBAC"`},
		{func(f *Flags) { f.File = write(t, "f", strings.TrimSuffix(configHead, "\n")+" []\n") }, "at least one authorization mode must be defined"},
		{func(f *Flags) { f.File = write(t, "f", configHead+"- {type: Webhook, name: w}\n") }, "required when type=Webhook"},
		{func(f *Flags) {
			f.File = write(t, "f", configHead+hook(kubeconfig, "    matchConditions: [{expression: \"request.nosuch\"}]\n"))
		}, "undefined field 'nosuch'"},
	} {
		f := NewFlags()
		c.change(&f)
		if _, err := Read(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q: %v", c.want, err)
		}
	}
	s, err := Read(NewFlags())
	if err != nil || !s.Open() {
		t.Errorf("without a flag: %v", err)
	}
}
