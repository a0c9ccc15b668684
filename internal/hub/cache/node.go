package cache

import (
	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
)

// Field numbers of corev1.Pod and PodSpec (k8s.io/api/core/v1/generated.proto).
const (
	fieldSpec     = 2
	fieldNodeName = 10
)

// nodeOf returns the function that tells an entry's node, or nil for kinds that have none.
func nodeOf(kind *api.Kind) func(*Entry) string {
	if kind.Group != "" || kind.Resource != "pods" {
		return nil
	}
	return podNode
}

// podNode reads spec.nodeName without decoding the pod, where the bytes allow.
func podNode(e *Entry) string {
	if e == nil {
		return ""
	}
	if e.env != nil {
		return string(first(first(e.msg, fieldSpec), fieldNodeName))
	}
	o, err := e.Object()
	if err != nil {
		return "" // whoever reads the pod is told
	}
	if pod, ok := o.(*corev1.Pod); ok {
		return pod.Spec.NodeName
	}
	return ""
}
