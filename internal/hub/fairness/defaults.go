package fairness

import (
	"sampan.dev/internal/api/flowcontrol"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
)

// AutoUpdate is the annotation of objects that the server keeps as it wants them.
const AutoUpdate = flowcontrolv1.AutoUpdateAnnotationKey

// Mandatory reports whether a schema or a level of that name is kept as it is whatever anybody writes: without it there would be
// requests that belong nowhere.
func Mandatory(name string) bool {
	return name == flowcontrolv1.PriorityLevelConfigurationNameExempt || name == flowcontrolv1.PriorityLevelConfigurationNameCatchAll
}

// Defaults are upstream's schemas and levels, new ones each time.
func Defaults() ([]*flowcontrolv1.FlowSchema, []*flowcontrolv1.PriorityLevelConfiguration) {
	return append(flowcontrol.MandatorySchemas(), flowcontrol.SuggestedSchemas()...), append(flowcontrol.MandatoryLevels(), flowcontrol.SuggestedLevels()...)
}
