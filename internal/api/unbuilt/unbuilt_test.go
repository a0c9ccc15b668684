package unbuilt_test

import (
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/unbuilt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	svmv1 "k8s.io/api/storagemigration/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// asking is a spec with one gap, for templates.
var asking = corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{}}}}}

// asks is one way to ask for each thing that is not built, with what is said of it.
var asks = []struct {
	name string
	obj  api.Object
	sub  string
	want string // the beginning of each sentence, joined by "|"; "" for silence
}{
	{name: "plain pod", obj: pod(func(s *corev1.PodSpec) {
		yes, always := true, corev1.FSGroupChangeAlways
		s.HostUsers, s.SecurityContext = &yes, &corev1.PodSecurityContext{FSGroupChangePolicy: &always}
		s.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(1, resource.BinarySI)}}}}
		s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}}
	})},
	{name: "users of its own", obj: pod(func(s *corev1.PodSpec) { s.HostUsers = new(false) })},
	{name: "volumes", obj: pod(func(s *corev1.PodSpec) {
		s.Volumes = []corev1.Volume{
			{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}},
			{VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}, {VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{}}},
			{VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}}, {VolumeSource: corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{}}},
			{VolumeSource: corev1.VolumeSource{FC: &corev1.FCVolumeSource{}}},
		}
	}), want: "spec.volumes[4].iscsi: |spec.volumes[5].fc: "},
	{name: "policies of volumes", obj: pod(func(s *corev1.PodSpec) {
		root, mount := corev1.FSGroupChangeOnRootMismatch, corev1.SELinuxChangePolicyMountOption
		s.SecurityContext = &corev1.PodSecurityContext{FSGroupChangePolicy: &root, SELinuxChangePolicy: &mount}
	}), want: "spec.securityContext.seLinuxChangePolicy: "},
	{name: "huge pages", obj: pod(func(s *corev1.PodSpec) {
		s.Containers[0].Resources.Limits = corev1.ResourceList{"hugepages-2Mi": resource.MustParse("2Mi")}
	})},
	{name: "deployment", obj: &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: asking}}},
		want: "spec.template.spec.volumes[0].iscsi: "},
	{name: "replica set", obj: &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Template: corev1.PodTemplateSpec{Spec: asking}}},
		want: "spec.template.spec.volumes[0].iscsi: "},
	{name: "replication controller", obj: &corev1.ReplicationController{Spec: corev1.ReplicationControllerSpec{Template: &corev1.PodTemplateSpec{Spec: asking}}},
		want: "spec.template.spec.volumes[0].iscsi: "},
	{name: "replication controller without a template", obj: &corev1.ReplicationController{}},
	{name: "job", obj: &batchv1.Job{}},
	{name: "job that asks", obj: &batchv1.Job{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: asking}}}, want: "spec.template.spec.volumes[0].iscsi: "},
	{name: "cron job that asks", obj: &batchv1.CronJob{Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: asking}}}}}, want: "spec.jobTemplate.spec.template.spec.volumes[0].iscsi: "},
	{name: "stateful set that asks", obj: &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Template: corev1.PodTemplateSpec{Spec: asking}}}, want: "spec.template.spec.volumes[0].iscsi: "},
	{name: "daemon set that asks", obj: &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: asking}}}, want: "spec.template.spec.volumes[0].iscsi: "},
	{name: "pod template that asks", obj: &corev1.PodTemplate{Template: corev1.PodTemplateSpec{Spec: asking}}, want: "template.spec.volumes[0].iscsi: "},
	{name: "disruption budget", obj: &policyv1.PodDisruptionBudget{}},
	{name: "network policy", obj: &networkingv1.NetworkPolicy{}, want: "spec: "},
	{name: "migration", obj: &svmv1.StorageVersionMigration{}},
	{name: "status of a pod that asks", obj: pod(func(s *corev1.PodSpec) { *s = asking }), sub: "status"},
	{name: "token in a Secret", obj: &corev1.Secret{Type: corev1.SecretTypeServiceAccountToken}},
	{name: "system class", obj: &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "system-node-critical"}}},
	{name: "constrained impersonation", obj: &rbacv1.ClusterRole{Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}}, {Verbs: []string{"impersonate:user-info"}}}}},
	{name: "impersonation on", obj: &rbacv1.Role{Rules: []rbacv1.PolicyRule{{Verbs: []string{"impersonate-on:user-info:list"}}}}},
	{name: "claim", obj: &corev1.PersistentVolumeClaim{}},
	{name: "volume of a driver", obj: &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{}}}}},
	{name: "volume", obj: &corev1.PersistentVolume{}},
	{name: "driver", obj: &storagev1.CSIDriver{}},
	{name: "resource of a device class", obj: &resourcev1.DeviceClass{Spec: resourcev1.DeviceClassSpec{ExtendedResourceName: new("example.com/gpu")}}, want: "spec.extendedResourceName: "},
	{name: "device class", obj: &resourcev1.DeviceClass{}},
	{name: "impersonation as ever", obj: &rbacv1.Role{Rules: []rbacv1.PolicyRule{{Verbs: []string{"impersonate", "*"}}}}},
}

func pod(change func(*corev1.PodSpec)) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	change(&p.Spec)
	return p
}

func TestWarnings(t *testing.T) {
	for _, tc := range asks {
		t.Run(tc.name, func(t *testing.T) {
			got := unbuilt.Warnings(tc.obj, nil, tc.sub)
			var want []string
			if tc.want != "" {
				want = strings.Split(tc.want, "|")
			}
			if len(got) != len(want) {
				t.Fatalf("%q, want %q", got, want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], want[i]) {
					t.Errorf("%q, want %q", got[i], want[i])
				}
			}
			if sub := tc.sub; sub == "" {
				if again := unbuilt.Warnings(tc.obj, tc.obj, sub); len(again) > 0 {
					t.Errorf("told again on an update that changes nothing: %q", again)
				}
			}
		})
	}
}

// What nobody uses costs nothing: pods are made by the thousand.
func TestPlainPodCostsNothing(t *testing.T) {
	p := pod(func(s *corev1.PodSpec) {
		s.Containers[0].Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1")}
		s.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}}}}}}
	})
	if n := testing.AllocsPerRun(100, func() { unbuilt.ForActor(&p.Spec, unbuilt.Scheduler) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Every kind that a gap can be in is one that admission looks at.
func TestResources(t *testing.T) {
	plurals := map[string]string{
		"*v1.Pod": "pods", "*v1.Deployment": "deployments", "*v1.ReplicaSet": "replicasets", "*v1.ReplicationController": "replicationcontrollers",
		"*v1.Service":               "services",
		"*v1.PersistentVolumeClaim": "persistentvolumeclaims", "*v1.PersistentVolume": "persistentvolumes",
		"*v1.CSIDriver": "csidrivers",
		"*v1.Job":       "jobs", "*v1.CronJob": "cronjobs", "*v1.StatefulSet": "statefulsets", "*v1.DaemonSet": "daemonsets",
		"*v1.PodTemplate":   "podtemplates",
		"*v1.NetworkPolicy": "networkpolicies", "*v1.DeviceClass": "deviceclasses",
	}
	var used []string
	for _, tc := range asks {
		if tc.want == "" {
			continue
		}
		name := plurals[typeName(tc.obj)]
		if !unbuilt.Resources[name] {
			t.Errorf("%s: %s (%q) is not among the resources", tc.name, typeName(tc.obj), name)
		}
		used = append(used, name)
	}
	for name := range unbuilt.Resources {
		if !slices.Contains(used, name) {
			t.Errorf("%s has no gap that is tested", name)
		}
	}
}
