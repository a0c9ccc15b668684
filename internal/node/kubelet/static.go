package kubelet

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

func (k *Kubelet) runStatic(ctx context.Context)                                                  { <-ctx.Done() }
func (k *Kubelet) mirrorSeen(ctx context.Context, pod *corev1.Pod)                                {}
func (k *Kubelet) mirrorGone(ctx context.Context, pod *corev1.Pod)                                {}
func (k *Kubelet) mirror(ctx context.Context, pod *corev1.Pod, s *corev1.PodStatus, running bool) {}
