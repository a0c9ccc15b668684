package apps

import (
	"maps"
	"strconv"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DaemonSets is the kind DaemonSet.
func DaemonSets() *api.Kind {
	return &api.Kind{
		Group: "apps", Version: "v1", Kind: "DaemonSet", Resource: "daemonsets", Singular: "daemonset",
		ShortNames: []string{"ds"}, Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &appsv1.DaemonSet{} },
		NewList: func() runtime.Object { return &appsv1.DaemonSetList{} },

		Accept:  api.Try(func(d *appsv1.DaemonSet) error { return numeric(d.Annotations, appsv1.DeprecatedTemplateGeneration) }),
		Default: api.On(defaultDaemonSet),
		PrepareCreate: api.On(func(d *appsv1.DaemonSet) {
			d.Status = appsv1.DaemonSetStatus{}
			d.Generation = 1
			setTemplateGeneration(d, max(templateGeneration(d), 1))
			core.DropDisabledTemplateFields(&d.Spec.Template, nil)
		}),
		PrepareUpdate:  api.OnChange(prepareDaemonSet),
		Validate:       api.Check(validateDaemonSet),
		ValidateUpdate: api.CheckChange(validateDaemonSetUpdate),
		Warnings: func(obj, old api.Object) []string {
			d := obj.(*appsv1.DaemonSet)
			if old != nil && templateGeneration(old.(*appsv1.DaemonSet)) == templateGeneration(d) {
				return nil
			}
			return core.PodTemplateWarnings(field.NewPath("spec", "template"), &d.Spec.Template)
		},
		Unconditional: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate: api.OnChange(func(d, old *appsv1.DaemonSet) {
				d.Spec = old.Spec
				setTemplateGeneration(d, templateGeneration(old))
			}),
			ValidateUpdate: api.CheckChange(validateDaemonSetStatus),
		}},
		Columns: daemonSetColumns(),
		Row: api.Cells(func(d *appsv1.DaemonSet) []any {
			names, images := containerCells(d.Spec.Template.Spec.Containers)
			s := &d.Status
			return []any{
				d.Name, int64(s.DesiredNumberScheduled), int64(s.CurrentNumberScheduled), int64(s.NumberReady), int64(s.UpdatedNumberScheduled),
				int64(s.NumberAvailable), labels.FormatLabels(d.Spec.Template.Spec.NodeSelector), d.CreationTimestamp,
				names, images, metav1.FormatLabelSelector(d.Spec.Selector),
			}
		}),
	}
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	core.DefaultPodTemplate(&d.Spec.Template)
	u := &d.Spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateDaemonSetStrategyType
	}
	if u.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		setDefault(&u.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setDefault(&u.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	setDefault(&d.Spec.RevisionHistoryLimit, 10)
	setTemplateGeneration(d, templateGeneration(d))
}

// prepareDaemonSet counts changes of the template in an annotation, the last that is left of a field of old API versions.
func prepareDaemonSet(d, old *appsv1.DaemonSet) {
	core.DropDisabledTemplateFields(&d.Spec.Template, &old.Spec.Template)
	d.Status = old.Status
	d.Generation = old.Generation
	template := !equality.Semantic.DeepEqual(&d.Spec.Template, &old.Spec.Template)
	if template || !equality.Semantic.DeepEqual(&d.Spec, &old.Spec) {
		d.Generation++
	}
	generation := templateGeneration(old)
	if template {
		generation++
	}
	setTemplateGeneration(d, generation)
}

func templateGeneration(d *appsv1.DaemonSet) int64 {
	n, _ := strconv.ParseInt(d.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	return n
}

// setTemplateGeneration replaces the annotations where something changes: they may be shared with a frozen object.
func setTemplateGeneration(d *appsv1.DaemonSet, n int64) {
	s := strconv.FormatInt(n, 10)
	if d.Annotations[appsv1.DeprecatedTemplateGeneration] == s {
		return
	}
	annotations := maps.Clone(d.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[appsv1.DeprecatedTemplateGeneration] = s
	d.Annotations = annotations
}

// numeric refuses an annotation that stands for a number and is none.
func numeric(annotations map[string]string, key string) error {
	v, ok := annotations[key]
	if !ok {
		return nil
	}
	_, err := strconv.ParseInt(v, 10, 64)
	return err
}

func daemonSetColumns() []metav1.TableColumnDefinition {
	status := appsv1.DaemonSetStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Desired", "integer", status["desiredNumberScheduled"]),
		api.Column("Current", "integer", status["currentNumberScheduled"]),
		api.Column("Ready", "integer", status["numberReady"]),
		api.Column("Up-to-date", "integer", status["updatedNumberScheduled"]),
		api.Column("Available", "integer", status["numberAvailable"]),
		api.Column("Node Selector", "string", corev1.PodSpec{}.SwaggerDoc()["nodeSelector"]),
		api.AgeColumn(),
		api.WideColumn("Containers", "string", "Names of each container in the template."),
		api.WideColumn("Images", "string", "Images referenced by each container in the template."),
		api.WideColumn("Selector", "string", appsv1.DaemonSetSpec{}.SwaggerDoc()["selector"]),
	}
}
