package podtest

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Resources reads quantities: "cpu=1 memory=1Gi".
func Resources(text string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, w := range strings.Fields(text) {
		name, q, _ := strings.Cut(w, "=")
		out[corev1.ResourceName(name)] = resource.MustParse(q)
	}
	return out
}

// Parse makes the pod p of the namespace default, with the UID u, of words: its restart policy, and then its containers in order.
// A container is written sort:name[?probe][/policy]; sorts are init, side (a sidecar), main and eph (ephemeral), probes live and
// start, policies always, never, onfailure and all, which is never and restarts all containers after exit code 42: "Never side:s init:i/onfailure main:a?live".
func Parse(t *testing.T, words []string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace, pod.UID = "p", "default", "u"
	pod.Spec.RestartPolicy = corev1.RestartPolicy(words[0])
	for _, w := range words[1:] {
		sort, name, _ := strings.Cut(w, ":")
		name, own, hasOwn := strings.Cut(name, "/")
		name, pr, _ := strings.Cut(name, "?")
		c := corev1.Container{Name: name, Image: "img"}
		switch pr {
		case "live":
			c.LivenessProbe = &corev1.Probe{}
		case "start":
			c.StartupProbe = &corev1.Probe{}
		}
		if hasOwn {
			p := map[string]corev1.ContainerRestartPolicy{"always": "Always", "never": "Never", "onfailure": "OnFailure", "all": "Never"}[own]
			c.RestartPolicy = &p
			if own == "all" {
				c.RestartPolicyRules = []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestartAllContainers,
					ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}}}}
			}
		}
		switch sort {
		case "init":
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
		case "side":
			always := corev1.ContainerRestartPolicyAlways
			c.RestartPolicy = &always
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
		case "main":
			pod.Spec.Containers = append(pod.Spec.Containers, c)
		case "eph":
			pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: name, Image: "img"}})
		default:
			t.Fatalf("what is %q?", w)
		}
	}
	return pod
}
