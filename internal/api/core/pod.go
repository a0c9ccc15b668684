package core

import (
	"fmt"
	"strconv"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Pods is the kind Pod.
func Pods() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "Pod", Resource: "pods", Singular: "pod",
		ShortNames: []string{"po"}, Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &corev1.Pod{} },
		NewList: func() runtime.Object { return &corev1.PodList{} },

		Default:        api.On(defaultPod),
		Share:          api.On(sharePod),
		PrepareCreate:  api.On(preparePodCreate),
		PrepareUpdate:  api.OnChange(preparePodUpdate),
		Validate:       api.Check(validatePod),
		ValidateUpdate: api.CheckChange(validatePodUpdate),
		Warnings: func(obj, old api.Object) []string {
			if old != nil {
				return nil // controllers and kubelets update pods, people do not
			}
			return podWarnings(obj.(*corev1.Pod))
		},
		Unconditional: true,
		Grace:         func(obj api.Object, options *metav1.DeleteOptions) int64 { return podGrace(obj.(*corev1.Pod), options) },
		Subresources:  podSubresources(),
		Columns:       podColumns(),
		Row:           api.Cells(podRow),
		Fields:        fieldsOf(podFields),
		FieldLabels: []string{
			"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
			"status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
		},
		Partition: &api.Partition{
			Field: "spec.nodeName",
			Of:    func(obj api.Object) string { return obj.(*corev1.Pod).Spec.NodeName },
			Path:  []int{2, 10}, // Pod.spec, PodSpec.nodeName
		},
		ReturnsDeleted: true,
	}
}

func podSubresources() []api.Subresource {
	v1 := func(kind string) schemaGVK { return schemaGVK{Version: "v1", Kind: kind} }
	stream := []string{"create", "get"}
	return []api.Subresource{
		{
			Name: "attach", Verbs: stream, GVK: v1("PodAttachOptions"),
			Connect: &api.Connect{Acts: api.AlwaysActs, Options: func() runtime.Object { return &corev1.PodAttachOptions{} }},
		},
		{
			Name: "binding", Verbs: []string{"create"}, GVK: v1("Binding"), Untracked: true,
			New:   func() runtime.Object { return &corev1.Binding{} },
			Named: true, Validate: api.Check(validateBinding), Refuse: refuseBinding,
		},
		{
			Name: "ephemeralcontainers", Verbs: statusVerbs,
			PrepareUpdate:  api.OnChange(prepareEphemeral),
			ValidateUpdate: api.CheckChange(validateEphemeralUpdate),
			OwnFields:      []string{"spec.ephemeralContainers"},
		},
		{
			Name: "eviction", Verbs: []string{"create"}, GVK: schemaGVK{Group: "policy", Version: "v1", Kind: "Eviction"},
			New: func() runtime.Object { return &policyv1.Eviction{} }, Older: []string{"v1beta1"}, Untracked: true, Named: true,
		},
		{
			Name: "exec", Verbs: stream, GVK: v1("PodExecOptions"),
			Connect: &api.Connect{Acts: api.AlwaysActs, Options: func() runtime.Object { return &corev1.PodExecOptions{} }},
		},
		{
			Name: "log", Verbs: []string{"get"},
			Connect: &api.Connect{Reads: true, Options: func() runtime.Object { return &corev1.PodLogOptions{} }},
		},
		{
			Name: "portforward", Verbs: stream, GVK: v1("PodPortForwardOptions"),
			Connect: &api.Connect{Acts: api.AlwaysActs, Options: func() runtime.Object { return &corev1.PodPortForwardOptions{} }},
		},
		{
			Name: "proxy", Verbs: proxyVerbs, GVK: v1("PodProxyOptions"),
			Connect: &api.Connect{Paths: true, Options: func() runtime.Object { return &corev1.PodProxyOptions{} }},
		},
		{
			Name: "resize", Verbs: statusVerbs,
			PrepareUpdate:  api.OnChange(prepareResize),
			ValidateUpdate: api.CheckChange(validateResize),
			OwnFields: []string{
				"spec.containers.*.resources", "spec.containers.*.resizePolicy",
				"spec.initContainers.*.resources", "spec.initContainers.*.resizePolicy",
			},
		},
		{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate:  api.OnChange(preparePodStatus),
			ValidateUpdate: api.CheckChange(validatePodStatusUpdate),
			ResetFields:    []string{"spec", "metadata.deletionTimestamp", "metadata.ownerReferences"},
		},
	}
}

// podGrace decides how long a deleted pod may take to end: what the caller or else the pod says, but no time at all for
// one that never ran or already ended.
func podGrace(pod *corev1.Pod, options *metav1.DeleteOptions) int64 {
	var period int64
	switch {
	case options.GracePeriodSeconds != nil:
		period = *options.GracePeriodSeconds
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		period = *pod.Spec.TerminationGracePeriodSeconds
	}
	if pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return 0
	}
	if period < 0 {
		return 1
	}
	return period
}

func podFields(pod *corev1.Pod) fields.Set {
	ip := ""
	if len(pod.Status.PodIPs) > 0 {
		ip = pod.Status.PodIPs[0].IP
	}
	return fields.Set{
		"spec.nodeName":            pod.Spec.NodeName,
		"spec.restartPolicy":       string(pod.Spec.RestartPolicy),
		"spec.schedulerName":       pod.Spec.SchedulerName,
		"spec.serviceAccountName":  pod.Spec.ServiceAccountName,
		"spec.hostNetwork":         strconv.FormatBool(pod.Spec.HostNetwork),
		"status.phase":             string(pod.Status.Phase),
		"status.podIP":             ip,
		"status.nominatedNodeName": pod.Status.NominatedNodeName,
	}
}

func podWarnings(pod *corev1.Pod) []string {
	var out []string
	if msgs := validation.IsDNS1123Label(pod.Name); len(msgs) != 0 {
		out = append(out, fmt.Sprintf("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: %v", msgs))
	}
	return append(out, podSpecWarnings(pod)...)
}

// bumpPodGeneration counts changes of the spec.
func bumpPodGeneration(pod, old *corev1.Pod) {
	pod.Generation = old.Generation
	if !equality.Semantic.DeepEqual(&pod.Spec, &old.Spec) {
		pod.Generation++
	}
}
