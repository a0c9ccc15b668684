package autoscale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// meter reads metrics: those of resources from metrics.k8s.io, others from whoever answers for custom.metrics.k8s.io and
// external.metrics.k8s.io.
type meter struct {
	door client.Interface
	// plural names the resource of a kind, for custom metrics of its objects.
	plural func(schema.GroupKind) []schema.GroupVersionResource
}

var podMetrics = metricsv1beta1.SchemeGroupVersion.WithResource("pods")

const (
	customGroup   = "custom.metrics.k8s.io"
	externalGroup = "external.metrics.k8s.io"
	windowOfPods  = time.Minute // of a custom metric that does not say
)

// ofResource samples a resource of pods: of one container if it is named, else of all. A pod of which a part is not known has no
// sample.
func (m *meter) ofResource(ctx context.Context, namespace string, selector labels.Selector, name corev1.ResourceName, container string) (samples, error) {
	l, err := m.door.List(ctx, client.Ref{Resource: podMetrics, Namespace: namespace}, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, fmt.Errorf("unable to get metrics for resource %s: unable to fetch metrics from resource metrics API: %w", name, err)
	}
	if len(l.Items) == 0 {
		return nil, fmt.Errorf("unable to get metrics for resource %s: no metrics returned from resource metrics API", name)
	}
	out := samples{}
	for _, o := range l.Items {
		p, err := podMetricsOf(o)
		if err != nil {
			return nil, err
		}
		if v, ok := usedBy(p, name, container); ok {
			out[p.Name] = sample{v, p.Timestamp.Time, p.Window.Duration}
		}
	}
	return out, nil
}

// podMetricsOf is an item of a list. What comes over the network, from another process or another server, comes as a map: its group
// is none of the stored ones.
func podMetricsOf(o api.Object) (*metricsv1beta1.PodMetrics, error) {
	switch o := o.(type) {
	case *metricsv1beta1.PodMetrics:
		return o, nil
	case runtime.Unstructured:
		p := &metricsv1beta1.PodMetrics{}
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.UnstructuredContent(), p)
		return p, err
	}
	return nil, fmt.Errorf("metrics of a pod come as %T", o)
}

func usedBy(p *metricsv1beta1.PodMetrics, name corev1.ResourceName, container string) (total int64, ok bool) {
	for i := range p.Containers {
		c := &p.Containers[i]
		if container != "" && c.Name != container {
			continue
		}
		q, has := c.Usage[name]
		if !has {
			return 0, false
		}
		total, ok = total+q.MilliValue(), true
	}
	return total, ok
}

// value is an item of a list of custom or external metrics, in any version of theirs.
type value struct {
	DescribedObject struct {
		Name string `json:"name"`
	} `json:"describedObject"`
	Timestamp     metav1.Time       `json:"timestamp"`
	WindowSeconds *int64            `json:"windowSeconds"`
	Window        *int64            `json:"window"` // as v1beta1 has it
	Value         resource.Quantity `json:"value"`
}

// fetch reads a list of values.
func (m *meter) fetch(ctx context.Context, ref client.Ref, query url.Values) ([]value, error) {
	f, ok := m.door.(client.Fetcher)
	if !ok {
		return nil, apierrors.NewNotFound(ref.Resource.GroupResource(), ref.Name)
	}
	data, err := f.Fetch(ctx, ref, query)
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []value `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// custom reads a metric of objects from the newest version that is served.
func (m *meter) custom(ctx context.Context, ref client.Ref, query url.Values) ([]value, error) {
	for _, version := range []string{"v1beta2", "v1beta1"} {
		ref.Resource.Group, ref.Resource.Version = customGroup, version
		items, err := m.fetch(ctx, ref, query)
		switch {
		case isUnserved(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("unable to fetch metrics from custom metrics API: %w", err)
		case len(items) == 0:
			return nil, errors.New("no metrics returned from custom metrics API")
		}
		return items, nil
	}
	return nil, fmt.Errorf("unable to fetch metrics from custom metrics API: no custom metrics API (%s) registered", customGroup)
}

// isUnserved reports whether an error says that nobody answers for what was asked, and not that there is none of that name: then
// somebody would have said so.
func isUnserved(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// ofPods samples a custom metric of pods.
func (m *meter) ofPods(ctx context.Context, namespace string, pods labels.Selector, id autoscalingv2.MetricIdentifier, selector labels.Selector) (samples, error) {
	ref := client.Ref{Resource: schema.GroupVersionResource{Resource: "pods"}, Namespace: namespace, Name: "*", Subresource: id.Name}
	items, err := m.custom(ctx, ref, queryOf("labelSelector", pods, "metricLabelSelector", selector))
	if err != nil {
		return nil, fmt.Errorf("unable to get metric %s: %w", id.Name, err)
	}
	out := samples{}
	for _, v := range items {
		window := windowOfPods
		if v.WindowSeconds == nil {
			v.WindowSeconds = v.Window
		}
		if v.WindowSeconds != nil {
			window = time.Duration(*v.WindowSeconds) * time.Second
		}
		out[v.DescribedObject.Name] = sample{v.Value.MilliValue(), v.Timestamp.Time, window}
	}
	return out, nil
}

// ofObject reads a custom metric of one object, in thousandths.
func (m *meter) ofObject(ctx context.Context, namespace string, of autoscalingv2.CrossVersionObjectReference, name string, selector labels.Selector) (int64, error) {
	kind := schema.FromAPIVersionAndKind(of.APIVersion, of.Kind).GroupKind()
	ref := client.Ref{Namespace: namespace, Name: of.Name, Subresource: name}
	if kind == (schema.GroupKind{Kind: "Namespace"}) {
		ref.Resource.Resource, ref.Name, ref.Subresource = "metrics", name, "" // of its own: a reference leads to no other
	} else if found := m.plural(kind); len(found) > 0 {
		ref.Resource.Resource = found[0].GroupResource().String()
	} else {
		return 0, fmt.Errorf("unable to get metric %s on %s %s/%s: unable to fetch metrics from custom metrics API: %w", name, of.Kind, namespace, of.Name, noMatch(kind))
	}
	items, err := m.custom(ctx, ref, queryOf("metricLabelSelector", selector))
	if err != nil {
		return 0, fmt.Errorf("unable to get metric %s on %s %s/%s: %w", name, of.Kind, namespace, of.Name, err)
	}
	return items[0].Value.MilliValue(), nil
}

// ofOutside reads the values of an external metric, in thousandths.
func (m *meter) ofOutside(ctx context.Context, namespace string, id autoscalingv2.MetricIdentifier) ([]int64, error) {
	selector, err := metav1.LabelSelectorAsSelector(id.Selector)
	if err != nil {
		return nil, err
	}
	ref := client.Ref{Resource: schema.GroupVersionResource{Group: externalGroup, Version: "v1beta1", Resource: id.Name}, Namespace: namespace}
	items, err := m.fetch(ctx, ref, queryOf("labelSelector", selector))
	if err == nil && len(items) == 0 {
		err = errors.New("no metrics returned from external metrics API")
	} else if err != nil {
		err = fmt.Errorf("unable to fetch metrics from external metrics API: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("unable to get external metric %s/%s/%+v: %s", namespace, id.Name, id.Selector, err)
	}
	var out []int64
	for _, v := range items {
		out = append(out, v.Value.MilliValue())
	}
	return out, nil
}

// queryOf makes a query of names and selectors, without those that select all.
func queryOf(pairs ...any) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if s := pairs[i+1].(labels.Selector); !s.Empty() {
			q.Set(pairs[i].(string), s.String())
		}
	}
	return q
}
