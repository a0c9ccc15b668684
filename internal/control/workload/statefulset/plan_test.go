package statefulset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Unix(1_000_000, 0)

func revision(name string) *appsv1.ControllerRevision {
	return &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// rolling sets a set's strategy.
func rolling(partition int32, most string) func(*appsv1.StatefulSet) {
	m := intstr.Parse(most)
	return func(s *appsv1.StatefulSet) {
		s.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType,
			RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition, MaxUnavailable: &m}}
	}
}

func parallel(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement }

func from(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: n} }
}

func aSet(n int32, change ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "web", UID: "set", Generation: 1},
		Spec:       appsv1.StatefulSetSpec{Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, PodManagementPolicy: appsv1.OrderedReadyPodManagement},
	}
	s.Spec.Template.Labels = map[string]string{"app": "web"}
	rolling(0, "1")(s)
	for _, f := range change {
		f(s)
	}
	return s
}

// pods reads "0:old/ready 1:new/pending 2:new/ready/dying": ordinal, revision, how it is.
func pods(set *appsv1.StatefulSet, text string) (out []*corev1.Pod) {
	for _, word := range strings.Fields(text) {
		ordinal, rest, _ := strings.Cut(word, ":")
		parts := strings.Split(rest, "/")
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "web-" + ordinal, UID: types.UID("pod" + ordinal), Labels: map[string]string{
			appsv1.StatefulSetPodNameLabel: "web-" + ordinal, appsv1.StatefulSetRevisionLabel: parts[0],
		}}}
		p.Spec.Volumes = volumes(set, nil, ordinalOf(p))
		for _, how := range parts[1:] {
			switch how {
			case "ready", "unready":
				p.Status.Phase = corev1.PodRunning
				status := map[string]corev1.ConditionStatus{"ready": corev1.ConditionTrue, "unready": corev1.ConditionFalse}[how]
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.NewTime(now.Add(-5 * time.Second))}}
			case "pending":
				p.Status.Phase = corev1.PodPending
			case "failed":
				p.Status.Phase = corev1.PodFailed
			case "succeeded":
				p.Status.Phase = corev1.PodSucceeded
			case "dying":
				p.DeletionTimestamp = &metav1.Time{Time: now}
			case "unlabelled":
				delete(p.Labels, appsv1.StatefulSetPodNameLabel)
			}
		}
		out = append(out, p)
	}
	return out
}

var verbs = map[verb]string{create: "+", remove: "-", mend: "mend ", complete: "complete ", entrust: "entrust "}

func (p *plan) String() string {
	var out []string
	for _, s := range p.stages {
		var steps []string
		for _, one := range s.steps {
			text := verbs[one.verb] + one.pod.Name
			if one.verb == create {
				text += "=" + revisionOf(one.pod)
			}
			steps = append(steps, text)
		}
		out = append(out, strings.Join(steps, " "))
	}
	return strings.Join(out, "; ")
}

func aLook(set *appsv1.StatefulSet, pods []*corev1.Pod) *look {
	old := oldRevision()
	rev := &revisions{current: old, update: revision("new"), updated: set}
	return &look{set: set, rev: rev, pods: pods, now: now, claim: func(string) (*corev1.PersistentVolumeClaim, bool) { return nil, false }}
}

// oldRevision is the revision named old.
func oldRevision() *appsv1.ControllerRevision {
	r := revision("old")
	r.Data.Raw = []byte(`{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},"spec":{"containers":null}}}}`)
	return r
}

func TestPlan(t *testing.T) {
	onDelete := func(s *appsv1.StatefulSet) {
		s.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
	}
	minReady := func(s *appsv1.StatefulSet) { s.Spec.MinReadySeconds = 10 }
	for _, c := range []struct {
		name string
		set  *appsv1.StatefulSet
		pods string
		want string
	}{
		{"the first", aSet(3), "", "+web-0=new"},
		{"the next", aSet(3), "0:new/ready", "+web-1=new"},
		{"waits for readiness", aSet(3), "0:new/unready", ""},
		{"waits for availability", aSet(3, minReady), "0:new/ready", ""},
		{"fills a hole first", aSet(3), "0:new/ready 2:new/ready", "+web-1=new"},
		{"waits for one on its way out", aSet(2), "0:new/ready/dying 1:new/ready", ""},
		{"replaces the failed", aSet(2), "0:new/failed 1:new/ready", "-web-0"},
		{"replaces the succeeded", aSet(2), "0:new/succeeded", "-web-0"},
		{"waits for the end of a failed one", aSet(2), "0:new/failed/dying", ""},
		{"all at once", aSet(3, parallel), "1:new/unready", "+web-0=new +web-2=new"},
		{"from five", aSet(2, from(5)), "5:new/ready", "+web-6=new"},
		{"moved up", aSet(2, from(1)), "0:new/ready 1:new/ready", "+web-2=new"},
		{"moved up, the first goes last", aSet(2, from(1)), "0:new/ready 1:new/ready 2:new/ready", "-web-0"},
		{"labels", aSet(1), "0:new/ready/unlabelled", "mend web-0"},

		{"scaled down from the end", aSet(1), "0:new/ready 1:new/ready 2:new/ready", "-web-2"},
		{"scaled down, one at a time", aSet(1), "0:new/ready 1:new/ready 2:new/ready/dying", ""},
		{"scaled down, an unwell one in front", aSet(1), "0:new/ready 1:new/unready 2:new/ready", "-web-2"},
		{"scaled down, two unwell", aSet(1), "0:new/ready 1:new/unready 2:new/unready", ""},
		{"scaled down, the unwell one itself", aSet(1), "0:new/ready 1:new/ready 2:new/unready", "-web-2"},
		{"scaled down while one is unwell", aSet(1), "0:new/unready 1:new/ready", ""},
		{"scaled down at once", aSet(1, parallel), "0:new/unready 1:new/unready 2:new/ready", "-web-2 -web-1"},

		{"rolls from the end", aSet(3), "0:old/ready 1:old/ready 2:old/ready", "-web-2"},
		{"rolls on", aSet(3), "0:old/ready 1:old/ready 2:new/ready", "-web-1"},
		{"rolls when the last is well", aSet(3), "0:old/ready 1:old/ready 2:new/unready", ""},
		{"makes the new one", aSet(3), "0:old/ready 1:old/ready", "+web-2=new"},
		{"partition", aSet(3, rolling(2, "1")), "0:old/ready 1:old/ready 2:new/ready", ""},
		{"partition keeps the old", aSet(3, rolling(2, "1")), "0:old/ready 2:new/ready", "+web-1=old"},
		{"partition counts from the first ordinal", aSet(3, from(5), rolling(2, "1")), "5:old/ready 7:new/ready", "+web-6=old"},
		{"a broken rollout stays", aSet(2), "0:old/ready 1:new/pending", ""},
		{"two at a time", aSet(4, rolling(0, "2")), "0:old/ready 1:old/ready 2:old/ready 3:old/ready", "-web-3 -web-2"},
		{"half", aSet(4, rolling(0, "50%")), "0:old/ready 1:old/ready 2:old/ready 3:new/ready", "-web-2 -web-1"},
		{"a small share is one", aSet(4, rolling(0, "1%")), "0:old/ready 1:old/ready 2:old/ready 3:old/ready", "-web-3"},
		{"parallel, the broken first", aSet(4, parallel, rolling(0, "2")), "0:old/unready 1:old/ready 2:old/ready 3:old/ready", "-web-0 -web-3"},
		{"parallel, all broken", aSet(3, parallel), "0:old/unready 1:old/unready 2:old/unready", "-web-2 -web-1 -web-0"},
		{"parallel, a new one broken", aSet(3, parallel), "0:old/ready 1:old/ready 2:new/unready", ""},
		{"parallel, ended", aSet(2, parallel), "0:old/failed 1:old/ready", "-web-0"},
		{"on delete", aSet(2, onDelete), "0:old/ready 1:old/ready", ""},
		{"on delete, deleted", aSet(2, onDelete), "0:old/ready", "+web-1=new"},
		{"ending", aSet(2, func(s *appsv1.StatefulSet) { s.DeletionTimestamp = &metav1.Time{Time: now} }), "0:old/ready", ""},
	} {
		plan, err := planSet(aLook(c.set, pods(c.set, c.pods)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := plan.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestStatus(t *testing.T) {
	set := aSet(3)
	l := aLook(set, pods(set, "0:old/ready 1:old/pending 2:new/ready/dying"))
	p, err := planSet(l)
	if err != nil {
		t.Fatal(err)
	}
	s := l.statusAfter(&p.status, outcome{})
	if s.Replicas != 3 || s.ReadyReplicas != 2 || s.AvailableReplicas != 2 || s.CurrentReplicas != 2 || s.UpdatedReplicas != 0 ||
		s.CurrentRevision != "old" || s.UpdateRevision != "new" || *s.CollisionCount != 0 || s.ObservedGeneration != 1 {
		t.Errorf("status %+v", s)
	}
	if l.statusAfter(&p.status, outcome{rolled: 1}).CurrentReplicas != 1 {
		t.Error("a pod that was deleted for the rollout is counted")
	}
	made := append([]*corev1.Pod{nil}, pods(set, "1:old/pending 2:new/pending")...)
	if s := l.statusAfter(&p.status, outcome{made: made}); s.Replicas != 5 || s.CurrentReplicas != 3 || s.UpdatedReplicas != 1 || s.ReadyReplicas != 2 {
		t.Errorf("pods that were made are not counted: %+v", s)
	}
	l = aLook(set, pods(set, "0:new/ready 1:new/ready 2:new/ready"))
	done, _ := planSet(l)
	if s := l.statusAfter(&done.status, outcome{}); s.CurrentRevision != "new" || s.CurrentReplicas != 3 || !sameStatus(s, s) {
		t.Errorf("complete: %+v", s)
	}
	if other := *s; !sameStatus(s, &other) {
		t.Error("the same differs")
	}
	set.Spec.MinReadySeconds = 20
	if d := untilAvailable(set, pods(set, "0:new/ready 1:new/unready"), now); d != 15*time.Second {
		t.Errorf("available in %v", d)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"web-0": "web 0", "web-10": "web 10", "a-b-3": "a-b 3", "web": " -1", "web-": " -1", "web-x": " -1", "web-99999999999": "web -1", "-7": " 7",
	} {
		parent, n := parse(name)
		if got := fmt.Sprint(parent, " ", n); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// The owners of claims by policy, and what is left alone.
func TestClaimOwners(t *testing.T) {
	policy := func(deleted, scaled bool) func(*appsv1.StatefulSet) {
		kept, gone := appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		of := map[bool]appsv1.PersistentVolumeClaimRetentionPolicyType{false: kept, true: gone}
		return func(s *appsv1.StatefulSet) {
			s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: of[deleted], WhenScaled: of[scaled]}
		}
	}
	ref := func(kind, version, name string, uid types.UID, controls bool) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: version, Kind: kind, Name: name, UID: uid, Controller: &controls}
	}
	ofSet, ofPod := ref("StatefulSet", "apps/v1", "web", "set", true), ref("Pod", "v1", "web-1", "pod1", true)
	foreign := ref("Other", "v1", "x", "x", true)
	for _, c := range []struct {
		name            string
		deleted, scaled bool
		size            int32
		owners          []metav1.OwnerReference
		want            string // "" when it stays as it is
	}{
		{"kept", false, false, 2, nil, ""},
		{"kept, was not", false, false, 2, []metav1.OwnerReference{ofSet, ofPod}, "[]"},
		{"goes with the set", true, false, 2, nil, "[set]"},
		{"goes with the set, and has it", true, false, 2, []metav1.OwnerReference{ofSet}, ""},
		{"goes with the pod, later", false, true, 2, nil, ""},
		{"goes with the pod, now", false, true, 1, nil, "[pod1]"},
		{"goes with either, later", true, true, 2, []metav1.OwnerReference{ofPod}, "[set]"},
		{"goes with either, now", true, true, 1, []metav1.OwnerReference{ofSet}, "[pod1]"},
		{"not as a controller", true, false, 2, []metav1.OwnerReference{ref("StatefulSet", "apps/v1", "web", "set", false)}, "[set]"},
		{"of an earlier set", true, false, 2, []metav1.OwnerReference{ref("StatefulSet", "apps/v1", "web", "before", true)}, ""},
		{"of an earlier pod", true, true, 1, []metav1.OwnerReference{ref("Pod", "v1", "web-1", "before", true)}, ""},
		{"somebody else's", true, false, 2, []metav1.OwnerReference{foreign}, ""},
		{"somebody else's too", true, false, 2, []metav1.OwnerReference{foreign, ofSet}, "[x]"},
		{"somebody else's, kept", false, false, 2, []metav1.OwnerReference{foreign, ofSet}, "[x]"},
	} {
		set := aSet(c.size, policy(c.deleted, c.scaled))
		pod := pods(set, "1:new/ready")[0]
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{OwnerReferences: c.owners}}
		got := ""
		if !owned(claim, set, pod) {
			uids := []types.UID{}
			for _, r := range withOwners(claim, set, pod).OwnerReferences {
				uids = append(uids, r.UID)
			}
			got = fmt.Sprint(uids)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
