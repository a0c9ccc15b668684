package autoscaling

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"sampan.dev/internal/api/valid"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	longestPeriod = 1800 // seconds
	longestWindow = 3600
)

// refCheck says what the reference to an object may leave out.
type refCheck struct {
	anyVersion bool // the API version is not looked at
	noGroup    bool // it may name no group
}

// version says what is wrong with the API version of ref.
func (c refCheck) version(ref autoscalingv2.CrossVersionObjectReference) error {
	if c.anyVersion {
		return nil
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err == nil && !c.noGroup && gv.Group == "" {
		err = errors.New("apiVersion must specify API group")
	}
	return err
}

func (c refCheck) ref(ref autoscalingv2.CrossVersionObjectReference, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, n := range []struct{ name, value string }{{"kind", ref.Kind}, {"name", ref.Name}} {
		if n.value != "" {
			errs = append(errs, segment(n.value, path.Child(n.name))...)
		} else {
			errs = append(errs, field.Required(path.Child(n.name), ""))
		}
	}
	if err := c.version(ref); err != nil {
		errs = append(errs, field.Invalid(path.Child("apiVersion"), ref.APIVersion, err.Error()))
	}
	return errs
}

func segment(name string, path *field.Path) field.ErrorList {
	return valid.Messages(path, name, content.IsPathSegmentName(name))
}

// checkAutoscaler checks an autoscaler; old is nil on create.
func checkAutoscaler(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	target, object := refCheck{}, refCheck{noGroup: true}
	ref := h.Spec.ScaleTargetRef
	switch {
	case old != nil && old.Spec.ScaleTargetRef.APIVersion == ref.APIVersion && old.Spec.ScaleTargetRef.Kind == ref.Kind:
		target.anyVersion = true
	case ref.Kind == "ReplicationController":
		target.noGroup = true
	}
	if old != nil {
		for i := range old.Spec.Metrics {
			if m := &old.Spec.Metrics[i]; m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil && object.version(m.Object.DescribedObject) != nil {
				object.anyVersion = true
			}
		}
	}
	path, s := field.NewPath("spec"), &h.Spec
	errs, last := checkBounds(s, path)
	errs = append(errs, target.ref(ref, path.Child("scaleTargetRef"))...)
	errs = append(errs, object.metrics(s, path.Child("metrics"))...)
	if b := s.Behavior; b != nil {
		errs = append(errs, checkScaling(b.ScaleUp, path.Child("behavior", "scaleUp"))...)
		errs = append(errs, checkScaling(b.ScaleDown, path.Child("behavior", "scaleDown"))...)
	}
	return append(errs, last...)
}

// checkBounds checks minReplicas and maxReplicas; last is what upstream's generated rules say.
func checkBounds(s *autoscalingv2.HorizontalPodAutoscalerSpec, path *field.Path) (errs, last field.ErrorList) {
	at := path.Child("maxReplicas")
	least, most := s.MinReplicas, s.MaxReplicas
	if least != nil && *least < 0 {
		last = append(last, field.Invalid(path.Child("minReplicas"), *least, "must be greater than or equal to 0"))
	}
	switch {
	case most == 0:
		last = append(last, field.Required(at, ""))
	case most < 0:
		last = append(last, field.Invalid(at, most, "must be greater than or equal to 1"))
	}
	if least != nil && most < *least {
		errs = append(errs, field.Invalid(at, most, "must be greater than or equal to `minReplicas`"))
	}
	return errs, last
}

func (c refCheck) metrics(s *autoscalingv2.HorizontalPodAutoscalerSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	wakes := false // some metric can be there without a pod
	for i := range s.Metrics {
		m := &s.Metrics[i]
		errs = append(errs, c.metric(m, path.Index(i))...)
		wakes = wakes || m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType
	}
	if s.MinReplicas != nil && *s.MinReplicas == 0 && !wakes {
		errs = append(errs, field.Forbidden(path, "must specify at least one Object or External metric to support scaling to zero replicas"))
	}
	return errs
}

var metricTypes = []autoscalingv2.MetricSourceType{
	autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.ExternalMetricSourceType, autoscalingv2.ObjectMetricSourceType,
	autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType,
}

// metric checks that a metric has exactly the source that its type names. Only the first source is looked into.
func (c refCheck) metric(m *autoscalingv2.MetricSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.Type == "" {
		errs = append(errs, field.Required(path.Child("type"), "must specify a metric source type"))
	}
	errs = append(errs, valid.InOrder(m.Type, path.Child("type"), metricTypes...)...)
	sources := []struct {
		name  string
		of    autoscalingv2.MetricSourceType
		has   bool
		check func(*field.Path) field.ErrorList
	}{
		{"object", autoscalingv2.ObjectMetricSourceType, m.Object != nil, func(p *field.Path) field.ErrorList { return c.object(m.Object, p) }},
		{"external", autoscalingv2.ExternalMetricSourceType, m.External != nil, func(p *field.Path) field.ErrorList { return checkExternal(m.External, p) }},
		{"pods", autoscalingv2.PodsMetricSourceType, m.Pods != nil, func(p *field.Path) field.ErrorList { return checkPods(m.Pods, p) }},
		{"resource", autoscalingv2.ResourceMetricSourceType, m.Resource != nil, func(p *field.Path) field.ErrorList { return checkResource(m.Resource, p) }},
		{"containerResource", autoscalingv2.ContainerResourceMetricSourceType, m.ContainerResource != nil, func(p *field.Path) field.ErrorList { return checkContainerResource(m.ContainerResource, p) }},
	}
	present := map[string]bool{}
	for _, s := range sources {
		if s.has {
			if len(present) == 0 {
				errs = append(errs, s.check(path.Child(s.name))...)
			}
			present[s.name] = true
		}
	}
	expected := ""
	for _, s := range sources {
		if s.of != m.Type {
			continue
		}
		if expected = s.name; !s.has {
			errs = append(errs, field.Required(path.Child(s.name), "must populate information for the given metric source"))
		}
	}
	if expected == "" {
		errs = append(errs, field.NotSupported(path.Child("type"), m.Type, metricTypes))
	}
	if len(present) == 1 {
		return errs
	}
	delete(present, expected)
	for _, name := range slices.Sorted(maps.Keys(present)) { // upstream has them in no order
		errs = append(errs, field.Forbidden(path.Child(name), "must populate the given metric source only"))
	}
	return errs
}

func (c refCheck) object(m *autoscalingv2.ObjectMetricSource, path *field.Path) field.ErrorList {
	errs := c.ref(m.DescribedObject, path.Child("describedObject"))
	errs = append(errs, checkMetric(m.Metric, path.Child("metric"))...)
	errs = append(errs, checkTarget(&m.Target, path.Child("target"))...)
	if m.Target.Value == nil && m.Target.AverageValue == nil {
		errs = append(errs, field.Required(path.Child("target", "averageValue"), "must set either a target value or averageValue"))
	}
	return errs
}

func checkExternal(m *autoscalingv2.ExternalMetricSource, path *field.Path) field.ErrorList {
	errs := checkMetric(m.Metric, path.Child("metric"))
	errs = append(errs, checkTarget(&m.Target, path.Child("target"))...)
	switch value, average := m.Target.Value != nil, m.Target.AverageValue != nil; {
	case !value && !average:
		errs = append(errs, field.Required(path.Child("target", "averageValue"), "must set either a target value for metric or a per-pod target"))
	case value && average:
		errs = append(errs, field.Forbidden(path.Child("target", "value"), "may not set both a target value for metric and a per-pod target"))
	}
	return errs
}

func checkPods(m *autoscalingv2.PodsMetricSource, path *field.Path) field.ErrorList {
	errs := checkMetric(m.Metric, path.Child("metric"))
	errs = append(errs, checkTarget(&m.Target, path.Child("target"))...)
	if m.Target.AverageValue == nil {
		errs = append(errs, field.Required(path.Child("target", "averageValue"), "must specify a positive target averageValue"))
	}
	return errs
}

func checkResource(m *autoscalingv2.ResourceMetricSource, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "must specify a resource name"))
	}
	return append(errs, checkShare(&m.Target, path.Child("target"))...)
}

func checkContainerResource(m *autoscalingv2.ContainerResourceMetricSource, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "must specify a resource name"))
	} else {
		errs = append(errs, valid.ContainerResourceName(m.Name, path.Child("name"))...)
	}
	if m.Container == "" {
		errs = append(errs, field.Required(path.Child("container"), "must specify a container"))
	} else {
		errs = append(errs, valid.DNSLabel(m.Container, path.Child("container"))...)
	}
	return append(errs, checkShare(&m.Target, path.Child("target"))...)
}

// checkShare checks the target of what pods use of a resource.
func checkShare(t *autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	errs := checkTarget(t, path)
	switch share, value := t.AverageUtilization != nil, t.AverageValue != nil; {
	case !share && !value:
		errs = append(errs, field.Required(path.Child("averageUtilization"), "must set either a target raw value or a target utilization"))
	case share && value:
		errs = append(errs, field.Forbidden(path.Child("averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

func checkTarget(t *autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch t.Type {
	case "":
		errs = append(errs, field.Required(path.Child("type"), "must specify a metric target type"))
		fallthrough
	default:
		errs = append(errs, field.Invalid(path.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue"))
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	}
	if t.Value != nil && t.Value.Sign() != 1 {
		errs = append(errs, field.Invalid(path.Child("value"), t.Value, "must be positive"))
	}
	if t.AverageValue != nil && t.AverageValue.Sign() != 1 {
		errs = append(errs, field.Invalid(path.Child("averageValue"), t.AverageValue, "must be positive"))
	}
	if n := t.AverageUtilization; n != nil && *n < 1 {
		errs = append(errs, field.Invalid(path.Child("averageUtilization"), n, "must be greater than 0"))
	}
	return errs
}

func checkMetric(m autoscalingv2.MetricIdentifier, path *field.Path) field.ErrorList {
	if m.Name == "" {
		return valid.Required(path.Child("name"), "must specify a metric name")
	}
	return segment(m.Name, path.Child("name"))
}

func checkScaling(r *autoscalingv2.HPAScalingRules, path *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if n := r.StabilizationWindowSeconds; n != nil {
		at := path.Child("stabilizationWindowSeconds")
		if *n < 0 {
			errs = append(errs, field.Invalid(at, n, "must be greater than or equal to zero"))
		}
		if *n > longestWindow {
			errs = append(errs, field.Invalid(at, n, fmt.Sprintf("must be less than or equal to %v", longestWindow)))
		}
	}
	if p := r.SelectPolicy; p != nil {
		errs = append(errs, valid.OneOf(*p, path.Child("selectPolicy"), autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)...)
	}
	policies := path.Child("policies")
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(policies, "must specify at least one Policy"))
	}
	for i, p := range r.Policies {
		errs = append(errs, checkScalingPolicy(p, policies.Index(i))...)
	}
	if r.Tolerance != nil {
		errs = append(errs, valid.NonNegativeQuantity(*r.Tolerance, path.Child("tolerance"))...)
	}
	return errs
}

func checkScalingPolicy(p autoscalingv2.HPAScalingPolicy, path *field.Path) field.ErrorList {
	const notPositive = "must be greater than zero"
	errs := valid.OneOf(p.Type, path.Child("type"), autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy)
	if p.Value <= 0 {
		errs = append(errs, field.Invalid(path.Child("value"), p.Value, notPositive))
	}
	at := path.Child("periodSeconds")
	if p.PeriodSeconds <= 0 {
		errs = append(errs, field.Invalid(at, p.PeriodSeconds, notPositive))
	}
	if p.PeriodSeconds > longestPeriod {
		errs = append(errs, field.Invalid(at, p.PeriodSeconds, fmt.Sprintf("must be less than or equal to %v", longestPeriod)))
	}
	return errs
}

func checkAutoscalerStatus(h, _ *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	path := field.NewPath("status")
	var errs field.ErrorList
	for i, c := range h.Status.Conditions {
		if n := c.ObservedGeneration; n != nil {
			errs = append(errs, valid.NonNegative(*n, path.Child("conditions").Index(i).Child("observedGeneration"))...)
		}
	}
	errs = append(errs, valid.NonNegative(int64(h.Status.CurrentReplicas), path.Child("currentReplicas"))...)
	return append(errs, valid.NonNegative(int64(h.Status.DesiredReplicas), path.Child("desiredReplicas"))...)
}
