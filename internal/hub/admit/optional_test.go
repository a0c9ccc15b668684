package admit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	imagepolicyv1alpha1 "k8s.io/api/imagepolicy/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
)

// settings reads an AdmissionConfiguration with one plugin's settings in it.
func settings(t *testing.T, plugin, text string) (Settings, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "admission.yaml")
	body := "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: " + plugin + "\n  path: own.yaml\n"
	for name, text := range map[string]string{file: body, filepath.Join(filepath.Dir(file), "own.yaml"): text} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return ReadSettings(file)
}

// writing is the creation of a pod in a namespace with annotations.
func writing(pod *corev1.Pod, annotations map[string]string) *Attributes {
	return &Attributes{
		Kind: &api.Kind{Version: "v1", Kind: "Pod", Resource: "pods"}, Operation: Create, Namespace: "ns", Name: pod.Name, Object: pod,
		ns: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", Annotations: annotations}},
	}
}

func podOf(image string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}}
}

func TestTolerationRestriction(t *testing.T) {
	set, err := settings(t, "PodTolerationRestriction", `apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1
kind: Configuration
default: [{key: usual, operator: Exists, effect: NoSchedule}]
whitelist: [{key: usual, operator: Exists}, {key: other, operator: Exists}]
`)
	if err != nil {
		t.Fatal(err)
	}
	p := &tolerationRestriction{set: set.Tolerations}
	for _, c := range []struct {
		name        string
		annotations map[string]string
		have        []corev1.Toleration
		want, fails string
	}{
		{name: "of the cluster", want: "usual"},
		{name: "none of the namespace", annotations: map[string]string{defaultTolerationsKey: ""}, want: ""},
		{name: "an empty list", annotations: map[string]string{defaultTolerationsKey: "[]"}, want: ""},
		{name: "of the namespace", annotations: map[string]string{defaultTolerationsKey: `[{"key":"other","operator":"Exists"}]`}, want: "other"},
		{name: "covered", have: []corev1.Toleration{{Key: "usual", Operator: "Exists"}}, want: "usual"},
		{
			name: "not allowed", have: []corev1.Toleration{{Key: "x", Operator: "Exists"}},
			fails: "pod tolerations (possibly merged with namespace default tolerations) conflict with its cluster whitelist",
		},
		{
			name: "not allowed in the namespace", annotations: map[string]string{tolerationsListKey: `[{"key":"other","operator":"Exists"}]`},
			fails: "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist",
		},
		{name: "no list", annotations: map[string]string{defaultTolerationsKey: "{"}, fails: "unexpected end of JSON input"},
	} {
		pod := podOf("i")
		pod.Spec.Tolerations = c.have
		err := p.Admit(t.Context(), writing(pod, c.annotations))
		if err != nil || c.fails != "" {
			var status *apierrors.StatusError
			if !errors.As(err, &status) || status.ErrStatus.Code != 500 || status.ErrStatus.Message != c.fails {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var keys []string
		for _, tol := range pod.Spec.Tolerations {
			keys = append(keys, tol.Key)
		}
		if got := strings.Join(keys, ","); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEventRates(t *testing.T) {
	set, err := settings(t, "EventRateLimit", `apiVersion: eventratelimit.admission.k8s.io/v1alpha1
kind: Configuration
limits: [{type: User, qps: 1, burst: 2}, {type: Namespace, qps: 1, burst: 3}]
`)
	if err != nil {
		t.Fatal(err)
	}
	p := newEventRates(set.EventLimits)
	ask := func(user, namespace string, dry bool) error {
		return p.Validate(t.Context(), &Attributes{
			Kind: &api.Kind{Version: "v1", Kind: "Event", Resource: "events"}, Operation: Create, Namespace: namespace, User: api.User{Name: user}, DryRun: dry, Object: &corev1.Event{},
		})
	}
	for _, c := range []struct {
		user, namespace string
		dry             bool
		want            string
	}{
		{"a", "x", false, ""}, {"a", "x", false, ""}, {"a", "x", true, ""},
		{"a", "x", false, "limit reached on type User for key a"},
		{"b", "x", false, "limit reached on type Namespace for key x"},
		{"b", "y", false, ""},
	} {
		err := ask(c.user, c.namespace, c.dry)
		if c.want == "" && err != nil || c.want != "" && (!apierrors.IsTooManyRequests(err) || err.Error() != "Too many requests: "+c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for text, want := range map[string]string{
		"kind: Configuration\napiVersion: eventratelimit.admission.k8s.io/v1alpha1\n":                         `limits: Invalid value: null: must not be empty`,
		"kind: Configuration\napiVersion: v1\n":                                                               `no kind "Configuration" is registered for version "v1"`,
		"kind: Configuration\napiVersion: eventratelimit.admission.k8s.io/v1alpha1\nlimits: [{type: User}]\n": `[limits[0].burst: Invalid value: 0: must be positive, limits[0].qps: Invalid value: 0: must be positive]`,
	} {
		if _, err := settings(t, "EventRateLimit", text); err == nil || err.Error() != `couldn't init admission plugin "EventRateLimit": `+want {
			t.Errorf("%q: %v", text, err)
		}
	}
	none := Settings{}
	for plugin, want := range map[string]string{
		"EventRateLimit":     `couldn't init admission plugin "EventRateLimit": limits: Invalid value: null: must not be empty`,
		"ImagePolicyWebhook": `couldn't init admission plugin "ImagePolicyWebhook": no config specified`,
	} {
		if err := none.Check(map[string]bool{plugin: true}); err == nil || err.Error() != want {
			t.Errorf("%s: %v", plugin, err)
		}
	}
}

func TestNodeSelectors(t *testing.T) {
	set, err := settings(t, "PodNodeSelector", "podNodeSelectorPluginConfig:\n  clusterDefaultNodeSelector: pool=usual\n  ns: pool=usual,disk=ssd\n")
	if err != nil {
		t.Fatal(err)
	}
	p := &nodeSelectors{set: set.NodeSelectors}
	for _, c := range []struct {
		name        string
		annotations map[string]string
		have        map[string]string
		want, fails string
	}{
		{name: "the cluster's", want: "map[pool:usual]"},
		{name: "its own beside it", have: map[string]string{"disk": "ssd"}, want: "map[disk:ssd pool:usual]"},
		{name: "the namespace's", annotations: map[string]string{nodeSelectorAnnotation: ""}, want: "map[]"},
		{name: "against it", have: map[string]string{"pool": "x"}, fails: `pods "p" is forbidden: pod node label selector conflicts with its namespace node label selector`},
		{name: "not allowed", have: map[string]string{"gpu": "x"}, fails: `pods "p" is forbidden: pod node label selector labels conflict with its namespace whitelist`},
	} {
		pod := podOf("i")
		pod.Spec.NodeSelector = c.have
		err := p.Admit(t.Context(), writing(pod, c.annotations))
		if err != nil || c.fails != "" {
			if err == nil || err.Error() != c.fails {
				t.Errorf("%s: %v", c.name, err)
			}
		} else if got := fmt.Sprint(pod.Spec.NodeSelector); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestImagePolicy(t *testing.T) {
	asked := 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		var review imagepolicyv1alpha1.ImageReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Kind != "ImageReview" || review.Spec.Namespace != "ns" {
			t.Error(review, err)
		}
		review.Status = imagepolicyv1alpha1.ImageReviewStatus{Allowed: review.Spec.Containers[0].Image == "good", AuditAnnotations: map[string]string{"seen": "yes"}}
		if review.Spec.Containers[0].Image == "why" {
			review.Status.Reason = "too old"
		}
		_ = json.NewEncoder(w).Encode(review)
	}))
	defer hook.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: " + hook.URL + "}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := settings(t, "ImagePolicyWebhook", "imagePolicy: {kubeConfigFile: "+kubeconfig+", allowTTL: 60}\n")
	if err != nil {
		t.Fatal(err)
	}
	if set.Images.Allowed != time.Minute || set.Images.Denied != 30*time.Second {
		t.Errorf("%+v", set.Images)
	}
	p := newImagePolicy(set.Images)
	for _, c := range []struct {
		image, fails string
		asked        int
	}{
		{"good", "", 1}, {"good", "", 1},
		{"bad", `pods "p" is forbidden: one or more images rejected by webhook backend`, 2},
		{"why", `pods "p" is forbidden: image policy webhook backend denied one or more images: too old`, 3},
	} {
		notes := map[string]string{}
		a := writing(podOf(c.image), nil)
		a.Annotate = func(k, v string) { notes[k] = v }
		err := p.Validate(t.Context(), a)
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || err.Error() != c.fails) || asked != c.asked {
			t.Errorf("%s: %v, asked %d times", c.image, err, asked)
		}
		if notes[imageAudit+"seen"] != "yes" {
			t.Errorf("%s: noted %v", c.image, notes)
		}
	}
	failing := &imagePolicy{&Images{Ask: func(context.Context, any, any) error { return errors.New("nobody there") }}, utilcache.NewLRUExpireCache(1)}
	if err := failing.Validate(t.Context(), writing(podOf("x"), nil)); err == nil || err.Error() != `pods "p" is forbidden: nobody there` {
		t.Errorf("closed: %v", err)
	}
	failing.set.DefaultAllow = true
	pod := podOf("x")
	if err := failing.Validate(t.Context(), writing(pod, nil)); err != nil || pod.Annotations[imageOpenKey] != "true" {
		t.Errorf("open: %v, %v", err, pod.Annotations)
	}
	if _, err := settings(t, "ImagePolicyWebhook", "imagePolicy: {denyTTL: 7200}"); err == nil || !strings.HasSuffix(err.Error(), "valid value is between 1s and 30m0s, got 2h0m0s") {
		t.Error(err)
	}
}
