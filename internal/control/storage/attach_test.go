package storage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func drivenVolume(name string, mode corev1.PersistentVolumeAccessMode) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: "d", VolumeHandle: name}
	pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{mode}
	return pv
}

// shown is a plan in a line.
func shown(p attachPlan) string {
	var out []string
	for _, a := range p.attached {
		out = append(out, "attached "+strings.TrimPrefix(string(a.Name), "kubernetes.io/csi/d^"))
	}
	for _, w := range p.news {
		out = append(out, "new "+w.pv.Name)
	}
	for _, w := range p.create {
		out = append(out, "create "+w.pv.Name)
	}
	for _, b := range p.blocked {
		out = append(out, fmt.Sprint("blocked ", b.pv.Name, " ", b.nodes))
	}
	for _, f := range p.failed {
		out = append(out, "failed "+f.pv.Name)
	}
	for _, d := range p.detach {
		text := "force "
		if d.verify {
			text = "detach "
		}
		out = append(out, text+strings.TrimPrefix(string(d.volume), "kubernetes.io/csi/d^"))
	}
	if p.again > 0 {
		out = append(out, "again in "+p.again.String())
	}
	return strings.Join(out, ", ")
}

func TestPlanAttachments(t *testing.T) {
	now := time.Now()
	v := drivenVolume("v", corev1.ReadWriteOnce)
	name := uniqueName(v)
	node := func(change ...func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
		for _, c := range change {
			c(n)
		}
		return n
	}
	uses := func(n *corev1.Node) { n.Status.VolumesInUse = []corev1.UniqueVolumeName{name} }
	says := func(n *corev1.Node) { n.Status.VolumesAttached = []corev1.AttachedVolume{{Name: name}} }
	ill := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
	out := func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute}}
	}
	wanted := map[corev1.UniqueVolumeName]attachable{name: {pv: v}}
	attachment := func(change ...func(*attachedVolume)) map[corev1.UniqueVolumeName]attachedVolume {
		a := attachedVolume{VolumeAttachment: newAttachment(v, "n"), volume: name}
		for _, c := range change {
			c(&a)
		}
		return map[corev1.UniqueVolumeName]attachedVolume{name: a}
	}
	done := func(a *attachedVolume) { a.Status.Attached = true }
	leaving := func(a *attachedVolume) { a.leaving = true }
	failed := func(a *attachedVolume) { a.Status.AttachError = &storagev1.VolumeError{Message: "no"} }
	since := func(ago time.Duration) map[corev1.UniqueVolumeName]time.Time {
		return map[corev1.UniqueVolumeName]time.Time{name: now.Add(-ago)}
	}
	for _, c := range []struct {
		name  string
		view  attachView
		other []string
		want  string
	}{
		{"wanted", attachView{node: node(), wanted: wanted}, nil, "create v"},
		{"wanted, on a node that is gone", attachView{wanted: wanted}, nil, ""},
		{"wanted, and another node has it", attachView{node: node(), wanted: wanted}, []string{"o"}, "blocked v [o]"},
		{"of several writers, and another node has it", attachView{node: node(), wanted: map[corev1.UniqueVolumeName]attachable{name: {pv: drivenVolume("v", corev1.ReadWriteMany)}}}, []string{"o"}, "create v"},
		{"being attached", attachView{node: node(), wanted: wanted, has: attachment()}, nil, ""},
		{"cannot be attached", attachView{node: node(), wanted: wanted, has: attachment(failed)}, nil, "failed v"},
		{"attached", attachView{node: node(), wanted: wanted, has: attachment(done)}, nil, "attached v, new v"},
		{"attached, and told", attachView{node: node(says), wanted: wanted, has: attachment(done)}, nil, "attached v"},
		{"being detached, and wanted again", attachView{node: node(says), wanted: wanted, has: attachment(done, leaving)}, nil, ""},
		{"not wanted, in use", attachView{node: node(says, uses), has: attachment(done), since: since(time.Hour)}, nil, "attached v"},
		{"not wanted, not in use", attachView{node: node(says), has: attachment(done), since: since(0)}, nil, "detach v"},
		{"not wanted, and never attached", attachView{node: node(), has: attachment(), since: since(0)}, nil, "detach v"},
		{"not wanted, being detached", attachView{node: node(says), has: attachment(done, leaving)}, nil, ""},
		{"not wanted, in use, the node ill", attachView{node: node(says, uses, ill), has: attachment(done), since: since(time.Minute)}, nil, "attached v, again in 5m0s"},
		{"not wanted, in use, the node ill for long", attachView{node: node(says, uses, ill), has: attachment(done), since: since(forceAfter)}, nil, "force v"},
		{"not wanted, in use, the node ill for long, not by force", attachView{node: node(says, uses, ill), has: attachment(done), since: since(forceAfter), noForce: true}, nil, "attached v"},
		{"not wanted, in use, the node out of service", attachView{node: node(says, uses, ill, out), has: attachment(done), since: since(0)}, nil, "force v"},
		{"the node is gone", attachView{has: attachment(done), since: since(0)}, nil, "attached v, again in 6m0s"},
		{"the node is gone for long", attachView{has: attachment(done), since: since(forceAfter)}, nil, "force v"},
	} {
		c.view.now, c.view.name = now, "n"
		c.view.elsewhere = func(corev1.UniqueVolumeName) []string { return c.other }
		if got := shown(planAttachments(c.view)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestBlockedText(t *testing.T) {
	pod := func(namespace, name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	for _, c := range []struct {
		others []*corev1.Pod
		want   string
	}{
		{nil, `Waiting for detach for volume "v" Volume is already exclusively attached to one node, waiting on detach before it can be attached to another node`},
		{[]*corev1.Pod{pod("a", "y"), pod("a", "x")}, `Waiting for detach for volume "v" Volume is already used by pod(s) x, y`},
		{[]*corev1.Pod{pod("b", "y")}, `Waiting for detach for volume "v" Volume is already used by 1 pod(s) in different namespaces`},
		{[]*corev1.Pod{pod("b", "y"), pod("a", "x")}, `Waiting for detach for volume "v" Volume is already used by pod(s) x and 1 pod(s) in different namespaces`},
	} {
		if got := blockedText("v", pod("a", "p"), c.others); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
