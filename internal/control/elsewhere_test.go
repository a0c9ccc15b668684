package control_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"
	"sampan.dev/internal/hub/catalog"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// things is an API server elsewhere that has a thing in every namespace until they are deleted; or, dead, nothing to say.
type things struct {
	dead    bool
	deleted atomic.Int32
}

func (s *things) Serve(w http.ResponseWriter, r *http.Request, _ api.User) error {
	if s.dead {
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	items := `{"kind":"Thing","apiVersion":"far.example.com/v1","metadata":{"name":"t","namespace":"n"}}`
	if r.Method == http.MethodDelete {
		s.deleted.Add(1)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
		return nil
	}
	if s.deleted.Load() > 0 {
		items = ""
	}
	fmt.Fprintf(w, `{"kind":"ThingList","apiVersion":"far.example.com/v1","metadata":{},"items":[%s]}`, items)
	return nil
}

// What others have in a namespace is deleted with it. One who does not answer is named in the status and holds nothing up, whether
// that is known beforehand or not.
func TestNamespacesOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		dead      bool
		freshness apidiscoveryv2.DiscoveryFreshness
		deleted   int32
		failed    bool
	}{
		"answers":                  {false, apidiscoveryv2.DiscoveryFreshnessCurrent, 1, false},
		"known not to answer":      {true, apidiscoveryv2.DiscoveryFreshnessStale, 0, true},
		"does not answer any more": {true, apidiscoveryv2.DiscoveryFreshnessCurrent, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				s := &things{dead: c.dead}
				b.hub.Catalog().Delegate([]*catalog.Delegate{{
					GV: schema.GroupVersion{Group: "far.example.com", Version: "v1"}, Backend: s,
					Discovery: apidiscoveryv2.APIVersionDiscovery{Version: "v1", Freshness: c.freshness, Resources: []apidiscoveryv2.APIResourceDiscovery{{
						Resource: "things", Scope: apidiscoveryv2.ScopeNamespace, Verbs: []string{"list", "delete", "deletecollection"}, ResponseKind: &metav1.GroupVersionKind{Kind: "Thing"},
					}}},
				}})
				if _, err := client.Create(b.Context(), b.door, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}); err != nil {
					b.Fatal(err)
				}
				held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "held", Finalizers: []string{"example.com/held"}}}
				if _, err := client.Create(b.Context(), b.door, client.ConfigMaps, held); err != nil {
					b.Fatal(err)
				}
				if err := client.Delete(b.Context(), b.door, client.Namespaces, "", "n", ""); err != nil {
					b.Fatal(err)
				}
				b.settle(30 * time.Second)
				ns, err := client.Get[*corev1.Namespace](b.Context(), b.door, client.Namespaces, "", "n")
				if err != nil {
					b.Fatal(err)
				}
				for _, cond := range ns.Status.Conditions {
					if cond.Type != corev1.NamespaceDeletionDiscoveryFailure {
						continue
					}
					want := "All resources successfully discovered"
					if c.failed {
						want = "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: far.example.com/v1: stale GroupVersion discovery: far.example.com/v1"
					}
					if cond.Message != want || (cond.Status == corev1.ConditionTrue) != c.failed {
						t.Errorf("%s %s", cond.Status, cond.Message)
					}
				}
				if len(ns.Status.Conditions) == 0 || strings.Contains(fmt.Sprint(ns.Status.Conditions), "ContentDeletionFailed") {
					t.Errorf("%+v", ns.Status.Conditions)
				}
				if n := s.deleted.Load(); n != c.deleted {
					t.Errorf("deleted %d times there, want %d", n, c.deleted)
				}
				if _, err := client.MergePatch(b.Context(), b.door, client.Ref{Resource: client.ConfigMaps, Namespace: "n", Name: "held"}, map[string]any{"metadata": map[string]any{"finalizers": nil}}); err != nil {
					b.Fatal(err)
				}
				b.settle(10 * time.Second)
				if _, err := client.Get[*corev1.Namespace](b.Context(), b.door, client.Namespaces, "", "n"); !apierrors.IsNotFound(err) {
					t.Errorf("the namespace is still there: %v", err)
				}
			})
		})
	}
}
