package why

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// DeploymentFacts are what a Deployment's answer is made of. Pods has the facts of those of its pods that are not ready.
type DeploymentFacts struct {
	Deployment *appsv1.Deployment
	Pods       []PodFacts
	Quotas     []*corev1.ResourceQuota // of its namespace
}

// Deployment answers for a Deployment.
func Deployment(f DeploymentFacts) *Answer {
	d := f.Deployment
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	a := &Answer{Kind: "deployment", Namespace: d.Namespace, Name: d.Name,
		State: fmt.Sprintf("%d of %d replicas are available, %d of the newest template", d.Status.AvailableReplicas, want, d.Status.UpdatedReplicas)}
	if d.DeletionTimestamp != nil {
		a.State = "Terminating"
		a.held("deployment", d.Finalizers)
		return a
	}
	if d.Status.ObservedGeneration < d.Generation {
		a.find(Finding{What: "its last change has not been looked at", Who: "deployment-controller"})
	}
	if d.Spec.Paused {
		a.find(Finding{What: "it is paused", Mend: "kubectl rollout resume deployment/" + d.Name + in(d.Namespace)})
	}
	for _, c := range d.Status.Conditions {
		switch {
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			f.refused(a, c.Message)
		case c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse:
			a.find(Finding{What: c.Reason + ": " + c.Message, Mend: "kubectl rollout undo deployment/" + d.Name + in(d.Namespace)})
		}
	}
	for _, one := range f.Pods {
		for _, finding := range Pod(one).Findings { // pods that are alike have the same to say, which is said once
			finding.What = strings.TrimSpace(finding.What)
			a.find(finding)
		}
	}
	a.Fine = len(a.Findings) == 0 && d.Status.AvailableReplicas >= want && d.Status.UpdatedReplicas >= want
	if !a.Fine && len(a.Findings) == 0 {
		a.find(Finding{What: "it is being rolled out", Who: "deployment-controller"})
	}
	return a
}

// refused says why pods cannot be made, with the quota that forbids it.
func (f DeploymentFacts) refused(a *Answer, message string) {
	for _, q := range f.Quotas {
		if !strings.Contains(message, "exceeded quota: "+q.Name) {
			continue
		}
		var used []string
		for name, hard := range q.Status.Hard {
			if have := q.Status.Used[name]; strings.Contains(message, string(name)) {
				used = append(used, fmt.Sprintf("%s %s of %s", name, have.String(), hard.String()))
			}
		}
		a.find(Finding{What: message + " (in use: " + strings.Join(used, ", ") + ")", Mend: "raise spec.hard of the quota " + q.Name + ", or ask for less: kubectl edit quota " + q.Name + in(q.Namespace)})
		return
	}
	a.find(Finding{What: message})
}
