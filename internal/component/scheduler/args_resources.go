package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// More arguments of plugins, by upstream's names.
type (
	fitArgs struct {
		head
		IgnoredResources      []string         `json:"ignoredResources,omitempty"`
		IgnoredResourceGroups []string         `json:"ignoredResourceGroups,omitempty"`
		ScoringStrategy       *scoringStrategy `json:"scoringStrategy,omitempty"`
	}
	scoringStrategy struct {
		Type                     string         `json:"type,omitempty"`
		Resources                []resourceSpec `json:"resources,omitempty"`
		RequestedToCapacityRatio *struct {
			Shape []shapePoint `json:"shape,omitempty"`
		} `json:"requestedToCapacityRatio,omitempty"`
	}
	resourceSpec struct {
		Name   string `json:"name"`
		Weight int64  `json:"weight,omitempty"`
	}
	shapePoint struct {
		Utilization int32 `json:"utilization"`
		Score       int32 `json:"score"`
	}
	balancedArgs struct {
		head
		Resources []resourceSpec `json:"resources,omitempty"`
	}
	nodeAffinityArgs struct {
		head
		AddedAffinity *corev1.NodeAffinity `json:"addedAffinity,omitempty"`
	}
	devicesArgs struct {
		head
		FilterTimeout  *metav1.Duration `json:"filterTimeout,omitempty"`
		BindingTimeout *metav1.Duration `json:"bindingTimeout,omitempty"`
	}
	bindingArgs struct {
		head
		BindTimeoutSeconds *int64       `json:"bindTimeoutSeconds,omitempty"`
		Shape              []shapePoint `json:"shape,omitempty"`
	}
)

func (a *fitArgs) into(out *scheduler.Args, path *field.Path) (errs field.ErrorList) {
	for i, name := range a.IgnoredResources {
		errs = append(errs, metav1validation.ValidateLabelName(name, path.Child("ignoredResources").Index(i))...)
	}
	for i, group := range a.IgnoredResourceGroups {
		at := path.Child("ignoredResourceGroups").Index(i)
		if strings.Contains(group, "/") {
			errs = append(errs, field.Invalid(at, group, "resource group name can't contain '/'"))
		}
		errs = append(errs, metav1validation.ValidateLabelName(group, at)...)
	}
	out.Fit.IgnoredResources, out.Fit.IgnoredGroups = a.IgnoredResources, a.IgnoredResourceGroups
	if a.ScoringStrategy != nil {
		errs = append(errs, a.ScoringStrategy.into(&out.Fit, path.Child("scoringStrategy"))...)
	}
	return errs
}

func (s *scoringStrategy) into(out *plugin.Strategy, path *field.Path) (errs field.ErrorList) {
	out.Kind = s.Type
	kinds := []string{plugin.LeastAllocated, plugin.MostAllocated, plugin.RequestedToCapacityRatio}
	if !slices.Contains(kinds, s.Type) {
		errs = append(errs, field.NotSupported(path.Child("type"), s.Type, kinds))
	}
	for i, r := range s.Resources {
		weight := cmp.Or(r.Weight, 1) // upstream's default
		if weight < 0 || weight > 100 {
			errs = append(errs, field.Invalid(path.Child("resources").Index(i).Child("weight"), weight, fmt.Sprintf("resource weight of %v not in valid range (0, 100]", r.Name)))
		}
		out.Resources = append(out.Resources, plugin.Weight{Name: corev1.ResourceName(r.Name), Weight: weight})
	}
	ratio := path.Child("requestedToCapacityRatio")
	switch given := s.RequestedToCapacityRatio; {
	case s.Type != plugin.RequestedToCapacityRatio && given != nil:
		errs = append(errs, field.Forbidden(ratio, "must be nil when type is not RequestedToCapacityRatio"))
	case s.Type == plugin.RequestedToCapacityRatio && given == nil:
		errs = append(errs, field.Required(ratio, "must be specified when type is RequestedToCapacityRatio"))
	case given != nil:
		errs = append(errs, checkShape(given.Shape, ratio.Child("shape"))...)
		for _, p := range given.Shape {
			out.Shape = append(out.Shape, plugin.Point{Use: int64(p.Utilization), Score: int64(p.Score)})
		}
	}
	return errs
}

func checkShape(shape []shapePoint, path *field.Path) (errs field.ErrorList) {
	if len(shape) == 0 {
		return field.ErrorList{field.Required(path, "at least one point must be specified")}
	}
	for i := 1; i < len(shape); i++ {
		if shape[i-1].Utilization >= shape[i].Utilization {
			errs = append(errs, field.Invalid(path.Index(i).Child("utilization"), shape[i].Utilization, "values must be sorted in increasing order"))
			break
		}
	}
	for i, p := range shape {
		if p.Utilization < 0 || p.Utilization > 100 {
			errs = append(errs, field.Invalid(path.Index(i).Child("utilization"), p.Utilization, "not in valid range [0, 100]"))
		}
		if p.Score < 0 || p.Score > 10 {
			errs = append(errs, field.Invalid(path.Index(i).Child("score"), p.Score, "not in valid range [0, 10]"))
		}
	}
	return errs
}

func (a *balancedArgs) into(out *scheduler.Args, path *field.Path) (errs field.ErrorList) {
	for i, r := range a.Resources {
		at := path.Child("resources").Index(i)
		if name := corev1.ResourceName(r.Name); slices.Contains(out.Balanced, name) {
			errs = append(errs, field.Duplicate(at.Child("name"), r.Name))
		} else {
			out.Balanced = append(out.Balanced, name)
		}
		if weight := cmp.Or(r.Weight, 1); weight != 1 {
			errs = append(errs, field.Invalid(at.Child("weight"), weight, "must be 1"))
		}
	}
	return errs
}

func (a *nodeAffinityArgs) into(out *scheduler.Args, path *field.Path) (errs field.ErrorList) {
	if a.AddedAffinity == nil {
		return nil
	}
	at := path.Child("addedAffinity")
	if required := a.AddedAffinity.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
		at := at.Child("requiredDuringSchedulingIgnoredDuringExecution")
		if _, err := nodeaffinity.NewNodeSelector(required, field.WithPath(at)); err != nil {
			errs = append(errs, field.Invalid(at, required, err.Error()))
		}
	}
	if terms := a.AddedAffinity.PreferredDuringSchedulingIgnoredDuringExecution; len(terms) > 0 {
		at := at.Child("preferredDuringSchedulingIgnoredDuringExecution")
		if _, err := nodeaffinity.NewPreferredSchedulingTerms(terms, field.WithPath(at)); err != nil {
			errs = append(errs, field.Invalid(at, terms, err.Error()))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	added, err := plugin.NewNodeAffinity(*a.AddedAffinity)
	if err != nil {
		return field.ErrorList{field.InternalError(at, err)}
	}
	out.Affine = added
	return nil
}

func (a *devicesArgs) into(out *scheduler.Args, path *field.Path) (errs field.ErrorList) {
	if d := a.FilterTimeout; d != nil {
		if d.Duration < 0 {
			errs = append(errs, field.Invalid(path.Child("filterTimeout"), d, "must be zero or positive"))
		}
		out.Devices.FilterTimeout = d.Duration
	}
	if d := a.BindingTimeout; d != nil {
		if d.Duration < time.Second {
			errs = append(errs, field.Invalid(path.Child("bindingTimeout"), d, "must be at least 1 second"))
		}
		out.Devices.BindingTimeout = d.Duration
	}
	return errs
}

func (a *bindingArgs) into(out *scheduler.Args, path *field.Path) (errs field.ErrorList) {
	if s := a.BindTimeoutSeconds; s != nil {
		if *s < 0 {
			errs = append(errs, field.Invalid(path.Child("bindTimeoutSeconds"), *s, "invalid BindTimeoutSeconds, should not be a negative value"))
		}
		out.BindWithin = time.Duration(*s) * time.Second
	}
	if a.Shape != nil {
		errs = append(errs, field.Invalid(path.Child("shape"), a.Shape, "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring"))
	}
	return errs
}
