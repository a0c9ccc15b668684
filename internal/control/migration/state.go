package migration

import (
	"fmt"
	"strings"

	svmv1 "k8s.io/api/storagemigration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type migration = svmv1.StorageVersionMigration

func is(m *migration, t svmv1.MigrationConditionType) bool {
	return apimeta.IsStatusConditionTrue(m.Status.Conditions, string(t))
}

func ended(m *migration) bool { return is(m, svmv1.MigrationSucceeded) || is(m, svmv1.MigrationFailed) }

// turn decides among the migrations of one resource: which of those that ended still count as running, and which is to be worked on. next
// is nil when there is none; else it runs, or is the oldest that waits.
func turn(all []*migration) (over []*migration, next *migration) {
	for _, m := range all {
		running := is(m, svmv1.MigrationRunning)
		switch {
		case running && ended(m):
			over = append(over, m)
		case ended(m):
		case next == nil || running && !is(next, svmv1.MigrationRunning):
			next = m
		case running == is(next, svmv1.MigrationRunning) && before(m, next):
			next = m
		}
	}
	return over, next
}

func before(a, b *migration) bool {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c < 0
	}
	return strings.Compare(a.Name, b.Name) < 0
}

// with is a copy of a migration with a condition set.
func with(m *migration, t svmv1.MigrationConditionType, status metav1.ConditionStatus, reason, message string) *migration {
	out := m.DeepCopy()
	apimeta.SetStatusCondition(&out.Status.Conditions, metav1.Condition{Type: string(t), Status: status, Reason: reason, Message: message})
	return out
}

// failed is a copy of a migration that has failed.
func failed(m *migration, message string) *migration {
	return with(m, svmv1.MigrationFailed, metav1.ConditionTrue, "StorageVersionMigrationFailed", message)
}

// running is a copy of a migration that runs, with how far it is.
func running(m *migration, p progress, err error) *migration {
	return with(m, svmv1.MigrationRunning, metav1.ConditionTrue, "MigrationRunning", p.text(err))
}

// progress counts objects: all that there are, and those that are still to be written.
type progress struct{ total, left int }

func (p progress) text(err error) string {
	text := "The migration is running"
	switch {
	case p.total > 0 && p.left > 0:
		text += fmt.Sprintf(", %d/%d objects not yet migrated", p.left, p.total)
	case p.total > 0:
		text += fmt.Sprintf(", %d objects verified migrated", p.total)
	}
	if err != nil {
		text += "; transient error: " + err.Error()
	}
	return text
}
