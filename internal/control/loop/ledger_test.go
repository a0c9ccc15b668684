package loop

import (
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

type fakeView struct {
	revision string
	pods     map[string]*corev1.Pod
}

func (v *fakeView) Revision() string { return v.revision }
func (v *fakeView) Lookup(ns, name string) (api.Object, bool) {
	p, ok := v.pods[ns+"/"+name]
	return p, ok
}

func pod(name, uid, revision string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(uid), ResourceVersion: revision}}
}

func TestLedger(t *testing.T) {
	dying := pod("p", "1", "12")
	dying.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	for _, tc := range []struct {
		name   string
		note   func(l *Ledger, v View)
		view   fakeView
		settle bool
	}{
		{"created, not there yet", func(l *Ledger, v View) { l.Wrote("k", v, pod("p", "1", "11")) }, fakeView{revision: "10"}, false},
		{"created and seen", func(l *Ledger, v View) { l.Wrote("k", v, pod("p", "1", "11")) },
			fakeView{revision: "10", pods: map[string]*corev1.Pod{"ns/p": pod("p", "1", "11")}}, true},
		{"created and gone before it was seen", func(l *Ledger, v View) { l.Wrote("k", v, pod("p", "1", "11")) }, fakeView{revision: "15"}, true},
		{"updated, the old one is there", func(l *Ledger, v View) { l.Wrote("k", v, pod("p", "1", "11")) },
			fakeView{revision: "9", pods: map[string]*corev1.Pod{"ns/p": pod("p", "1", "8")}}, false},
		{"deleted, still there", func(l *Ledger, v View) { l.Deleted("k", v, pod("p", "1", "9")) },
			fakeView{revision: "99", pods: map[string]*corev1.Pod{"ns/p": pod("p", "1", "9")}}, false},
		{"deleted and marked", func(l *Ledger, v View) { l.Deleted("k", v, pod("p", "1", "9")) },
			fakeView{revision: "9", pods: map[string]*corev1.Pod{"ns/p": dying}}, true},
		{"deleted and gone", func(l *Ledger, v View) { l.Deleted("k", v, pod("p", "1", "9")) }, fakeView{revision: "9"}, true},
		{"deleted and replaced", func(l *Ledger, v View) { l.Deleted("k", v, pod("p", "1", "9")) },
			fakeView{revision: "9", pods: map[string]*corev1.Pod{"ns/p": pod("p", "2", "12")}}, true},
		{"two created, the older seen", func(l *Ledger, v View) {
			l.Wrote("k", v, pod("q", "2", "12"))
			l.Wrote("k", v, pod("p", "1", "11"))
		}, fakeView{revision: "11", pods: map[string]*corev1.Pod{"ns/p": pod("p", "1", "11")}}, false},
		{"another key", func(l *Ledger, v View) { l.Wrote("other", v, pod("p", "1", "11")) }, fakeView{revision: "10"}, true},
	} {
		l := NewLedger()
		tc.note(l, &tc.view)
		if got := l.Settled("k"); got != tc.settle {
			t.Errorf("%s: settled = %v", tc.name, got)
		}
	}
}

func TestLedgerNotesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger()
		l.Wrote("k", &fakeView{revision: "1"}, pod("p", "1", "11"))
		time.Sleep(noteExpiry - time.Second)
		if l.Settled("k") {
			t.Fatal("settled early")
		}
		time.Sleep(2 * time.Second)
		if !l.Settled("k") {
			t.Fatal("never settled")
		}
	})
}

func TestClaimOn(t *testing.T) {
	sel := labels.SelectorFromSet(labels.Set{"app": "x"})
	owner, dying := pod("owner", "o", "1"), pod("owner", "o", "1")
	dying.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	mk := func(app, controller string, del bool) *corev1.Pod {
		p := pod("p", "1", "1")
		p.Labels = map[string]string{"app": app}
		if controller != "" {
			yes := true
			p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(controller), Controller: &yes}}
		}
		if del {
			p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
		}
		return p
	}
	elsewhere := mk("x", "", false)
	elsewhere.Namespace = "other"
	for _, tc := range []struct {
		name  string
		owner *corev1.Pod
		obj   *corev1.Pod
		want  Claim
	}{
		{"orphan that matches", owner, mk("x", "", false), Adopt},
		{"orphan that does not", owner, mk("y", "", false), Foreign},
		{"orphan being deleted", owner, mk("x", "", true), Foreign},
		{"orphan elsewhere", owner, elsewhere, Foreign},
		{"orphan, owner dying", dying, mk("x", "", false), Foreign},
		{"own", owner, mk("x", "o", false), Owned},
		{"own being deleted", owner, mk("x", "o", true), Owned},
		{"own, owner dying", dying, mk("x", "o", false), Owned},
		{"own that left", owner, mk("y", "o", false), Release},
		{"own that left, owner dying", dying, mk("y", "o", false), Foreign},
		{"another's", owner, mk("x", "z", false), Foreign},
	} {
		if got := ClaimOn(tc.owner, sel, tc.obj); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestSlowStart(t *testing.T) {
	var calls atomic.Int64
	n, err := SlowStart(20, func() error { calls.Add(1); return nil })
	if n != 20 || err != nil || calls.Load() != 20 {
		t.Fatalf("%d %v %d", n, err, calls.Load())
	}
	calls.Store(0)
	boom := errors.New("quota")
	n, err = SlowStart(100, func() error {
		if calls.Add(1) > 3 {
			return boom
		}
		return nil
	})
	if n != 3 || err != boom || calls.Load() != 7 { // 1 + 2 + the failed batch of 4
		t.Fatalf("%d %v %d", n, err, calls.Load())
	}
	if n, err = SlowStart(0, func() error { return boom }); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}

// One key's writes go on beside each other, but not all of them at once; and a batch leaves one note, not one for each.
func TestTogetherIsBounded(t *testing.T) {
	var now, most, calls atomic.Int64
	Together(1000, func(int) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		calls.Add(1)
		now.Add(-1)
	})
	if calls.Load() != 1000 || most.Load() > inFlight {
		t.Errorf("%d calls, up to %d at a time", calls.Load(), most.Load())
	}
	l, v := NewLedger(), &fakeView{revision: "1"}
	for i := range 1000 {
		l.Wrote("k", v, pod("p", "1", strconv.Itoa(10+i)))
	}
	if n := len(l.mu.notes["k"]); n != 1 {
		t.Errorf("%d notes of a thousand creates", n)
	}
}
