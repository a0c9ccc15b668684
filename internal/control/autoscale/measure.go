package autoscale

import (
	"context"
	"errors"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// target is what an autoscaler scales, as its scale says.
type target struct {
	namespace     string
	replicas, has int32 // that it should have, and that it has
	selector      labels.Selector
	pods          []*corev1.Pod
	within        tolerances
	now           time.Time
}

// proposal is what one metric asks for.
type proposal struct {
	replicas int32
	metric   string // for the reason of a change
	status   autoscalingv2.MetricStatus
}

// failed is a metric that could not be had: the reason of an event and a condition, and what the look fails with.
type failed struct {
	reason string
	err    error // told as it is
	whole  error // err with the metric's name before it
}

// measure makes a proposal of a metric.
func (c *controller) measure(ctx context.Context, t *target, spec *autoscalingv2.MetricSpec) (p proposal, f *failed) {
	reason, before, err := "InvalidMetricSourceType", "", error(nil)
	p.status.Type = spec.Type
	switch spec.Type {
	case autoscalingv2.ResourceMetricSourceType:
		reason, before = "FailedGetResourceMetric", fmt.Sprintf("failed to get %s resource metric value: ", spec.Resource.Name)
		p.status.Resource = &autoscalingv2.ResourceMetricStatus{Name: spec.Resource.Name}
		err = c.ofResource(ctx, t, &p, &spec.Resource.Target, spec.Resource.Name, "", &p.status.Resource.Current)
	case autoscalingv2.ContainerResourceMetricSourceType:
		s := spec.ContainerResource
		reason, before = "FailedGetContainerResourceMetric", fmt.Sprintf("failed to get %s container metric value: ", s.Container)
		p.status.ContainerResource = &autoscalingv2.ContainerResourceMetricStatus{Name: s.Name, Container: s.Container}
		err = c.ofResource(ctx, t, &p, &s.Target, s.Name, s.Container, &p.status.ContainerResource.Current)
	case autoscalingv2.PodsMetricSourceType:
		reason, before = "FailedGetPodsMetric", "failed to get pods metric value: "
		err = c.ofPods(ctx, t, &p, spec.Pods)
	case autoscalingv2.ObjectMetricSourceType:
		reason, before = "FailedGetObjectMetric", "failed to get object metric value: "
		err = c.ofObject(ctx, t, &p, spec.Object)
	case autoscalingv2.ExternalMetricSourceType:
		reason, before = "FailedGetExternalMetric", fmt.Sprintf("failed to get %s external metric value: ", spec.External.Metric.Name)
		err = c.ofOutside(ctx, t, &p, spec.External)
	default:
		err = fmt.Errorf("unknown metric source type %q", string(spec.Type))
	}
	if err != nil {
		whole := err
		var named *preface
		if errors.As(err, &named) {
			err, whole = named.err, fmt.Errorf("%s%w", named.before, named.err)
		}
		return proposal{}, &failed{reason, err, fmt.Errorf("%s%w", before, whole)}
	}
	return p, nil
}

// preface is an error of which the event tells less than the look fails with.
type preface struct {
	before string
	err    error
}

func (w *preface) Error() string { return w.before + w.err.Error() }
func (w *preface) Unwrap() error { return w.err }

func (c *controller) reckoning(t *target) reckoning {
	return reckoning{current: t.replicas, pods: t.pods, within: t.within, now: t.now, start: c.cfg.CPUInitialization, ready: c.cfg.InitialReadiness}
}

func (c *controller) ofResource(ctx context.Context, t *target, p *proposal, want *autoscalingv2.MetricTarget, name corev1.ResourceName, container string, status *autoscalingv2.MetricValueStatus) error {
	what := "utilization"
	if want.AverageValue != nil {
		what = "usage"
	} else if want.AverageUtilization == nil {
		return errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
	}
	all, err := c.meter.ofResource(ctx, t.namespace, t.selector, name, container)
	if err != nil {
		return fmt.Errorf("failed to get %s %s: %w", name, what, err)
	}
	r := c.reckoning(t)
	r.cpu = name == corev1.ResourceCPU
	if want.AverageValue != nil {
		amount := want.AverageValue.MilliValue()
		p.metric = fmt.Sprintf("%s resource", name)
		r.of, r.absent = ofTarget(amount), func(string) int64 { return amount }
	} else {
		percent := *want.AverageUtilization
		p.metric = fmt.Sprintf("%s resource utilization (percentage of request)", name)
		if container != "" {
			p.metric = fmt.Sprintf("%s container resource utilization (percentage of request)", name)
		}
		var requests map[string]int64
		r.of = func(s samples) (usage, error) {
			if requests == nil {
				if requests, err = requestsOf(t.pods, container, name); err != nil {
					return usage{}, err
				}
			}
			return ofRequests(requests, percent)(s)
		}
		// On the way down a pod without a sample is taken to use all that it requests, or its target where that is more.
		r.absent = func(pod string) int64 { return requests[pod] * int64(max(100, percent)) / 100 }
	}
	n, u, err := r.propose(all)
	if err != nil {
		return fmt.Errorf("failed to get %s %s: %w", name, what, err)
	}
	p.replicas = n
	format := resource.DecimalSI
	if name == corev1.ResourceMemory {
		format = resource.BinarySI
	}
	status.AverageValue = resource.NewMilliQuantity(u.average, format)
	if want.AverageValue == nil {
		status.AverageUtilization = &u.percent
	}
	return nil
}

func (c *controller) ofPods(ctx context.Context, t *target, p *proposal, s *autoscalingv2.PodsMetricSource) error {
	selector, err := metav1.LabelSelectorAsSelector(s.Metric.Selector)
	if err != nil {
		return err
	}
	all, err := c.meter.ofPods(ctx, t.namespace, t.selector, s.Metric, selector)
	if err != nil {
		return err
	}
	r, amount := c.reckoning(t), s.Target.AverageValue.MilliValue()
	r.of, r.absent = ofTarget(amount), func(string) int64 { return amount }
	n, u, err := r.propose(all)
	if err != nil {
		return err
	}
	p.replicas, p.metric = n, "pods metric "+s.Metric.Name
	p.status.Pods = &autoscalingv2.PodsMetricStatus{Metric: s.Metric, Current: autoscalingv2.MetricValueStatus{AverageValue: milli(u.average)}}
	return nil
}

func (c *controller) ofObject(ctx context.Context, t *target, p *proposal, s *autoscalingv2.ObjectMetricSource) error {
	selector, err := metav1.LabelSelectorAsSelector(s.Metric.Selector)
	if err != nil {
		return err
	}
	whole := s.Target.Type == autoscalingv2.ValueMetricType && s.Target.Value != nil
	if !whole && (s.Target.Type != autoscalingv2.AverageValueMetricType || s.Target.AverageValue == nil) {
		return errors.New("invalid object metric source: neither a value target nor an average value target was set")
	}
	v, err := c.meter.ofObject(ctx, t.namespace, s.DescribedObject, s.Metric.Name, selector)
	if err != nil {
		if !whole {
			return &preface{fmt.Sprintf("failed to get %s object metric: ", s.Metric.Name), err}
		}
		return err
	}
	p.status.Object = &autoscalingv2.ObjectMetricStatus{DescribedObject: s.DescribedObject, Metric: s.Metric}
	if whole {
		p.metric = fmt.Sprintf("%s metric %s", s.DescribedObject.Kind, s.Metric.Name)
		return c.ofWhole(t, p, v, s.Target.Value, &p.status.Object.Current)
	}
	p.metric = fmt.Sprintf("external metric %s(%+v)", s.Metric.Name, s.Metric.Selector)
	ofShare(t, p, v, s.Target.AverageValue, &p.status.Object.Current)
	return nil
}

func (c *controller) ofOutside(ctx context.Context, t *target, p *proposal, s *autoscalingv2.ExternalMetricSource) error {
	if s.Target.AverageValue == nil && s.Target.Value == nil {
		return errors.New("invalid external metric source: neither a value target nor an average value target was set")
	}
	share := s.Target.AverageValue != nil
	values, err := c.meter.ofOutside(ctx, t.namespace, s.Metric)
	if err == nil {
		p.metric = fmt.Sprintf("external metric %s(%+v)", s.Metric.Name, s.Metric.Selector)
		p.status.External = &autoscalingv2.ExternalMetricStatus{Metric: s.Metric}
		if share {
			ofShare(t, p, sum(values), s.Target.AverageValue, &p.status.External.Current)
		} else {
			err = c.ofWhole(t, p, sum(values), s.Target.Value, &p.status.External.Current)
		}
	}
	switch {
	case err == nil:
		return nil
	case share:
		return &preface{fmt.Sprintf("failed to get %s external metric: ", s.Metric.Name), err}
	}
	return &preface{fmt.Sprintf("failed to get external metric %s: ", s.Metric.Name), err}
}

// ofWhole proposes by a value that is compared with a target as a whole.
func (c *controller) ofWhole(t *target, p *proposal, v int64, want *resource.Quantity, status *autoscalingv2.MetricValueStatus) (err error) {
	r := c.reckoning(t)
	p.replicas, err = r.byRatio(float64(v) / float64(want.MilliValue()))
	status.Value = milli(v)
	return err
}

// ofShare proposes by a value of which each replica has a share.
func ofShare(t *target, p *proposal, v int64, want *resource.Quantity, status *autoscalingv2.MetricValueStatus) {
	n, each := byShare(t.has, v, want.MilliValue(), t.within)
	p.replicas, status.AverageValue = n, milli(each)
}

func milli(v int64) *resource.Quantity { return resource.NewMilliQuantity(v, resource.DecimalSI) }
