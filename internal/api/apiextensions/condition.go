package apiextensions

import (
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition is one of a definition's.
type Condition = apiextensionsv1.CustomResourceDefinitionCondition

// ConditionType is what a condition is about.
type ConditionType = apiextensionsv1.CustomResourceDefinitionConditionType

// Find returns the condition of a type, nil if there is none.
func Find(d *Definition, t ConditionType) *Condition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == t {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}

// IsTrue reports whether the condition of a type is there and true.
func IsTrue(d *Definition, t ConditionType) bool {
	c := Find(d, t)
	return c != nil && c.Status == apiextensionsv1.ConditionTrue
}

// SetCondition changes a condition, or adds it after the others. Its time is now, unless its status is as it was.
func SetCondition(d *Definition, c Condition) {
	c.LastTransitionTime = metav1.NewTime(time.Now().Truncate(time.Second))
	have := Find(d, c.Type)
	if have == nil {
		d.Status.Conditions = append(d.Status.Conditions, c)
		return
	}
	if have.Status == c.Status && !have.LastTransitionTime.IsZero() {
		c.LastTransitionTime = have.LastTransitionTime
	}
	have.LastTransitionTime, have.Status, have.Reason, have.Message = c.LastTransitionTime, c.Status, c.Reason, c.Message
}

// Same reports whether two conditions, either of which may be nil, say the same.
func Same(a, b *Condition) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
}
