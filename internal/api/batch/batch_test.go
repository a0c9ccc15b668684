package batch

import (
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api/apitest"

	batchv1 "k8s.io/api/batch/v1"
)

const plainJob = `
apiVersion: batch/v1
kind: Job
metadata: {name: j, namespace: ns}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}
`

func job(t *testing.T, patch string) *batchv1.Job {
	t.Helper()
	return apitest.Made(t, Jobs(), plainJob, patch).(*batchv1.Job)
}

func TestJobDefaults(t *testing.T) {
	for _, c := range []struct{ patch, want string }{
		{"", "1 1 6 NonIndexed false TerminatingOrFailed false"},
		{"spec: {parallelism: 3}", "- 3 6 NonIndexed false TerminatingOrFailed false"},
		{"spec: {completions: 3}", "3 1 6 NonIndexed false TerminatingOrFailed false"},
		{"spec: {backoffLimitPerIndex: 1}", "1 1 2147483647 NonIndexed false TerminatingOrFailed false"},
		{"spec: {podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: A}]}]}}", "1 1 6 NonIndexed false Failed false"},
	} {
		s := job(t, c.patch).Spec
		completions := "-"
		if s.Completions != nil {
			completions = fmt.Sprint(*s.Completions)
		}
		if got := fmt.Sprint(completions, " ", *s.Parallelism, " ", *s.BackoffLimit, " ", *s.CompletionMode, " ", *s.Suspend, " ", *s.PodReplacementPolicy, " ", *s.ManualSelector); got != c.want {
			t.Errorf("%s: %s, want %s", c.patch, got, c.want)
		}
	}
	if p := job(t, "spec: {podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: A}]}]}}").Spec.PodFailurePolicy; p.Rules[0].OnPodConditions[0].Status != "True" {
		t.Errorf("%+v", p)
	}
}

// The labels that the pods are told apart by stand on the job too, but where its author gave it labels of its own.
func TestJobSelectsItsPods(t *testing.T) {
	const made = `{"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"j","controller-uid":"u","job-name":"j"}`
	for _, c := range []struct{ patch, job, template string }{
		{"", made, made},
		{"metadata: {labels: {a: b}}", `{"a":"b"}`, made},
		{"spec: {template: {metadata: {labels: {a: b}}}}", `{"a":"b",` + made[1:], `{"a":"b",` + made[1:]},
		{"metadata: {labels: {a: b}}\nspec: {template: {metadata: {labels: {a: b}}}}", `{"a":"b"}`, `{"a":"b",` + made[1:]},
	} {
		j := job(t, c.patch)
		if got := apitest.JSON(t, j.Labels); got != c.job {
			t.Errorf("%s: job %s", c.patch, got)
		}
		if got := apitest.JSON(t, j.Spec.Template.Labels); got != c.template {
			t.Errorf("%s: template %s", c.patch, got)
		}
		if got := apitest.JSON(t, j.Spec.Selector); got != `{"matchLabels":{"batch.kubernetes.io/controller-uid":"u"}}` {
			t.Errorf("%s: selector %s", c.patch, got)
		}
	}
}

func TestJobValidate(t *testing.T) {
	const indexed = "completionMode: Indexed, completions: 3"
	apitest.Creates(t, Jobs(), plainJob, []apitest.Change{
		{"spec: {parallelism: -1, backoffLimit: -1}", "spec.parallelism: Invalid value: -1: must be greater than or equal to 0\nspec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"},
		{"spec: {template: {spec: {restartPolicy: Always}}}", `spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`},
		{"spec: {completionMode: X}", `spec.completionMode: Unsupported value: "X": supported values: "NonIndexed", "Indexed"`},
		{"spec: {completionMode: Indexed, parallelism: 1}", "spec.completions: Required value: when completion mode is Indexed"},
		{"spec: {backoffLimitPerIndex: 1}", "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"},
		{"spec: {" + indexed + ", maxFailedIndexes: 4}", "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified\nspec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions"},
		{"spec: {completionMode: Indexed, completions: 100001, parallelism: 10001, backoffLimitPerIndex: 1}", "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000\nspec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"},
		{"metadata: {name: a.b}\nspec: {" + indexed + "}", "metadata.name: Invalid value: \"a.b\": will not able to create pod with invalid DNS label: a.b-2"},
		{"spec: {selector: {matchLabels: {a: b}}}", "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"batch.kubernetes.io/controller-uid\":\"u\"}}: `selector` not auto-generated\nspec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"u\",\"job-name\":\"j\"}: `selector` does not match template `labels`"},
		{"spec: {template: {metadata: {labels: {job-name: x}}}}", `spec.template.metadata.labels[job-name]: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"j","controller-uid":"u","job-name":"x"}: must be 'j'`},
		{"spec: {successPolicy: {rules: []}}", `spec.successPolicy: Invalid value: {"Rules":[]}: requires indexed completion mode`},
		{"spec: {" + indexed + ", successPolicy: {rules: [{succeededIndexes: '0-1,1'}, {}]}}", "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"0-1,1\": error parsing succeededIndexes: non-increasing order, previous: 1, current: 1\nspec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be specified"},
		{"spec: {podFailurePolicy: {rules: [{action: FailIndex}]}}", "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set\nspec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"},
		{"spec: {podFailurePolicy: {rules: [{action: Count, onExitCodes: {operator: In, values: [2, 0, 2], containerName: x}}]}}", "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template\nspec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator\nspec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2\nspec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0,2]: must be ordered"},
		{"spec: {podReplacementPolicy: X}", `spec.podReplacementPolicy: Unsupported value: "X": supported values: "Failed", "TerminatingOrFailed"`},
		{"spec: {managedBy: x}", `spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")`},
	})
}

func TestJobUpdate(t *testing.T) {
	apitest.Updates(t, Jobs(), plainJob, "", []apitest.Change{
		{"spec: {parallelism: 3, suspend: true, backoffLimit: 1}", ""},
		{"spec: {completions: 3}", "spec.completions: Invalid value: 3: field is immutable"},
		{"spec: {template: {spec: {containers: [{name: c, image: other}]}}}", `spec.template: Invalid value: {"labels":{"batch.kubernetes.io/controller-uid":"u",…`},
		{"spec: {managedBy: a.b/c}", `spec.managedBy: Invalid value: "a.b/c": field is immutable`},
	})
	apitest.Updates(t, Jobs(), plainJob, "spec: {suspend: true}", []apitest.Change{
		{"spec: {suspend: false, template: {spec: {nodeSelector: {a: b}}}}", ""}, // in the same write that lets it go
		{"spec: {template: {spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 1}}}], tolerations: [{operator: Exists}]}}}", ""},
		{"spec: {template: {spec: {containers: [{name: c, image: other}]}}}", `spec.template.spec: Invalid value: {"Volumes":null,"InitContainers":null,"Containers":[{"Name":"c","Image":"other",…`},
	})
	apitest.Updates(t, Jobs(), plainJob, "spec: {completionMode: Indexed, completions: 2, parallelism: 2}", []apitest.Change{
		{"spec: {completions: 3, parallelism: 3}", ""},
		{"spec: {completions: 3}", "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"},
	})
}

func TestJobStatus(t *testing.T) {
	const at = `"2026-01-01T00:00:00Z"`
	apitest.Statuses(t, Jobs(), plainJob, "", []apitest.Change{
		{"status: {active: -1}", "status.active: Invalid value: -1: must be greater than or equal to 0"},
		{"status: {ready: 1}", "status.ready: Invalid value: 1: cannot set more ready pods than active"},
		{"status: {conditions: [{type: Complete, status: 'True'}]}", "status.completionTime: Required value: completionTime is required for Complete jobs\nstatus.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition\nstatus.startTime: Required value: startTime is required for finished job"},
		{"status: {completedIndexes: '1'}", "status.completedIndexes: Invalid value: \"1\": error parsing completedIndexes: too large index: \"1\"\nstatus.completedIndexes: Invalid value: \"1\": cannot set non-empty completedIndexes when non-indexed completion mode"},
		{"status: {startTime: " + at + ", active: 2, ready: 1, failed: 2}", ""},
		{"status: {startTime: '2026-01-01T00:00:01Z', failed: 1}", "status.failed: Invalid value: 1: cannot decrease the failed counter\nstatus.startTime: Invalid value: \"2026-01-01T00:00:01Z\": field is immutable for unsuspended job once set"},
		{"status: {uncountedTerminatedPods: {succeeded: [a, ''], failed: [a]}}", "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty\nstatus.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\""},
		{"status: {active: 0, ready: 0, conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}], completionTime: " + at + "}", ""},
		{"status: {conditions: []}", "status.completionTime: Invalid value: " + at + ": cannot set completionTime when there is no Complete=True condition\nstatus.conditions: Invalid value: cannot disable the terminal Complete=True condition\nstatus.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition"},
	})
	apitest.Statuses(t, Jobs(), plainJob, "spec: {completionMode: Indexed, completions: 5, backoffLimitPerIndex: 1}", []apitest.Change{
		{"status: {completedIndexes: '0,2-3', failedIndexes: '1,3'}", `status.failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes overlap at index: 3`},
		{"status: {completedIndexes: '0,2-3', failedIndexes: '1'}", ""},
	})
}

func TestJobRow(t *testing.T) {
	for _, c := range []struct{ patch, want string }{
		{"", "Running 0/1"},
		{"spec: {parallelism: 2}", "Running 0/1 of 2"},
		{"status: {succeeded: 1, conditions: [{type: Complete, status: 'True'}]}", "Complete 1/1"},
		{"status: {conditions: [{type: Suspended, status: 'True'}]}", "Suspended 0/1"},
		{"metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}", "Terminating 0/1"},
	} {
		row := Jobs().Row(apitest.Read(t, Jobs(), plainJob, c.patch))
		if got := fmt.Sprint(row[1], " ", row[2]); got != c.want {
			t.Errorf("%s: %s", c.patch, got)
		}
	}
}

const plainCron = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: c, namespace: ns}
spec: {schedule: "*/5 * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}
`

func TestCronJob(t *testing.T) {
	const zone = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
	apitest.Creates(t, CronJobs(), plainCron, []apitest.Change{
		{"spec: {schedule: '@every 1h'}", ""},
		{"spec: {schedule: 'TZ=UTC * * * * *'}", `spec.schedule: Invalid value: "TZ=UTC * * * * *": ` + zone},
		{"spec: {schedule: 'TZ=0'}", "spec.schedule: Invalid value: \"TZ=0\": invalid schedule format: runtime error: slice bounds out of range [:-1]\nspec.schedule: Invalid value: \"TZ=0\": " + zone},
		{"spec: {schedule: '* * * *'}", `spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]`},
		{"spec: {schedule: '', concurrencyPolicy: X}", "spec.concurrencyPolicy: Unsupported value: \"X\": supported values: \"Allow\", \"Forbid\", \"Replace\"\nspec.schedule: Required value"},
		{"spec: {timeZone: Local}", `spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones`},
		{"spec: {timeZone: Nowhere}", `spec.timeZone: Invalid value: "Nowhere": unknown time zone Nowhere`},
		{"spec: {timeZone: ../x}", `spec.timeZone: Invalid value: "../x": unknown time zone ../x`},
		{"spec: {timeZone: Europe/Zurich}", ""},
		{"spec: {jobTemplate: {spec: {manualSelector: true, selector: {}}}}", "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated\nspec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\""},
		{"metadata: {name: " + strings.Repeat("x", 53) + "}", `metadata.name: Invalid value: "` + strings.Repeat("x", 53) + `": must be no more than 52 characters`},
	})
	apitest.Updates(t, CronJobs(), plainCron, "spec: {schedule: 'TZ=UTC * * * * *'}", []apitest.Change{
		{"spec: {suspend: true}", ""}, // it was let pass once
		{"spec: {timeZone: UTC}", `spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule`},
	})
	c := apitest.Made(t, CronJobs(), plainCron, "").(*batchv1.CronJob)
	if s := c.Spec; s.ConcurrencyPolicy != "Allow" || *s.Suspend || *s.SuccessfulJobsHistoryLimit != 3 || *s.FailedJobsHistoryLimit != 1 || s.JobTemplate.Spec.Completions != nil {
		t.Errorf("defaults: %s", apitest.JSON(t, s))
	}
	if w := CronJobs().Warnings(apitest.Read(t, CronJobs(), plainCron, "metadata: {name: a.b}"), nil); len(w) != 1 || !strings.HasPrefix(w[0], "metadata.name: this is used in Pod names") {
		t.Error(w)
	}
}
