package schema

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apivalidation "k8s.io/apimachinery/pkg/util/validation"
)

// Warnings are what a client is told about the finalizers that a write gives a custom resource; old are those it had before.
func Warnings(finalizers, old []string) []string {
	added := slices.DeleteFunc(slices.Clone(finalizers), func(f string) bool { return slices.Contains(old, f) })
	slices.Sort(added)
	var out []string
	for _, f := range slices.Compact(added) {
		out = append(out, finalizerWarnings(f)...)
	}
	return out
}

// plainFinalizers are those without a domain that Kubernetes itself knows.
var plainFinalizers = []string{metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents, string(corev1.FinalizerKubernetes)}

func finalizerWarnings(name string) []string {
	const at = "metadata.finalizers"
	var out []string
	for _, msg := range apivalidation.IsQualifiedName(name) {
		out = append(out, fmt.Sprintf("%s: %q: %s", at, name, msg))
	}
	switch {
	case strings.Contains(name, "/") || slices.Contains(plainFinalizers, name):
	case strings.Contains(name, "."):
		out = append(out, fmt.Sprintf("%s: %q: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers", at, name))
	default:
		out = append(out, fmt.Sprintf("%s: %q: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers", at, name))
	}
	return out
}
