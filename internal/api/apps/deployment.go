package apps

import (
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Deployments is the kind Deployment.
func Deployments() *api.Kind {
	return &api.Kind{
		Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments", Singular: "deployment",
		ShortNames: []string{"deploy"}, Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &appsv1.Deployment{} },
		NewList: func() runtime.Object { return &appsv1.DeploymentList{} },

		Default: api.On(defaultDeployment),
		PrepareCreate: api.On(func(d *appsv1.Deployment) {
			d.Status = appsv1.DeploymentStatus{}
			d.Generation = 1
			core.DropDisabledTemplateFields(&d.Spec.Template, nil)
		}),
		PrepareUpdate:  api.OnChange(prepareDeployment),
		Validate:       api.Check(validateDeployment),
		ValidateUpdate: api.CheckChange(validateDeploymentUpdate),
		Warnings: func(obj, old api.Object) []string {
			d := obj.(*appsv1.Deployment)
			if old != nil && old.GetGeneration() == d.Generation {
				return nil
			}
			return workloadWarnings(d.Name, &d.Spec.Template, old == nil)
		},
		Unconditional: true,
		Subresources: []api.Subresource{
			scale(&api.Scale{
				Get: func(obj api.Object) (spec, status int32, selector string) {
					d := obj.(*appsv1.Deployment)
					return deref(d.Spec.Replicas), d.Status.Replicas, selectorString(d.Spec.Selector)
				},
				Set: func(obj api.Object, replicas int32) { obj.(*appsv1.Deployment).Spec.Replicas = &replicas },
			}),
			{
				Name: "status", Verbs: statusVerbs,
				PrepareUpdate: api.OnChange(func(d, old *appsv1.Deployment) {
					d.Spec = old.Spec
					d.Labels = old.Labels
				}),
				ValidateUpdate: api.CheckChange(validateDeploymentStatus),
				ResetFields:    []string{"spec", "metadata.labels"},
			},
		},
		Columns: deploymentColumns(),
		Row:     api.Cells(deploymentRow),
	}
}

func defaultDeployment(d *appsv1.Deployment) {
	s := &d.Spec
	core.DefaultPodTemplate(&s.Template)
	setDefault(&s.Replicas, 1)
	if s.Strategy.Type == "" {
		s.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.Strategy.RollingUpdate == nil {
			s.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		setDefault(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setDefault(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	setDefault(&s.RevisionHistoryLimit, 10)
	setDefault(&s.ProgressDeadlineSeconds, 600)
}

func setDefault[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// prepareDeployment counts changes of the spec, and of the annotations too, because they are copied to replica sets.
func prepareDeployment(d, old *appsv1.Deployment) {
	d.Status = old.Status
	core.DropDisabledTemplateFields(&d.Spec.Template, &old.Spec.Template)
	d.Generation = old.Generation
	if !equality.Semantic.DeepEqual(&d.Spec, &old.Spec) || !equality.Semantic.DeepEqual(d.Annotations, old.Annotations) {
		d.Generation++
	}
}

func deploymentColumns() []metav1.TableColumnDefinition {
	status := appsv1.DeploymentStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Ready", "string", "Number of the pod with ready state"),
		api.Column("Up-to-date", "string", status["updatedReplicas"]),
		api.Column("Available", "string", status["availableReplicas"]),
		api.AgeColumn(),
		api.WideColumn("Containers", "string", "Names of each container in the template."),
		api.WideColumn("Images", "string", "Images referenced by each container in the template."),
		api.WideColumn("Selector", "string", appsv1.DeploymentSpec{}.SwaggerDoc()["selector"]),
	}
}

func deploymentRow(d *appsv1.Deployment) []any {
	names, images := containerCells(d.Spec.Template.Spec.Containers)
	selector := "<invalid>"
	if s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err == nil {
		selector = s.String()
	}
	return []any{
		d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, deref(d.Spec.Replicas)), int64(d.Status.UpdatedReplicas),
		int64(d.Status.AvailableReplicas), d.CreationTimestamp, names, images, selector,
	}
}
