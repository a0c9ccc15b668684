package batch

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/valid"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var statusVerbs = []string{"get", "patch", "update"}

// Labels by which a job's pods are told apart, each under the name of today and the one of old.
var (
	uidLabels  = []string{batchv1.ControllerUidLabel, "controller-uid"}
	nameLabels = []string{batchv1.JobNameLabel, "job-name"}
)

// Jobs is the kind Job.
func Jobs() *api.Kind {
	return &api.Kind{
		Group: "batch", Version: "v1", Kind: "Job", Resource: "jobs", Singular: "job",
		Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &batchv1.Job{} },
		NewList: func() runtime.Object { return &batchv1.JobList{} },

		Default: api.On(defaultJob),
		PrepareCreate: api.On(func(j *batchv1.Job) {
			selectOwnPods(j)
			j.Status = batchv1.JobStatus{}
			j.Generation = 1
			dropDisabled(&j.Spec, nil)
		}),
		PrepareOnce: true, // the pods are labelled with the job's name and uid
		PrepareUpdate: api.OnChange(func(j, old *batchv1.Job) {
			j.Status = old.Status
			dropDisabled(&j.Spec, &old.Spec)
			j.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&j.Spec, &old.Spec) {
				j.Generation++
			}
		}),
		Validate:       api.Check(validateJob),
		ValidateUpdate: api.CheckChange(validateJobUpdate),
		Warnings: func(obj, old api.Object) []string {
			j := obj.(*batchv1.Job)
			if old == nil {
				return append(nameWarnings(j.Name), specWarnings(&j.Spec, field.NewPath("spec"))...)
			}
			if old.GetGeneration() == j.Generation {
				return nil
			}
			return specWarnings(&j.Spec, field.NewPath("spec"))
		},
		Unconditional: true,
		DefaultOrphan: true,
		DeleteWarning: "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning",
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate:  api.OnChange(func(j, old *batchv1.Job) { j.Spec = old.Spec }),
			ValidateUpdate: api.CheckChange(validateJobStatus),
		}},
		Columns: jobColumns(),
		Row:     api.Cells(jobRow),
		Fields: func(obj api.Object) fields.Set {
			return fields.Set{"status.successful": strconv.Itoa(int(obj.(*batchv1.Job).Status.Succeeded))}
		},
		FieldLabels: []string{"status.successful"},
	}
}

func defaultJob(j *batchv1.Job) {
	s := &j.Spec
	if s.Completions == nil && s.Parallelism == nil {
		s.Completions = new(int32(1))
	}
	setDefault(&s.Parallelism, 1)
	if s.BackoffLimitPerIndex != nil {
		setDefault(&s.BackoffLimit, math.MaxInt32)
	}
	setDefault(&s.BackoffLimit, 6)
	if s.Template.Labels != nil && len(j.Labels) == 0 {
		j.Labels = s.Template.Labels // the same map: see selectOwnPods
	}
	setDefault(&s.CompletionMode, batchv1.NonIndexedCompletion)
	setDefault(&s.Suspend, false)
	if s.PodFailurePolicy != nil {
		setDefault(&s.PodReplacementPolicy, batchv1.Failed)
	}
	setDefault(&s.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	setDefault(&s.ManualSelector, false)
	defaultParts(s)
}

// defaultParts fills what the spec of a job and of a cron job's template have in common.
func defaultParts(s *batchv1.JobSpec) {
	if s.PodFailurePolicy != nil {
		for i := range s.PodFailurePolicy.Rules {
			for j := range s.PodFailurePolicy.Rules[i].OnPodConditions {
				if c := &s.PodFailurePolicy.Rules[i].OnPodConditions[j]; c.Status == "" {
					c.Status = corev1.ConditionTrue
				}
			}
		}
	}
	core.DefaultPodTemplate(&s.Template)
}

func setDefault[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// selectOwnPods makes the selector of a job whose author leaves it to the server, and labels the pods accordingly. Labels that the
// author wrote stay; validation refuses them if they are others.
func selectOwnPods(j *batchv1.Job) {
	if j.Spec.ManualSelector == nil || *j.Spec.ManualSelector {
		return
	}
	template := &j.Spec.Template
	// A job without labels of its own has those of its template, to which the ones below belong. One whose author wrote the same
	// labels twice keeps what was written.
	shared := len(j.Labels) == 0 || reflect.ValueOf(j.Labels).Pointer() == reflect.ValueOf(template.Labels).Pointer()
	template.Labels = with(with(template.Labels, nameLabels, j.Name), uidLabels, string(j.UID))
	if shared {
		j.Labels = maps.Clone(template.Labels)
	}
	selector := &metav1.LabelSelector{}
	if j.Spec.Selector != nil {
		selector = j.Spec.Selector.DeepCopy()
	}
	selector.MatchLabels = with(selector.MatchLabels, uidLabels[:1], string(j.UID))
	j.Spec.Selector = selector
}

// with returns have with the keys that are missing set to value.
func with(have map[string]string, keys []string, value string) map[string]string {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	for _, k := range keys {
		if _, ok := out[k]; !ok {
			out[k] = value
		}
	}
	return out
}

// dropDisabled clears what belongs to features that are off by default; old is nil on create.
func dropDisabled(s, old *batchv1.JobSpec) {
	if old == nil || old.Scheduling == nil {
		s.Scheduling = nil // WorkloadWithJob
	}
	if old == nil {
		core.DropDisabledTemplateFields(&s.Template, nil)
		return
	}
	core.DropDisabledTemplateFields(&s.Template, &old.Template)
}

func jobColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Status", "string", "Status of the job."),
		api.Column("Completions", "string", batchv1.JobStatus{}.SwaggerDoc()["succeeded"]),
		api.Column("Duration", "string", "Time required to complete the job."),
		api.AgeColumn(),
		api.WideColumn("Containers", "string", "Names of each container in the template."),
		api.WideColumn("Images", "string", "Images referenced by each container in the template."),
		api.WideColumn("Selector", "string", batchv1.JobSpec{}.SwaggerDoc()["selector"]),
	}
}

func jobRow(j *batchv1.Job) []any {
	names, images := core.ContainerCells(&j.Spec.Template)
	return []any{
		j.Name, jobState(j), completionsCell(j), durationCell(&j.Status), j.CreationTimestamp,
		names, images, metav1.FormatLabelSelector(j.Spec.Selector),
	}
}

func completionsCell(j *batchv1.Job) string {
	if j.Spec.Completions != nil {
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	}
	if p := valid.Deref(j.Spec.Parallelism); p > 1 {
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, p)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func durationCell(s *batchv1.JobStatus) string {
	switch {
	case s.StartTime == nil:
		return ""
	case s.CompletionTime == nil:
		return duration.HumanDuration(time.Since(s.StartTime.Time))
	}
	return duration.HumanDuration(s.CompletionTime.Sub(s.StartTime.Time))
}

func jobState(j *batchv1.Job) string {
	switch s := &j.Status; {
	case isTrue(s, batchv1.JobComplete):
		return "Complete"
	case isTrue(s, batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case isTrue(s, batchv1.JobSuspended):
		return "Suspended"
	case isTrue(s, batchv1.JobFailureTarget):
		return "FailureTarget"
	case isTrue(s, batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}
