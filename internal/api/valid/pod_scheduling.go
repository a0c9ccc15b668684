package valid

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *podCheck) checkAffinity() {
	a, path := c.Affinity, c.path.Child("affinity")
	if a == nil {
		return
	}
	if n := a.NodeAffinity; n != nil {
		path := path.Child("nodeAffinity")
		if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			c.add(NodeSelector(r, path.Child("requiredDuringSchedulingIgnoredDuringExecution"))...)
		}
		for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			t, path := &n.PreferredDuringSchedulingIgnoredDuringExecution[i], path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
			c.weight(t.Weight, path)
			c.add(nodeSelectorTerm(&t.Preference, false, path.Child("preference"))...)
		}
	}
	if p := a.PodAffinity; p != nil {
		c.podTerms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAffinity"))
	}
	if p := a.PodAntiAffinity; p != nil {
		c.podTerms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAntiAffinity"))
	}
}

func (c *podCheck) weight(w int32, path *field.Path) {
	if w <= 0 || w > 100 {
		c.invalid(path.Child("weight"), w, "must be in the range 1-100")
	}
}

// NodeSelector checks a selector of nodes by labels and fields.
func NodeSelector(s *corev1.NodeSelector, path *field.Path) field.ErrorList {
	return nodeSelector(s, true, path)
}

func nodeSelector(s *corev1.NodeSelector, checkValues bool, path *field.Path) field.ErrorList {
	path = path.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		return Required(path, "must have at least one node selector term")
	}
	var errs field.ErrorList
	for i := range s.NodeSelectorTerms {
		errs = append(errs, nodeSelectorTerm(&s.NodeSelectorTerms[i], checkValues, path.Index(i))...)
	}
	return errs
}

// nodeSelectorTerm checks one term; preferred terms are not checked for values that no label can have.
func nodeSelectorTerm(t *corev1.NodeSelectorTerm, checkValues bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range t.MatchExpressions {
		errs = append(errs, nodeLabelRequirement(&t.MatchExpressions[i], checkValues, path.Child("matchExpressions").Index(i))...)
	}
	for i := range t.MatchFields {
		errs = append(errs, nodeFieldRequirement(&t.MatchFields[i], path.Child("matchFields").Index(i))...)
	}
	return errs
}

func nodeLabelRequirement(r *corev1.NodeSelectorRequirement, checkValues bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	values := path.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(values, "must be specified when `operator` is 'In' or 'NotIn'"))
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
		}
	default:
		errs = append(errs, field.Invalid(path.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	errs = append(errs, metavalidation.ValidateLabelName(r.Key, path.Child("key"))...)
	for i, v := range r.Values {
		if checkValues {
			errs = append(errs, messages(values.Index(i), v, validation.IsValidLabelValue(v))...)
		}
	}
	return errs
}

func nodeFieldRequirement(r *corev1.NodeSelectorRequirement, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Operator != corev1.NodeSelectorOpIn && r.Operator != corev1.NodeSelectorOpNotIn {
		errs = append(errs, field.Invalid(path.Child("operator"), r.Operator, "not a valid selector operator"))
	} else if len(r.Values) != 1 {
		errs = append(errs, field.Required(path.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
	}
	if r.Key != "metadata.name" {
		return append(errs, field.Invalid(path.Child("key"), r.Key, "not a valid field selector key"))
	}
	for i, v := range r.Values {
		errs = append(errs, NodeName(v, path.Child("values").Index(i))...)
	}
	return errs
}

func (c *podCheck) podTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, path *field.Path) {
	for i := range required {
		c.podTerm(&required[i], path.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i))
	}
	for i := range preferred {
		path := path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		c.weight(preferred[i].Weight, path)
		c.podTerm(&preferred[i].PodAffinityTerm, path.Child("podAffinityTerm"))
	}
}

func (c *podCheck) podTerm(t *corev1.PodAffinityTerm, path *field.Path) {
	c.add(LabelSelector(t.LabelSelector, path.Child("labelSelector"))...)
	c.add(LabelSelector(t.NamespaceSelector, path.Child("namespaceSelector"))...)
	for _, ns := range t.Namespaces {
		c.invalidAll(path.Child("namespace"), ns, apivalidation.ValidateNamespaceName(ns, false))
	}
	c.labelKeys(t.MatchLabelKeys, t.MismatchLabelKeys, t.LabelSelector, path)
	if t.TopologyKey == "" {
		c.required(path.Child("topologyKey"), "can not be empty")
	}
	c.add(metavalidation.ValidateLabelName(t.TopologyKey, path.Child("topologyKey"))...)
}

// labelKeys checks matchLabelKeys and mismatchLabelKeys beside a selector. When the pod was created each key was merged
// into the selector as an expression, so a key may be there once as that, but not besides.
func (c *podCheck) labelKeys(match, mismatch []string, selector *metav1.LabelSelector, path *field.Path) {
	for _, list := range []struct {
		name string
		keys []string
	}{{"matchLabelKeys", match}, {"mismatchLabelKeys", mismatch}} {
		if len(list.keys) > 0 && selector == nil {
			c.forbidden(path.Child(list.name), "must not be specified when labelSelector is not set")
			continue
		}
		for i, key := range list.keys {
			c.add(metavalidation.ValidateLabelName(key, path.Child(list.name).Index(i))...)
		}
	}
	if selector != nil {
		seen := map[string]bool{}
		for key := range selector.MatchLabels {
			seen[key] = true
		}
		for _, e := range selector.MatchExpressions {
			if i := slices.Index(match, e.Key); i >= 0 && seen[e.Key] {
				c.invalid(path.Index(i), e.Key, "exists in both matchLabelKeys and labelSelector")
			}
			seen[e.Key] = true
		}
	}
	for i, key := range match {
		if slices.Contains(mismatch, key) {
			c.invalid(path.Child("matchLabelKeys").Index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys")
		}
	}
}

func (c *podCheck) checkTopologySpread() {
	for i := range c.TopologySpreadConstraints {
		t, path := &c.TopologySpreadConstraints[i], c.path.Child("topologySpreadConstraints").Index(i)
		c.add(Positive(int64(t.MaxSkew), path.Child("maxSkew"))...)
		if t.TopologyKey == "" {
			c.required(path.Child("topologyKey"), "can not be empty")
		}
		c.add(OneOf(t.WhenUnsatisfiable, path.Child("whenUnsatisfiable"), corev1.DoNotSchedule, corev1.ScheduleAnyway)...)
		for _, o := range c.TopologySpreadConstraints[i+1:] {
			if o.TopologyKey == t.TopologyKey && o.WhenUnsatisfiable == t.WhenUnsatisfiable {
				c.duplicate(path.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%v, %v}", t.TopologyKey, t.WhenUnsatisfiable))
				break
			}
		}
		if m := t.MinDomains; m != nil {
			c.add(Positive(int64(*m), path.Child("minDomains"))...)
			if t.WhenUnsatisfiable != corev1.DoNotSchedule {
				c.invalid(path.Child("minDomains"), *m, fmt.Sprintf("can only use minDomains if whenUnsatisfiable=%s, not %s", corev1.DoNotSchedule, t.WhenUnsatisfiable))
			}
		}
		for _, p := range []struct {
			name   string
			policy *corev1.NodeInclusionPolicy
		}{{"nodeAffinityPolicy", t.NodeAffinityPolicy}, {"nodeTaintsPolicy", t.NodeTaintsPolicy}} {
			if p.policy != nil {
				c.add(OneOf(*p.policy, path.Child(p.name), corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)...)
			}
		}
		c.labelKeys(t.MatchLabelKeys, nil, t.LabelSelector, path)
		c.add(LabelSelector(t.LabelSelector, path.Child("labelSelector"))...)
	}
}

// Tolerations checks the tolerations of a pod.
func Tolerations(list []corev1.Toleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		t, path := &list[i], path.Index(i)
		if t.Key != "" {
			errs = append(errs, metavalidation.ValidateLabelName(t.Key, path.Child("key"))...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(path.Child("operator"), t.Operator, "operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(path.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			if msgs := validation.IsValidLabelValue(t.Value); len(msgs) > 0 {
				errs = append(errs, field.Invalid(path.Child("operator"), t.Value, strings.Join(msgs, ";")))
			}
		case corev1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(path.Child("operator"), t.Value, "value must be empty when `operator` is 'Exists'"))
			}
		case corev1.TolerationOpLt, corev1.TolerationOpGt: // alpha
			errs = append(errs, field.NotSupported(path.Child("operator"), t.Operator, []corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpLt, corev1.TolerationOpGt}))
		default:
			errs = append(errs, InOrder(t.Operator, path.Child("operator"), corev1.TolerationOpEqual, corev1.TolerationOpExists)...)
		}
		if t.Effect != "" {
			errs = append(errs, taintEffect(t.Effect, path.Child("effect"))...)
		}
	}
	return errs
}
