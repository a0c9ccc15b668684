package scheduling

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The bounds of priorities. What is above HighestUser is the system's.
const (
	HighestUser     int32 = 1000000000
	SystemCritical  int32 = 2 * HighestUser
	SystemPrefix          = "system-"
	ClusterCritical       = SystemPrefix + "cluster-critical"
	NodeCritical          = SystemPrefix + "node-critical"
)

// SystemClasses returns the priority classes that exist in every cluster, as the hub creates them.
func SystemClasses() []*schedulingv1.PriorityClass {
	class := func(name string, value int32, description string) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, Description: description}
	}
	return []*schedulingv1.PriorityClass{
		class(NodeCritical, SystemCritical+1000, "Used for system critical pods that must not be moved from their current node."),
		class(ClusterCritical, SystemCritical,
			"Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
	}
}

// PriorityClasses is the kind PriorityClass.
func PriorityClasses() *api.Kind {
	doc := schedulingv1.PriorityClass{}.SwaggerDoc()
	return &api.Kind{
		Group: schedulingv1.GroupName, Version: "v1", Kind: "PriorityClass", Resource: "priorityclasses", Singular: "priorityclass",
		ShortNames: []string{"pc"},
		New:        func() api.Object { return &schedulingv1.PriorityClass{} },
		NewList:    func() runtime.Object { return &schedulingv1.PriorityClassList{} },

		Default: api.On(func(c *schedulingv1.PriorityClass) {
			if c.PreemptionPolicy == nil {
				lower := corev1.PreemptLowerPriority
				c.PreemptionPolicy = &lower
			}
		}),
		PrepareCreate:  api.On(func(c *schedulingv1.PriorityClass) { c.Generation = 1 }),
		Validate:       api.Check(validatePriorityClass),
		ValidateUpdate: api.CheckChange(validatePriorityClassUpdate),
		Unconditional:  true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Value", "integer", doc["value"]),
			api.Column("Global-Default", "boolean", doc["globalDefault"]),
			api.AgeColumn(),
			api.Column("PreemptionPolicy", "string", doc["preemptionPolicy"]),
		},
		Row: api.Cells(func(c *schedulingv1.PriorityClass) []any {
			policy := ""
			if c.PreemptionPolicy != nil {
				policy = string(*c.PreemptionPolicy)
			}
			return []any{c.Name, int64(c.Value), c.GlobalDefault, c.CreationTimestamp, policy}
		}),
	}
}

func validatePriorityClass(c *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if strings.HasPrefix(c.Name, SystemPrefix) {
		if err := checkSystemClass(c); err != nil {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"),
				"priority class names with '"+SystemPrefix+"' prefix are reserved for system use only. error: "+err.Error()))
		}
	} else if c.Value > HighestUser {
		errs = append(errs, field.Forbidden(field.NewPath("value"), fmt.Sprintf("maximum allowed value of a user defined priority is %v", HighestUser)))
	}
	if p := c.PreemptionPolicy; p != nil {
		path := field.NewPath("preemptionPolicy")
		switch *p {
		case corev1.PreemptLowerPriority, corev1.PreemptNever:
		case "":
			errs = append(errs, field.Required(path, ""))
		default:
			errs = append(errs, field.NotSupported(path, *p, []corev1.PreemptionPolicy{corev1.PreemptLowerPriority, corev1.PreemptNever}))
		}
	}
	return errs
}

// checkSystemClass says how c differs from the system's own class of its name.
func checkSystemClass(c *schedulingv1.PriorityClass) error {
	for _, s := range SystemClasses() {
		if s.Name != c.Name {
			continue
		}
		if s.Value != c.Value {
			return fmt.Errorf("value of %v PriorityClass must be %v", s.Name, s.Value)
		}
		if c.GlobalDefault {
			return fmt.Errorf("globalDefault of %v PriorityClass must be %v", s.Name, s.GlobalDefault)
		}
		return nil
	}
	return fmt.Errorf("%v is not a known system priority class", c.Name)
}

func validatePriorityClassUpdate(c, old *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if c.Value != old.Value {
		errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
	}
	return append(errs, valid.Immutable(c.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
}
