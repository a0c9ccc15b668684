package batch

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CronJobs is the kind CronJob.
func CronJobs() *api.Kind {
	return &api.Kind{
		Group: "batch", Version: "v1", Kind: "CronJob", Resource: "cronjobs", Singular: "cronjob",
		ShortNames: []string{"cj"}, Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &batchv1.CronJob{} },
		NewList: func() runtime.Object { return &batchv1.CronJobList{} },

		Default: api.On(defaultCronJob),
		PrepareCreate: api.On(func(c *batchv1.CronJob) {
			c.Status = batchv1.CronJobStatus{}
			c.Generation = 1
			dropDisabled(&c.Spec.JobTemplate.Spec, nil)
		}),
		PrepareUpdate: api.OnChange(func(c, old *batchv1.CronJob) {
			c.Status = old.Status
			dropDisabled(&c.Spec.JobTemplate.Spec, &old.Spec.JobTemplate.Spec)
			c.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&c.Spec, &old.Spec) {
				c.Generation++
			}
		}),
		Validate:       api.Check(validateCronJob),
		ValidateUpdate: api.CheckChange(validateCronJobUpdate),
		Warnings: func(obj, old api.Object) []string {
			c, path := obj.(*batchv1.CronJob), field.NewPath("spec", "jobTemplate", "spec")
			switch {
			case old == nil:
				return append(nameWarnings(c.Name), specWarnings(&c.Spec.JobTemplate.Spec, path)...)
			case old.GetGeneration() == c.Generation:
				return zoneWarnings(c)
			}
			return append(specWarnings(&c.Spec.JobTemplate.Spec, path), zoneWarnings(c)...)
		},
		Unconditional: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate: api.OnChange(func(c, old *batchv1.CronJob) { c.Spec = old.Spec }),
		}},
		Columns: cronJobColumns(),
		Row:     api.Cells(cronJobRow),
	}
}

func defaultCronJob(c *batchv1.CronJob) {
	s := &c.Spec
	if s.ConcurrencyPolicy == "" {
		s.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	setDefault(&s.Suspend, false)
	setDefault(&s.SuccessfulJobsHistoryLimit, 3)
	setDefault(&s.FailedJobsHistoryLimit, 1)
	defaultParts(&s.JobTemplate.Spec) // the jobs get the rest when they are made
}

func cronJobColumns() []metav1.TableColumnDefinition {
	spec, status := batchv1.CronJobSpec{}.SwaggerDoc(), batchv1.CronJobStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Schedule", "string", spec["schedule"]),
		api.Column("Timezone", "string", spec["timeZone"]),
		api.Column("Suspend", "boolean", spec["suspend"]),
		api.Column("Active", "integer", status["active"]),
		api.Column("Last Schedule", "string", status["lastScheduleTime"]),
		api.AgeColumn(),
		api.WideColumn("Containers", "string", "Names of each container in the template."),
		api.WideColumn("Images", "string", "Images referenced by each container in the template."),
		api.WideColumn("Selector", "string", batchv1.JobSpec{}.SwaggerDoc()["selector"]),
	}
}

func cronJobRow(c *batchv1.CronJob) []any {
	zone, suspend, last := "<none>", "<unset>", "<none>"
	if c.Spec.TimeZone != nil {
		zone = *c.Spec.TimeZone
	}
	if c.Spec.Suspend != nil {
		suspend = "False"
		if *c.Spec.Suspend {
			suspend = "True"
		}
	}
	if c.Status.LastScheduleTime != nil {
		last = api.Ago(*c.Status.LastScheduleTime)
	}
	job := &c.Spec.JobTemplate.Spec
	names, images := core.ContainerCells(&job.Template)
	return []any{
		c.Name, c.Spec.Schedule, zone, suspend, int64(len(c.Status.Active)), last, c.CreationTimestamp,
		names, images, metav1.FormatLabelSelector(job.Selector),
	}
}
