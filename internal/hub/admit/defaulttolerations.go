package admit

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// defaultTolerations lets pods stay some minutes on a node that went missing, unless they say something about it.
type defaultTolerations struct{ notReady, unreachable int64 }

func newDefaultTolerations(notReady, unreachable int64) defaultTolerations {
	if notReady == 0 {
		notReady = 300
	}
	if unreachable == 0 {
		unreachable = 300
	}
	return defaultTolerations{notReady, unreachable}
}

func (defaultTolerations) Name() string { return "DefaultTolerationSeconds" }

func (d defaultTolerations) Admit(_ context.Context, a *Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.is("", "pods", "") || a.Operation != Create && a.Operation != Update {
		return nil
	}
	d.add(pod, corev1.TaintNodeNotReady, d.notReady)
	d.add(pod, corev1.TaintNodeUnreachable, d.unreachable)
	return nil
}

func (d defaultTolerations) add(pod *corev1.Pod, key string, seconds int64) {
	for _, t := range pod.Spec.Tolerations {
		if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return
		}
	}
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
		Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
	})
}
