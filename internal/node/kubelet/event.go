package kubelet

import (
	"fmt"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client/record"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// recorder tells of pods, their containers and the node. It is silent without a door.
type recorder struct {
	rec  *record.Recorder
	node string
}

// pod records an event about a pod, or when container is not empty about that container of it.
func (r *recorder) pod(pod *corev1.Pod, container, typ, reason, format string, args ...any) {
	if r.rec == nil || pods.IsStatic(pod) && !pods.IsMirror(pod) && pod.UID == "" {
		return
	}
	ref := corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	if container != "" {
		ref.FieldPath = pods.FieldPath(pod, container)
	}
	r.rec.EventRef(ref, typ, reason, fmt.Sprintf(format, args...))
}

// onNode records an event about our node. Its UID is the node's name, as upstream has it and tools look for it.
func (r *recorder) onNode(typ, reason, message string) {
	if r.rec != nil {
		r.rec.EventRef(corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: r.node, UID: types.UID(r.node)}, typ, reason, message)
	}
}
