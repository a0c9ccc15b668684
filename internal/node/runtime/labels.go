package runtime

import (
	"encoding/json"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Labels and annotations that tie a sandbox or container to its pod; names are upstream's (pkg/kubelet/kuberuntime/labels.go),
// so that crictl, cAdvisor and a stock kubelet on the same runtime understand them.
const (
	LabelPodName       = "io.kubernetes.pod.name"
	LabelPodNamespace  = "io.kubernetes.pod.namespace"
	LabelPodUID        = "io.kubernetes.pod.uid"
	LabelContainerName = "io.kubernetes.container.name"

	annHash              = "io.kubernetes.container.hash"
	annRestartCount      = "io.kubernetes.container.restartCount"
	annTerminationPath   = "io.kubernetes.container.terminationMessagePath"
	annTerminationPolicy = "io.kubernetes.container.terminationMessagePolicy"
	annPreStop           = "io.kubernetes.container.preStopHandler"
	annPorts             = "io.kubernetes.container.ports"
	annDeletionGrace     = "io.kubernetes.pod.deletionGracePeriod"
	annTerminationGrace  = "io.kubernetes.pod.terminationGracePeriod"
)

// SandboxLabels are the labels of a pod's sandbox: the pod's own and those that identify it.
func SandboxLabels(pod *corev1.Pod) map[string]string {
	out := make(map[string]string, len(pod.Labels)+3)
	for k, v := range pod.Labels {
		out[k] = v
	}
	out[LabelPodName], out[LabelPodNamespace], out[LabelPodUID] = pod.Name, pod.Namespace, string(pod.UID)
	return out
}

// ContainerLabels are the labels of a container.
func ContainerLabels(pod *corev1.Pod, container string) map[string]string {
	return map[string]string{
		LabelPodName: pod.Name, LabelPodNamespace: pod.Namespace, LabelPodUID: string(pod.UID), LabelContainerName: container,
	}
}

// ContainerAnnotations record what the kubelet must know of a container after a restart of its own. hash identifies the
// spec the container was made from.
func ContainerAnnotations(pod *corev1.Pod, c *corev1.Container, hash uint64, restarts int) map[string]string {
	out := map[string]string{
		annHash:              strconv.FormatUint(hash, 16),
		annRestartCount:      strconv.Itoa(restarts),
		annTerminationPath:   c.TerminationMessagePath,
		annTerminationPolicy: string(c.TerminationMessagePolicy),
	}
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		out[annDeletionGrace] = strconv.FormatInt(*g, 10)
	}
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		out[annTerminationGrace] = strconv.FormatInt(*g, 10)
	}
	if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		if b, err := json.Marshal(c.Lifecycle.PreStop); err == nil {
			out[annPreStop] = string(b)
		}
	}
	if len(c.Ports) > 0 {
		if b, err := json.Marshal(c.Ports); err == nil {
			out[annPorts] = string(b)
		}
	}
	return out
}

// annotate fills in what ContainerAnnotations recorded. Containers of other origin simply have none of it.
func (c *Container) annotate(ann map[string]string) {
	c.Hash, _ = strconv.ParseUint(ann[annHash], 16, 64)
	c.RestartCount, _ = strconv.Atoi(ann[annRestartCount])
	c.TerminationPath = ann[annTerminationPath]
	c.TerminationPolicy = corev1.TerminationMessagePolicy(ann[annTerminationPolicy])
	for _, key := range []string{annTerminationGrace, annDeletionGrace} {
		if g, err := strconv.ParseInt(ann[key], 10, 64); err == nil {
			c.Grace = &g
		}
	}
	if s := ann[annPreStop]; s != "" {
		var h corev1.LifecycleHandler
		if json.Unmarshal([]byte(s), &h) == nil {
			c.PreStop = &h
		}
	}
	if s := ann[annPorts]; s != "" {
		_ = json.Unmarshal([]byte(s), &c.Ports)
	}
}
