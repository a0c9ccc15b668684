package event

import (
	"context"
	"fmt"
	"log/slog"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/record"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Recorder records events in the name of one node's kubelet. Every goroutine may use it; none waits for the hub.
type Recorder struct {
	rec  *record.Recorder // nil without a hub: nothing is recorded
	node string
}

// New makes a recorder for the named node. Without a client (nil) it is silent.
func New(hub client.Interface, node string, log *slog.Logger) *Recorder {
	r := &Recorder{node: node}
	if hub != nil {
		r.rec = record.New(hub, "kubelet", node, log)
	}
	return r
}

// Run writes what is recorded until ctx ends. It is not to be called on a silent recorder.
func (r *Recorder) Run(ctx context.Context) { r.rec.Run(ctx) }

// Pod records an event about a pod or, when container is not empty, about that container of it. typ is Normal or Warning.
func (r *Recorder) Pod(pod *corev1.Pod, container, typ, reason, format string, args ...any) {
	if r.rec == nil || pods.IsStatic(pod) && !pods.IsMirror(pod) && pod.UID == "" {
		return
	}
	ref := corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	if container != "" {
		ref.FieldPath = pods.FieldPath(pod, container)
	}
	r.rec.EventRef(ref, typ, reason, fmt.Sprintf(format, args...))
}

// Claim records an event about a claim of storage.
func (r *Recorder) Claim(claim *corev1.PersistentVolumeClaim, typ, reason, format string, args ...any) {
	if r.rec != nil {
		r.rec.EventRef(corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			ResourceVersion: claim.ResourceVersion}, typ, reason, fmt.Sprintf(format, args...))
	}
}

// Node records an event about the node. The UID that it names is the node's name, as upstream has it and tools look for it.
func (r *Recorder) Node(typ, reason, message string) {
	if r.rec != nil {
		r.rec.EventRef(corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: r.node, UID: types.UID(r.node)}, typ, reason, message)
	}
}
