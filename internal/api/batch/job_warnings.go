package batch

import (
	"fmt"

	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/valid"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// nameWarnings tells of a name that makes bad names of pods.
func nameWarnings(name string) []string {
	msgs := validation.IsDNS1123Label(name)
	if len(msgs) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: %v", msgs)}
}

// specWarnings tells what is legal but doubtful in the spec of a job, found at path.
func specWarnings(s *batchv1.JobSpec, path *field.Path) []string {
	var out []string
	if indexed(s) && valid.Deref(s.Completions) > manyCompletions && valid.Deref(s.Parallelism) > parallelismOfMany {
		out = append(out, fmt.Sprintf("%s: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail", path))
	}
	return append(out, core.PodTemplateWarnings(path.Child("template"), &s.Template)...)
}
