package scheduler

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/control/scheduler/topology"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PluginConfig is the arguments of one plugin.
type PluginConfig struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

// head is what all arguments begin with.
type head struct {
	Kind       string `json:"kind,omitempty"`
	APIVersion string `json:"apiVersion,omitempty"`
}

// The arguments of plugins that can be set, by upstream's names. What is not given keeps its default.
type (
	affinityArgs struct {
		head
		HardPodAffinityWeight              *int32 `json:"hardPodAffinityWeight,omitempty"`
		IgnorePreferredTermsOfExistingPods bool   `json:"ignorePreferredTermsOfExistingPods,omitempty"`
	}
	spreadArgs struct {
		head
		DefaultConstraints []corev1.TopologySpreadConstraint `json:"defaultConstraints,omitempty"`
		DefaultingType     string                            `json:"defaultingType,omitempty"`
	}
	preemptionArgs struct {
		head
		MinCandidateNodesPercentage *int32 `json:"minCandidateNodesPercentage,omitempty"`
		MinCandidateNodesAbsolute   *int32 `json:"minCandidateNodesAbsolute,omitempty"`
	}
)

// arguments reads the arguments of all plugins of a profile.
func arguments(list []PluginConfig) (scheduler.Args, error) {
	out := scheduler.DefaultArgs()
	seen := map[string]bool{}
	for i, c := range list {
		path := field.NewPath("pluginConfig").Index(i)
		if seen[c.Name] {
			return out, field.Duplicate(path, c.Name)
		}
		seen[c.Name] = true
		at := path.Child("args")
		var errs field.ErrorList
		var err error
		switch c.Name {
		case "InterPodAffinity":
			var a affinityArgs
			if err = strict(c, &a, &a.head); err == nil {
				errs = a.into(&out, at)
			}
		case "PodTopologySpread":
			var a spreadArgs
			if err = strict(c, &a, &a.head); err == nil {
				errs = a.into(&out, at)
			}
		case "DefaultPreemption":
			var a preemptionArgs
			if err = strict(c, &a, &a.head); err == nil {
				errs = a.into(&out, at)
			}
		case "NodeResourcesFit":
			var a fitArgs
			if err = strict(c, &a, &a.head); err == nil {
				errs = a.into(&out, at)
			}
		case "NodeResourcesBalancedAllocation":
			var a balancedArgs
			if err = strict(c, &a, &a.head); err == nil {
				errs = a.into(&out, at)
			}
		case "NodeAffinity":
			var a nodeAffinityArgs
			if err = strict(c, &a, &a.head); err == nil {
				errs = a.into(&out, at)
			}
		case "DynamicResources":
			var a devicesArgs
			if err = strict(c, &a, &a.head); err == nil {
				errs = a.into(&out, at)
			}
		case "VolumeBinding":
			var a bindingArgs
			if err = strict(c, &a, &a.head); err == nil {
				errs = a.into(&out, at)
			}
		default:
			err = fmt.Errorf("plugin %q takes no arguments", c.Name)
		}
		if err != nil {
			return out, fmt.Errorf("%s: %w", path, err)
		}
		if err := errs.ToAggregate(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// strict reads arguments without unknown fields. Kind and version may be left out.
func strict(c PluginConfig, into any, h *head) error {
	if len(c.Args) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(c.Args))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("decoding .args: strict decoding error: %w", err)
	}
	if h.Kind != "" && h.Kind != c.Name+"Args" {
		return fmt.Errorf("args for plugin %s were not of type %sArgs.kubescheduler.config.k8s.io, got %s", c.Name, c.Name, h.Kind)
	}
	return nil
}

func (a *affinityArgs) into(out *scheduler.Args, path *field.Path) (errs field.ErrorList) {
	if w := a.HardPodAffinityWeight; w != nil {
		if *w < 0 || *w > 100 {
			errs = append(errs, field.Invalid(path.Child("hardPodAffinityWeight"), *w, "not in valid range [0, 100]"))
		}
		out.Affinity.HardPodAffinityWeight = *w
	}
	out.Affinity.IgnorePreferredTermsOfExistingPods = a.IgnorePreferredTermsOfExistingPods
	return errs
}

func (a *preemptionArgs) into(out *scheduler.Args, path *field.Path) (errs field.ErrorList) {
	percentage, absolute := path.Child("minCandidateNodesPercentage"), path.Child("minCandidateNodesAbsolute")
	if n := a.MinCandidateNodesPercentage; n != nil {
		if *n < 0 || *n > 100 {
			errs = append(errs, field.Invalid(percentage, *n, "not in valid range [0, 100]"))
		}
		out.Preemption.MinCandidateNodesPercentage = int(*n)
	}
	if n := a.MinCandidateNodesAbsolute; n != nil {
		if *n < 0 {
			errs = append(errs, field.Invalid(absolute, *n, "not in valid range [0, inf)"))
		}
		out.Preemption.MinCandidateNodesAbsolute = int(*n)
	}
	if out.Preemption.MinCandidateNodesPercentage == 0 && out.Preemption.MinCandidateNodesAbsolute == 0 {
		errs = append(errs, field.Invalid(percentage, 0, "cannot be zero at the same time as minCandidateNodesAbsolute"),
			field.Invalid(absolute, 0, "cannot be zero at the same time as minCandidateNodesPercentage"))
	}
	return errs
}

func (a *spreadArgs) into(out *scheduler.Args, path *field.Path) (errs field.ErrorList) {
	kind := path.Child("defaultingType")
	switch a.DefaultingType {
	case "", "System":
		if len(a.DefaultConstraints) > 0 {
			errs = append(errs, field.Invalid(kind, "System", "when .defaultConstraints are not empty"))
		}
		out.Spread = topology.SystemDefault()
	case "List":
		out.Spread = topology.SpreadArgs{Default: a.DefaultConstraints}
	default:
		errs = append(errs, field.NotSupported(kind, a.DefaultingType, []string{"System", "List"}))
	}
	for i := range a.DefaultConstraints {
		c, at := &a.DefaultConstraints[i], path.Child("defaultConstraints").Index(i)
		if c.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(at.Child("maxSkew"), c.MaxSkew, "not in valid range (0, inf)"))
		}
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(at.Child("topologyKey"), "can not be empty"))
		} else {
			errs = append(errs, metav1validation.ValidateLabelName(c.TopologyKey, at.Child("topologyKey"))...)
		}
		switch c.WhenUnsatisfiable {
		case corev1.DoNotSchedule, corev1.ScheduleAnyway:
		case "":
			errs = append(errs, field.Required(at.Child("whenUnsatisfiable"), "can not be empty"))
		default:
			errs = append(errs, field.NotSupported(at.Child("whenUnsatisfiable"), c.WhenUnsatisfiable, []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}))
		}
		if c.LabelSelector != nil {
			errs = append(errs, field.Forbidden(at.Child("labelSelector"), "constraint must not define a selector, as they deduced for each pod"))
		}
		for _, other := range a.DefaultConstraints[:i] {
			if c.TopologyKey == other.TopologyKey && c.WhenUnsatisfiable == other.WhenUnsatisfiable {
				errs = append(errs, field.Duplicate(at, fmt.Sprintf("{%v, %v}", c.TopologyKey, c.WhenUnsatisfiable)))
			}
		}
	}
	return errs
}
