package quota

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name                   string
		hard, statusHard, used corev1.ResourceList
		counted                corev1.ResourceList
		want                   corev1.ResourceList
		dirty, less            bool
	}{
		{name: "new", hard: list("pods", "5"), counted: list("pods", "0"), want: list("pods", "0"), dirty: true},
		{name: "as it was", hard: list("pods", "5"), statusHard: list("pods", "5"), used: list("pods", "1"), counted: list("pods", "1"), want: list("pods", "1")},
		{name: "less", hard: list("pods", "5"), statusHard: list("pods", "5"), used: list("pods", "2"), counted: list("pods", "1"), want: list("pods", "1"), dirty: true, less: true},
		{name: "more", hard: list("pods", "5"), statusHard: list("pods", "5"), used: list("pods", "1"), counted: list("pods", "2"), want: list("pods", "2"), dirty: true},
		{name: "limited anew", hard: list("services", "5"), statusHard: list("pods", "5"), used: list("pods", "1"), counted: list("services", "2"), want: list("services", "2"), dirty: true},
		{name: "not to be counted", hard: list("x", "5"), statusHard: list("x", "5"), used: list("x", "3"), counted: list(), want: list("x", "3")},
	} {
		q := &corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: tc.hard}, Status: corev1.ResourceQuotaStatus{Hard: tc.statusHard, Used: tc.used}}
		status, dirty, less := plan(q, tc.counted)
		if dirty != tc.dirty || less != tc.less || fmt.Sprint(status.Used) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %v, %v, %v", tc.name, status.Used, dirty, less)
		}
	}
}

// Less is written when nothing has changed the quota for a while, and under constant writing in the end all the same.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{seen: map[string]sight{}}
		at := func(rv int) *corev1.ResourceQuota {
			return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{ResourceVersion: fmt.Sprint(rv)}}
		}
		if d := c.settle("k", at(1), false); d != 0 {
			t.Errorf("more waits %v", d)
		}
		if d := c.settle("k", at(2), true); d != quiet {
			t.Errorf("less after a change waits %v", d)
		}
		time.Sleep(quiet)
		if d := c.settle("k", at(2), true); d != 0 {
			t.Errorf("less waits %v more", d)
		}
		rv := 2
		for began := time.Now(); ; time.Sleep(quiet / 2) {
			rv++
			if c.settle("k", at(rv), true) == 0 {
				if d := time.Since(began); d > patience {
					t.Errorf("less was written after %v", d)
				}
				break
			}
		}
	})
}
