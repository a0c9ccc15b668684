package admit

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// alwaysPullImages has every image pulled each time, so that nobody uses one that he could not pull himself. It is off by default.
type alwaysPullImages struct{}

func (alwaysPullImages) Name() string { return "AlwaysPullImages" }

func (alwaysPullImages) Admit(_ context.Context, a *Attributes) error {
	pod := newImages(a)
	if pod == nil {
		return nil
	}
	eachContainer(&pod.Spec, func(_ *field.Path, _ string, policy *corev1.PullPolicy) { *policy = corev1.PullAlways })
	for i := range pod.Spec.Volumes {
		if v := pod.Spec.Volumes[i].Image; v != nil {
			v.PullPolicy = corev1.PullAlways
		}
	}
	return nil
}

func (alwaysPullImages) Validate(_ context.Context, a *Attributes) error {
	pod := newImages(a)
	if pod == nil {
		return nil
	}
	var errs []error
	check := func(path *field.Path, policy corev1.PullPolicy) {
		if policy != corev1.PullAlways {
			errs = append(errs, Forbidden(a, field.NotSupported(path, policy, []string{string(corev1.PullAlways)})))
		}
	}
	eachContainer(&pod.Spec, func(path *field.Path, _ string, policy *corev1.PullPolicy) {
		check(path.Child("imagePullPolicy"), *policy)
	})
	for i := range pod.Spec.Volumes {
		if v := pod.Spec.Volumes[i].Image; v != nil {
			check(field.NewPath("spec", "volumes").Index(i).Child("image", "pullPolicy"), v.PullPolicy)
		}
	}
	return utilerrors.NewAggregate(errs)
}

// newImages is the pod of a write that names images which the pod did not have before; nil for any other write.
func newImages(a *Attributes) *corev1.Pod {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.is("", "pods", "") || a.Operation != Create && a.Operation != Update {
		return nil
	}
	if a.Operation == Create {
		return pod
	}
	had, fresh := map[string]bool{}, false
	if old, ok := a.Old.(*corev1.Pod); ok {
		eachContainer(&old.Spec, func(_ *field.Path, image string, _ *corev1.PullPolicy) { had[image] = true })
	}
	eachContainer(&pod.Spec, func(_ *field.Path, image string, _ *corev1.PullPolicy) { fresh = fresh || !had[image] })
	if !fresh {
		return nil
	}
	return pod
}

// eachContainer visits the containers of a pod, in upstream's order.
func eachContainer(s *corev1.PodSpec, f func(path *field.Path, image string, policy *corev1.PullPolicy)) {
	for i := range s.InitContainers {
		f(field.NewPath("spec", "initContainers").Index(i), s.InitContainers[i].Image, &s.InitContainers[i].ImagePullPolicy)
	}
	for i := range s.Containers {
		f(field.NewPath("spec", "containers").Index(i), s.Containers[i].Image, &s.Containers[i].ImagePullPolicy)
	}
	for i := range s.EphemeralContainers {
		f(field.NewPath("spec", "ephemeralContainers").Index(i), s.EphemeralContainers[i].Image, &s.EphemeralContainers[i].ImagePullPolicy)
	}
}
