package identity

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDue(t *testing.T) {
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	const after = 100 * 24 * time.Hour // from 2026-03-07 on
	old := metav1.NewTime(now.AddDate(-1, 0, 0))
	for name, c := range map[string]struct {
		created  metav1.Time
		used     string
		refused  string
		deleting bool
		want     verdict
	}{
		"never used":                 {created: old, want: refuse},
		"young":                      {created: metav1.NewTime(now.Add(-after)), want: keep},
		"used long ago":              {created: old, used: "2026-03-06", want: refuse},
		"used at the edge":           {created: old, used: "2026-03-07", want: keep},
		"used, nobody knows when":    {created: old, used: "yesterday", want: keep},
		"refused since a while":      {created: old, refused: "2026-03-07", want: keep},
		"refused for long":           {created: old, refused: "2026-03-06", want: remove},
		"refused, nobody knows when": {created: old, refused: "x", want: refuse},
		"used since it is refused":   {created: old, used: "2026-06-14", refused: "2026-01-01", want: keep},
		"goes":                       {created: old, deleting: true, want: keep},
	} {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: c.created, Labels: map[string]string{}}}
		if c.used != "" {
			s.Labels[lastUsedLabel] = c.used
		}
		if c.refused != "" {
			s.Labels[invalidSinceLabel] = c.refused
		}
		if c.deleting {
			s.DeletionTimestamp = &metav1.Time{Time: now}
		}
		if got := due(s, now, after); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
