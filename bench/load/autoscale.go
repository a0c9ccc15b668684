package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// meter is a metrics server: every pod of a target uses so much CPU.
type meter struct {
	milli, asked atomic.Int64
	pods         int // of each target, which is a StatefulSet, so that their names are known
}

const (
	metricsGroup = "/apis/metrics.k8s.io/v1beta1"
	metricsPods  = `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[` +
		`{"name":"pods","singularName":"","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}]}`
)

func (m *meter) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case req.URL.Path == metricsGroup:
		fmt.Fprint(w, metricsPods)
	case strings.HasPrefix(req.URL.Path, metricsGroup+"/namespaces/") && strings.HasSuffix(req.URL.Path, "/pods"):
		m.asked.Add(1)
		m.list(w, strings.Split(req.URL.Path, "/")[5], strings.TrimPrefix(req.URL.Query().Get("labelSelector"), "app="))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// list answers for the pods of a target.
func (m *meter) list(w http.ResponseWriter, ns, name string) {
	now := time.Now().UTC().Format(time.RFC3339)
	var items []map[string]any
	for i := range m.pods {
		items = append(items, map[string]any{"metadata": map[string]any{"name": fmt.Sprintf("%s-%d", name, i), "namespace": ns, "labels": map[string]string{"app": name}},
			"timestamp": now, "window": "15s",
			"containers": []any{map[string]any{"name": "c", "usage": map[string]string{"cpu": fmt.Sprintf("%dm", m.milli.Load()), "memory": "50Mi"}}}})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": map[string]any{}, "items": items})
}

// serveMetrics has the meter answer for metrics.k8s.io until the run ends.
func (r *run) serveMetrics(cs kubernetes.Interface, m *meter) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return err
	}
	address, err := ownAddress()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: m, TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}}}
	go func() { _ = s.ServeTLS(l, "", "") }()
	context.AfterFunc(r.ctx, func() { s.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	_, err = cs.CoreV1().Services(leaseSpace).Create(r.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "bench-metrics"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: address}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return r.claimMetrics(cs, port)
}

// ownAddress is one of this machine's that is not loopback, which sampan's hub does not connect to for others.
func ownAddress() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return n.IP.String(), nil
		}
	}
	return "", errors.New("no address but loopback")
}

// claimMetrics makes the APIService, or takes it from who answered until now.
func (r *run) claimMetrics(cs kubernetes.Interface, port int) error {
	const at = "/apis/apiregistration.k8s.io/v1/apiservices"
	spec := fmt.Sprintf(`"spec":{"group":"metrics.k8s.io","version":"v1beta1","groupPriorityMinimum":100,"versionPriority":100,"insecureSkipTLSVerify":true,`+
		`"service":{"namespace":%q,"name":"bench-metrics","port":%d}}`, leaseSpace, port)
	api := cs.CoreV1().RESTClient()
	err := api.Post().AbsPath(at).SetHeader("Content-Type", "application/json").
		Body([]byte(`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1beta1.metrics.k8s.io"},` + spec + `}`)).Do(r.ctx).Error()
	if apierrors.IsAlreadyExists(err) {
		err = api.Patch(types.MergePatchType).AbsPath(at, "v1beta1.metrics.k8s.io").Body([]byte(`{` + spec + `}`)).Do(r.ctx).Error()
	}
	if err != nil {
		return err
	}
	return r.until(100*time.Millisecond, func() bool {
		return api.Get().AbsPath(metricsGroup+"/namespaces/default/pods").Param("labelSelector", "app=x").Do(r.ctx).Error() == nil
	})
}

// autoscale has n autoscalers look after as many StatefulSets of two pods: until each has seen its metrics, then while there is nothing
// to do, then until each has doubled its target.
func (r *run) autoscale() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	ns, m := r.space, &meter{pods: 2}
	m.milli.Store(50)
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	if err := r.serveMetrics(cs, m); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	k, err := r.targets(cs, ns)
	if err != nil {
		return err
	}
	defer k.stop()
	r.pause(r.settle)
	before := r.pids.Take()
	if err := each(r.n, r.workers, func(_, i int) error {
		_, err := cs.AutoscalingV2().HorizontalPodAutoscalers(ns).Create(r.ctx, autoscaler(fmt.Sprintf("t%03d", i)), metav1.CreateOptions{})
		return err
	}); err != nil {
		return err
	}
	if err := r.autoscalers(cs, ns, func(h *autoscalingv2.HorizontalPodAutoscaler) bool { return len(h.Status.CurrentMetrics) > 0 }); err != nil {
		return fmt.Errorf("autoscalers see their metrics: %w", err)
	}
	used := r.window(before)
	r.put("first_s", used.At.Sub(before.At).Seconds())
	r.put("first_cpu_us", 1e6*used.CPU/float64(r.n))
	r.pause(r.settle)
	if err := r.autoscaleSteady(ns, m); err != nil {
		return err
	}
	return r.autoscaleGrow(cs, ns, m)
}

// autoscaleSteady counts what a look at metrics that are as they should be costs.
func (r *run) autoscaleSteady(ns string, m *meter) error {
	t, err := r.count(ns, "v1 pods", "v1 events", "apps/v1 statefulsets", "autoscaling/v2 horizontalpodautoscalers")
	if err != nil {
		return err
	}
	defer t.stop()
	r.pause(statusDelay)
	before, asked := r.pids.Take(), m.asked.Load()
	r.pause(r.minute)
	used := r.window(before)
	looks := max(1, m.asked.Load()-asked)
	r.put("steady_cpu_percent", 100*used.CPU/used.At.Sub(before.At).Seconds())
	r.put("steady_looks", float64(looks)/r.minute.Minutes())
	r.put("steady_cpu_us", 1e6*used.CPU/float64(looks))
	events, err := t.end()
	if err != nil {
		return err
	}
	sum := 0
	for kind, n := range events {
		sum += n
		r.note("written while nothing was to be done: %s %d", kind, n)
	}
	r.put("steady_writes", float64(sum))
	return nil
}

func (r *run) autoscaleGrow(cs kubernetes.Interface, ns string, m *meter) error {
	before := r.pids.Take()
	m.milli.Store(100)
	if err := r.autoscalers(cs, ns, func(h *autoscalingv2.HorizontalPodAutoscaler) bool { return h.Status.DesiredReplicas == 4 }); err != nil {
		return fmt.Errorf("autoscalers double: %w", err)
	}
	used := r.window(before)
	r.put("grow_s", used.At.Sub(before.At).Seconds())
	r.put("grow_cpu_us", 1e6*used.CPU/float64(r.n))
	return nil
}

// autoscalers waits until all n autoscalers are as wanted.
func (r *run) autoscalers(cs kubernetes.Interface, ns string, want func(*autoscalingv2.HorizontalPodAutoscaler) bool) error {
	return r.until(200*time.Millisecond, func() bool {
		l, err := cs.AutoscalingV2().HorizontalPodAutoscalers(ns).List(r.ctx, metav1.ListOptions{})
		if err != nil || len(l.Items) < r.n {
			return false
		}
		for i := range l.Items {
			if !want(&l.Items[i]) {
				return false
			}
		}
		return true
	})
}

// targets makes n StatefulSets of two pods and waits until they are Ready.
func (r *run) targets(cs kubernetes.Interface, ns string) (*kubelets, error) {
	k, err := r.kubelets(ns, readyStatus(), notReady)
	if err != nil {
		return nil, err
	}
	set := sample{"apps/v1", "statefulsets", false, `"spec":{"replicas":2,"serviceName":"NAME","podManagementPolicy":"Parallel","selector":{"matchLabels":{"app":"NAME"}},` +
		`"template":{"metadata":{"labels":{"app":"NAME"}},"spec":{"schedulerName":"` + nobody + `","containers":[{"name":"c","image":"registry.example.com/none:1","resources":{"requests":{"cpu":"100m"}}}]}}}`}
	hc, host, err := r.raw()
	if err != nil {
		return k, err
	}
	for i := range r.n {
		if err := r.postSample(hc, host, ns, fmt.Sprintf("t%03d", i), "2", set); err != nil {
			return k, err
		}
	}
	return k, r.until(200*time.Millisecond, func() bool {
		l, err := cs.AppsV1().StatefulSets(ns).List(r.ctx, metav1.ListOptions{})
		ready := 0
		for i := range l.Items {
			if l.Items[i].Status.ReadyReplicas == 2 {
				ready++
			}
		}
		return err == nil && ready == r.n
	})
}

// autoscaler asks for half of what the pods of a StatefulSet of the same name request.
func autoscaler(name string) *autoscalingv2.HorizontalPodAutoscaler {
	half := int32(50)
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		MaxReplicas: 4, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: name},
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &half}}}}}}
}
