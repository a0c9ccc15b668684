package pods

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EndsExclusiveAfter is the annotation in which a node promises to end its exclusive pods by itself when it is cut off: so long after the
// last renewal of its lease, as a duration ("60s"), none of them runs any more. What promises nothing lacks it.
const EndsExclusiveAfter = "sampan.dev/ends-exclusive-pods-after"

// PromiseOf is how long after the last sign of life of a node none of its exclusive pods runs any more; ok is false where it does not say.
func PromiseOf(node *corev1.Node) (after time.Duration, ok bool) {
	after, err := time.ParseDuration(node.Annotations[EndsExclusiveAfter])
	return after, err == nil && after > 0
}

// IsExclusive reports whether two of a pod at one time would do harm, so that it must not be replaced while it may still run: it is a
// StatefulSet's, of which each name is there once, or it has the volume of a claim.
func IsExclusive(p *corev1.Pod) bool {
	if ref := metav1.GetControllerOfNoCopy(p); ref != nil && ref.Kind == "StatefulSet" && ref.APIVersion == "apps/v1" {
		return true
	}
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; v.PersistentVolumeClaim != nil || v.Ephemeral != nil {
			return true
		}
	}
	return false
}
