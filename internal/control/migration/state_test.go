package migration

import (
	"errors"
	"strings"
	"testing"
	"time"

	svmv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Of "name conditions", older first: R runs, S succeeded, F failed.
func TestTurn(t *testing.T) {
	for _, c := range []struct {
		all, over, next string
	}{
		{"", "[]", ""},
		{"a,b", "[]", "a"},
		{"a,b R", "[]", "b"},
		{"a RS,b", "[a]", "b"},
		{"a S,b F,c", "[]", "c"},
		{"a RF,b RS", "[a b]", ""},
		{"a R,b R", "[]", "a"},
	} {
		var all []*migration
		for i, one := range strings.Split(c.all, ",") {
			f := strings.Fields(one + " .")
			if one == "" {
				continue
			}
			m := &migration{ObjectMeta: metav1.ObjectMeta{Name: f[0], CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}}
			for short, long := range map[string]svmv1.MigrationConditionType{"R": svmv1.MigrationRunning, "S": svmv1.MigrationSucceeded, "F": svmv1.MigrationFailed} {
				if strings.Contains(f[1], short) {
					m = with(m, long, metav1.ConditionTrue, "r", "m")
				}
			}
			all = append([]*migration{m}, all...)
		}
		over, next := turn(all)
		names := map[string]bool{}
		for _, m := range over {
			names[m.Name] = true
		}
		got := ""
		if next != nil {
			got = next.Name
		}
		if got != c.next || len(names) != len(strings.Fields(strings.Trim(c.over, "[]"))) {
			t.Errorf("%s: over %v, next %q; want %s, %q", c.all, names, got, c.over, c.next)
		}
	}
}

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		p    progress
		err  error
		want string
	}{
		{progress{}, nil, "The migration is running"},
		{progress{total: 5, left: 2}, nil, "The migration is running, 2/5 objects not yet migrated"},
		{progress{total: 5}, nil, "The migration is running, 5 objects verified migrated"},
		{progress{total: 5, left: 5}, errors.New("oh"), "The migration is running, 5/5 objects not yet migrated; transient error: oh"},
	} {
		if got := c.p.text(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
