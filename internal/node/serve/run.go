package serve

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// runOf chooses the run of a container whose log is meant, and returns its ID without the runtime's prefix. The errors
// are upstream's, which kubectl prints.
func runOf(pod *corev1.Pod, name string, previous bool) (string, error) {
	st, ok := statusOf(pod, name)
	if !ok {
		return "", fmt.Errorf("container %q in pod %q is not available", name, pod.Name)
	}
	last, now := st.LastTerminationState.Terminated, st.State
	switch {
	case previous:
		if last == nil || last.ContainerID == "" {
			return "", fmt.Errorf("previous terminated container %q in pod %q not found", name, pod.Name)
		}
		return bare(last.ContainerID), nil
	case now.Running != nil:
		return bare(st.ContainerID), nil
	case now.Terminated != nil:
		if now.Terminated.ContainerID != "" {
			return bare(now.Terminated.ContainerID), nil
		}
		if last != nil && last.ContainerID != "" { // the next run did not get as far as having one
			return bare(last.ContainerID), nil
		}
		return "", fmt.Errorf("container %q in pod %q is terminated", name, pod.Name)
	case last != nil:
		if last.ContainerID == "" {
			return "", fmt.Errorf("container %q in pod %q is terminated", name, pod.Name)
		}
		return bare(last.ContainerID), nil
	case now.Waiting != nil:
		switch now.Waiting.Reason {
		case "ErrImagePull":
			return "", fmt.Errorf("container %q in pod %q is waiting to start: image can't be pulled", name, pod.Name)
		case "ImagePullBackOff":
			return "", fmt.Errorf("container %q in pod %q is waiting to start: trying and failing to pull image", name, pod.Name)
		}
		return "", fmt.Errorf("container %q in pod %q is waiting to start: %v", name, pod.Name, now.Waiting.Reason)
	}
	return "", fmt.Errorf("container %q in pod %q is waiting to start - no logs yet", name, pod.Name)
}

func statusOf(pod *corev1.Pod, name string) (*corev1.ContainerStatus, bool) {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i], true
			}
		}
	}
	return nil, false
}

// bare is a container ID without "containerd://".
func bare(id string) string {
	if _, rest, ok := strings.Cut(id, "://"); ok {
		return rest
	}
	return id
}
