package load

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// The namespaces whose writes no webhook is for, a validating one and a mutating one. They are written to by turns, so that what
// changes on the machine meanwhile changes all three.
var hookSpaces = []string{"none", "validating", "mutating"}

const (
	hookLabel = "sampan-bench/webhook"
	hookTurns = 10
)

// webhook creates n ConfigMaps in each of the namespaces, one after the other. The webhook answers from this process, over HTTPS
// on the loopback, with HTTP/1.1 as controller-runtime's servers do.
func (r *run) webhook() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	h := &hook{}
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	if err := r.registerHooks(cs, server); err != nil {
		return err
	}
	n := 0
	create := func(space string) error {
		n++
		_, err := cs.CoreV1().ConfigMaps("bench-"+space).Create(r.ctx, configMap(fmt.Sprintf("c%07d", n)), metav1.CreateOptions{})
		return err
	}
	for _, space := range hookSpaces[1:] { // until the server has taken notice, and has a connection
		calls := h.calls.Load()
		if err := r.until(50*time.Millisecond, func() bool { err = create(space); return err != nil || h.calls.Load() > calls+20 }); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	took, cpu := make([]times, len(hookSpaces)), make([]float64, len(hookSpaces))
	calls := h.calls.Load()
	for range hookTurns {
		for s, space := range hookSpaces {
			before := r.pids.Take()
			for range r.n / hookTurns {
				since := time.Now()
				if err := create(space); err != nil {
					return err
				}
				took[s].add(time.Since(since))
			}
			cpu[s] += r.window(before).CPU
		}
	}
	each := r.n / hookTurns * hookTurns
	if got := h.calls.Load() - calls; got != int64(2*each) {
		return fmt.Errorf("%d writes through a webhook, which was asked %d times", 2*each, got)
	}
	for s, space := range hookSpaces {
		r.put(space+"_p50_us", 1000*took[s].at(.5))
		r.put(space+"_cpu_us", 1e6*cpu[s]/float64(each))
		if s > 0 {
			r.put(space+"_adds_us", 1000*(took[s].at(.5)-took[0].at(.5)))
			r.put(space+"_adds_p99_us", 1000*(took[s].at(.99)-took[0].at(.99)))
			r.put(space+"_adds_cpu_us", 1e6*(cpu[s]-cpu[0])/float64(each))
		}
	}
	return nil
}

// registerHooks makes the namespaces and has the server ask the webhook for each of the two.
func (r *run) registerHooks(cs *kubernetes.Clientset, server *httptest.Server) error {
	for _, space := range hookSpaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bench-" + space, Labels: map[string]string{hookLabel: space}}}
		if _, err := cs.CoreV1().Namespaces().Create(r.ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	none, fail := admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.Fail
	config := func(space string) admissionregistrationv1.WebhookClientConfig {
		url := server.URL + "/" + space
		return admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
	}
	selects := func(space string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{hookLabel: space}}
	}
	rules := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
	_, err := cs.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(r.ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: "validating.bench.example.com", ClientConfig: config("validating"), Rules: rules,
			NamespaceSelector: selects("validating"), SideEffects: &none, FailurePolicy: &fail, AdmissionReviewVersions: []string{"v1"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = cs.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(r.ctx, &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "mutating.bench.example.com", ClientConfig: config("mutating"), Rules: rules,
			NamespaceSelector: selects("mutating"), SideEffects: &none, FailurePolicy: &fail, AdmissionReviewVersions: []string{"v1"}}},
	}, metav1.CreateOptions{})
	return err
}

// hook answers for both webhooks: it allows everything, and adds one value where it is asked as the mutating one.
type hook struct{ calls atomic.Int64 }

func (h *hook) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h.calls.Add(1)
	var review struct {
		Request struct {
			UID    string          `json:"uid"`
			Object json.RawMessage `json:"object"`
		} `json:"request"`
	}
	if err := json.NewDecoder(req.Body).Decode(&review); err != nil || len(review.Request.Object) == 0 {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	response := map[string]any{"uid": review.Request.UID, "allowed": true}
	if strings.HasSuffix(req.URL.Path, "/mutating") {
		response["patchType"], response["patch"] = "JSONPatch", []byte(`[{"op":"add","path":"/data/added","value":"by the webhook"}]`)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}
