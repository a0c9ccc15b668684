package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// overtaken is a course of events and the controllers of which it is. What it returns has come of it soon after; the controllers' other
// views are then told late of one resource after another, so that the rest overtakes it, and the same must come of it: a controller that is
// not told of a change again, because it looked before it could see all of it, would leave something undone.
type overtaken struct {
	cfg      control.Config
	accounts []string
	course   func(b *bench, note func(string))
}

// soon is when all that follows from a change has been done, with one resource late by a second at each step.
const soon = 20 * time.Second

func TestOvertaken(t *testing.T) {
	for name, o := range map[string]overtaken{
		"binding":      {accounts: []string{"persistent-volume-binder", "pv-protection-controller"}, course: binding},
		"classes":      {accounts: []string{"persistent-volume-binder"}, course: waitingForClass},
		"ephemeral":    {accounts: []string{"ephemeral-volume-controller", "pvc-protection-controller"}, course: ephemeralVolume},
		"protection":   {accounts: []string{"pvc-protection-controller", "pv-protection-controller", "volumeattributesclass-protection-controller"}, course: protected},
		"expansion":    {accounts: []string{"expand-controller"}, course: expansion},
		"local":        {cfg: control.Config{LocalPath: true}, accounts: []string{"persistent-volume-binder", "expand-controller"}, course: localVolume},
		"deployment":   {accounts: []string{"deployment-controller", "replicaset-controller"}, course: rollout},
		"replication":  {accounts: []string{"replication-controller"}, course: replication},
		"endpoints":    {accounts: []string{"endpoint-controller", "endpointslice-controller"}, course: endpoints},
		"budget":       {accounts: []string{"disruption-controller"}, course: budgeted},
		"quota":        {accounts: []string{"resourcequota-controller"}, course: quota},
		"namespace":    {accounts: []string{"service-account-controller", "namespace-controller"}, course: namespaces},
		"roles":        {accounts: []string{"clusterrole-aggregation-controller"}, course: aggregated},
		"finished job": {accounts: []string{"job-controller", "ttl-after-finished-controller"}, course: finishedJob},
		"orphans":      {accounts: []string{"pod-garbage-collector"}, course: orphans},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.test(t)
		})
	}
}

func (o overtaken) test(t *testing.T) {
	var reads []string
	for _, account := range o.accounts {
		reads = append(reads, readsOf(t, account)...)
	}
	slices.Sort(reads)
	one := func(late string) string {
		var out []string
		doors := func(f client.Factory) client.Factory { return f }
		if late != "" {
			doors = lateOf("shared-informers", late, time.Second)
		}
		inBubble(t, o.cfg, func(b *bench) {
			b.addNode("n0", map[string]string{corev1.LabelHostname: "n0"})
			b.settle(5 * time.Second)
			o.course(b, func(s string) { out = append(out, s) })
		}, doors)
		return strings.Join(out, "\n")
	}
	want := one("")
	t.Log(want)
	for _, resource := range slices.Compact(reads) {
		if got := one(resource); got != want {
			t.Errorf("%s are told late:\n%s\nundisturbed:\n%s", resource, got, want)
		}
	}
}

func (b *bench) drop(resource schema.GroupVersionResource, namespace, name string) {
	b.Helper()
	if err := client.Delete(b.Context(), b.door, resource, namespace, name, ""); err != nil {
		b.Fatal(err)
	}
}

func binding(b *bench, note func(string)) {
	b.addClaim(newClaim("first", "1Gi", new(none)))
	b.addVolume(newVolume("v", "1Gi", none))
	kept := newVolume("kept", "1Gi", none)
	kept.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "owner"}
	b.addVolume(kept)
	b.addClaim(newClaim("owner", "1Gi", new(none)))
	b.settle(soon)
	note(b.seen())
	b.drop(client.PersistentVolumeClaims, "default", "first")
	b.drop(client.PersistentVolumes, "", "kept")
	b.settle(soon)
	note(b.seen())
	pv := b.volume("v").DeepCopy()
	pv.Spec.ClaimRef = nil
	if _, err := client.Update(b.Context(), b.door, client.PersistentVolumes, pv); err != nil {
		b.Fatal(err)
	}
	b.addClaim(newClaim("second", "1Gi", new(none)))
	b.drop(client.PersistentVolumeClaims, "default", "owner")
	b.settle(soon)
	note(b.seen())
}

func waitingForClass(b *bench, note func(string)) {
	b.addClaim(newClaim("c", "1Gi", nil))
	b.addVolume(newVolume("v", "1Gi", "late"))
	class := newClass("late", "example.com/made", storagev1.VolumeBindingImmediate)
	class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	b.addClass(class)
	b.settle(soon)
	note(b.seen())
	b.addClass(newClass("provisioned", "example.com/made", storagev1.VolumeBindingImmediate))
	b.addClaim(newClaim("made", "1Gi", new("provisioned")))
	b.settle(soon)
	note(b.claim("made").Annotations[volumes.Provisioner])
}

func ephemeralVolume(b *bench, note func(string)) {
	template := &corev1.PersistentVolumeClaimTemplate{Spec: newClaim("", "1Gi", new("fast")).Spec}
	create(b, client.Pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "c", Image: "i"}}, TerminationGracePeriodSeconds: new(int64(0)),
		Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: template}}}},
	}})
	b.settle(soon)
	note(b.seen())
	b.drop(client.Pods, "default", "p")
	b.settle(soon)
	note(b.seen())
}

func protected(b *bench, note func(string)) {
	create(b, client.VolumeAttributesClasses, &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"}, DriverName: "csi.example.com", Parameters: map[string]string{"iops": "1"}})
	c := newClaim("data", "1Gi", new(none))
	c.Spec.VolumeAttributesClassName = new("gold")
	b.addClaim(c)
	b.addUser("user", "n0", "data")
	b.settle(5 * time.Second) // until the pod runs
	b.drop(client.PersistentVolumeClaims, "default", "data")
	b.drop(client.VolumeAttributesClasses, "", "gold")
	left := func() string {
		return fmt.Sprint("claim gone ", b.gone(client.PersistentVolumeClaims, "default", "data"), ", class gone ", b.gone(client.VolumeAttributesClasses, "", "gold"))
	}
	b.settle(soon)
	note(left())
	b.drop(client.Pods, "default", "user")
	b.settle(soon)
	note(left())
}

func expansion(b *bench, note func(string)) {
	class := newClass("grows", "example.com", storagev1.VolumeBindingImmediate)
	class.AllowVolumeExpansion = new(true)
	b.addClass(class)
	pv := newVolume("pv-v", "1Gi", "grows")
	pv.Spec.HostPath, pv.Spec.CSI = nil, &corev1.CSIPersistentVolumeSource{Driver: "example.com", VolumeHandle: "v"}
	b.addVolume(pv)
	b.addClaim(newClaim("v", "1Gi", new("grows")))
	b.settle(5 * time.Second)
	b.changeClaim("v", func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources.Requests = storageOf("2Gi") })
	b.settle(soon)
	note(fmt.Sprint(slices.Contains(b.events("default"), "volume_expand Normal ExternalExpanding: waiting for an external controller to expand this PVC")))
}

func localVolume(b *bench, note func(string)) {
	annotate := func(key string, value any) {
		b.Helper()
		b.patch(client.Ref{Resource: client.Nodes, Name: "n0"}, map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
	}
	annotate(volumes.LocalDir, "/srv/volumes")
	b.settle(5 * time.Second)
	b.addClaim(newClaim("c", "1Gi", new("local-path")))
	b.changeClaim("c", func(c *corev1.PersistentVolumeClaim) {
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, volumes.SelectedNode, "n0")
	})
	b.settle(soon)
	name := "pvc-" + string(b.claim("c").UID)
	seen := func() string { return strings.ReplaceAll(b.seen(), name, "made") }
	note(seen())
	b.changeClaim("c", func(c *corev1.PersistentVolumeClaim) { c.Spec.Resources.Requests = storageOf("3Gi") })
	b.settle(soon)
	note(seen())
	b.drop(client.PersistentVolumeClaims, "default", "c")
	b.settle(soon)
	note(seen())
	annotate(volumes.RemovePrefix+name, volumes.RemoveDone)
	b.settle(soon)
	note(seen())
}

func rollout(b *bench, note func(string)) {
	create(b, client.Deployments, deployment("default", "web", 3))
	b.settle(soon)
	state := func() string {
		s := b.deployed("default", "web").Status
		return fmt.Sprintf("%d ready, %d updated, %d pods run", s.ReadyReplicas, s.UpdatedReplicas, len(b.podsOf("default", running)))
	}
	note(state())
	b.change("default", "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "busybox:2" })
	b.settle(2 * time.Minute)
	note(state())
	b.change("default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(1)) })
	b.settle(soon)
	note(state())
}

func replication(b *bench, note func(string)) {
	d := deployment("default", "rc", 2)
	create(b, client.ReplicationControllers, &corev1.ReplicationController{ObjectMeta: d.ObjectMeta,
		Spec: corev1.ReplicationControllerSpec{Replicas: new(int32(2)), Selector: d.Spec.Template.Labels, Template: &d.Spec.Template}})
	b.settle(soon)
	state := func() string {
		rc, err := client.Get[*corev1.ReplicationController](b.Context(), b.door, client.ReplicationControllers, "default", "rc")
		if err != nil {
			b.Fatal(err)
		}
		return fmt.Sprintf("%d ready, %d pods run", rc.Status.ReadyReplicas, len(b.podsOf("default", running)))
	}
	note(state())
	b.drop(client.Pods, "default", b.podsOf("default", running)[0].Name)
	b.settle(time.Minute)
	note(state())
}

func endpoints(b *bench, note func(string)) {
	b.service("web", nil)
	create(b, client.Deployments, deployment("default", "web", 2))
	b.settle(soon)
	state := func() string {
		ready := 0
		for _, s := range b.slicesOf("web") {
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					ready++
				}
			}
		}
		e, err := client.Get[*corev1.Endpoints](b.Context(), b.door, client.EndpointsResource, "default", "web")
		if err != nil {
			b.Fatal(err)
		}
		old := 0
		for _, s := range e.Subsets {
			old += len(s.Addresses)
		}
		return fmt.Sprint(ready, " in slices, ", old, " in endpoints")
	}
	note(state())
	b.change("default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(1)) })
	b.settle(time.Minute)
	note(state())
}

func budgeted(b *bench, note func(string)) {
	create(b, client.PodDisruptionBudgets, budget("web", policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromString("50%"))}))
	create(b, client.Deployments, deployment("default", "web", 4))
	b.settle(soon)
	note(b.budgeted("web"))
	b.change("default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(2)) })
	b.settle(time.Minute)
	note(b.budgeted("web"))
}

func quota(b *bench, note func(string)) {
	create(b, client.ResourceQuotas, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "q"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("9"), "persistentvolumeclaims": resource.MustParse("9")}}})
	b.settle(5 * time.Second)
	create(b, client.Deployments, deployment("default", "web", 3))
	b.addClaim(newClaim("c", "1Gi", new(none)))
	b.settle(soon)
	state := func() string {
		q, err := client.Get[*corev1.ResourceQuota](b.Context(), b.door, client.ResourceQuotas, "default", "q")
		if err != nil {
			b.Fatal(err)
		}
		pods, claims := q.Status.Used["pods"], q.Status.Used["persistentvolumeclaims"]
		return pods.String() + " pods, " + claims.String() + " claims"
	}
	note(state())
	b.change("default", "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(1)) })
	b.drop(client.PersistentVolumeClaims, "default", "c")
	b.settle(time.Minute)
	note(state())
}

func namespaces(b *bench, note func(string)) {
	create(b, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new"}})
	b.settle(soon)
	there := func() string {
		return fmt.Sprint("account gone ", b.gone(client.ServiceAccounts, "new", "default"), ", namespace gone ", b.gone(client.Namespaces, "", "new"))
	}
	note(there())
	b.drop(client.ServiceAccounts, "new", "default")
	b.settle(soon)
	note(there())
	b.drop(client.Namespaces, "", "new")
	b.settle(time.Minute)
	note(there())
}

func aggregated(b *bench, note func(string)) {
	role := func(name string, labels map[string]string, rule *rbacv1.AggregationRule, verbs ...string) *rbacv1.ClusterRole {
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, AggregationRule: rule}
		if len(verbs) > 0 {
			r.Rules = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: verbs}}
		}
		return r
	}
	create(b, client.ClusterRoles, role("sum", nil, &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"part": "yes"}}}}))
	create(b, client.ClusterRoles, role("part", map[string]string{"part": "yes"}, nil, "get"))
	rules := func() string {
		r, err := client.Get[*rbacv1.ClusterRole](b.Context(), b.door, client.ClusterRoles, "", "sum")
		if err != nil {
			b.Fatal(err)
		}
		return fmt.Sprint(r.Rules)
	}
	b.settle(soon)
	note(rules())
	b.drop(client.ClusterRoles, "", "part")
	b.settle(soon)
	note(rules())
}

func finishedJob(b *bench, note func(string)) {
	b.fates(func(*corev1.Pod) fate { return fate{after: time.Second} })
	b.makeJob(jobOf("j", func(s *batchv1.JobSpec) { s.TTLSecondsAfterFinished = new(int32(60)) }))
	b.settle(40 * time.Second)
	note(fmt.Sprint(b.job("j").Status.Succeeded, " succeeded"))
	b.settle(2 * time.Minute)
	note(fmt.Sprint("job gone ", b.gone(client.Jobs, "default", "j")))
}

func orphans(b *bench, note func(string)) {
	b.addUser("p", "n0", "nothing")
	b.settle(5 * time.Second)
	b.drop(client.Nodes, "", "n0")
	b.settle(3 * time.Minute)
	note(fmt.Sprint("pod gone ", b.gone(client.Pods, "default", "p")))
}
