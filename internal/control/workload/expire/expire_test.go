package expire

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestExpiry(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	job := func(ttl *int32, kind batchv1.JobConditionType, status corev1.ConditionStatus, dying bool) *batchv1.Job {
		j := &batchv1.Job{}
		j.Spec.TTLSecondsAfterFinished = ttl
		j.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: status, LastTransitionTime: metav1.NewTime(at)}}
		if dying {
			j.DeletionTimestamp = &metav1.Time{}
		}
		return j
	}
	for name, c := range map[string]struct {
		job  *batchv1.Job
		want time.Duration // after its end; less than 0: never
	}{
		"complete": {job(new(int32(10)), batchv1.JobComplete, corev1.ConditionTrue, false), 10 * time.Second},
		"failed":   {job(new(int32(0)), batchv1.JobFailed, corev1.ConditionTrue, false), 0},
		"stays":    {job(nil, batchv1.JobFailed, corev1.ConditionTrue, false), -1},
		"runs":     {job(new(int32(0)), batchv1.JobFailed, corev1.ConditionFalse, false), -1},
		"going to": {job(new(int32(0)), batchv1.JobFailureTarget, corev1.ConditionTrue, false), -1},
		"dying":    {job(new(int32(0)), batchv1.JobComplete, corev1.ConditionTrue, true), -1},
	} {
		got, ends := expiry(c.job)
		if ends != (c.want >= 0) || ends && got.Sub(at) != c.want {
			t.Errorf("%s: %v %t", name, got, ends)
		}
	}
}
