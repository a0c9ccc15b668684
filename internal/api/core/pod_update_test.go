package core

import (
	"strings"
	"testing"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func ptr[T any](v T) *T { return &v }

// created returns a pod as the hub stores it, after change.
func created(change func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("1")},
		}}}},
	}
	if change != nil {
		change(pod)
	}
	k := Pods()
	k.Default(pod)
	k.PrepareCreate(pod)
	return pod
}

// firstLines joins the errors, without the differences that some append.
func firstLines(errs field.ErrorList) string {
	var out []string
	for _, e := range errs {
		line, _, _ := strings.Cut(e.Error(), "\n")
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// change runs an update of the pod, or of one of its subresources, and checks that old stays as it is.
func change(t *testing.T, sub string, old *corev1.Pod, edit func(*corev1.Pod)) (*corev1.Pod, string) {
	t.Helper()
	k := Pods()
	prepare, validate := k.PrepareUpdate, k.ValidateUpdate
	if sub != "" {
		prepare, validate = k.Sub(sub).PrepareUpdate, k.Sub(sub).ValidateUpdate
	}
	frozen, obj := old.DeepCopy(), old.DeepCopy()
	edit(obj)
	prepare(obj, old)
	errs := firstLines(validate(api.Object(obj), api.Object(old)))
	if !equality.Semantic.DeepEqual(old, frozen) {
		t.Error("old object was changed")
	}
	return obj, errs
}

const mayNotChange = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

func TestPodUpdate(t *testing.T) {
	plain := created(nil)
	tolerant := created(func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: "a", Operator: corev1.TolerationOpExists}}
		p.Spec.ActiveDeadlineSeconds = ptr[int64](60)
	})
	gated := created(func(p *corev1.Pod) {
		p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}}
		p.Spec.NodeSelector = map[string]string{"a": "b"}
	})
	for _, tc := range []struct {
		name string
		old  *corev1.Pod
		edit func(*corev1.Pod)
		want string
		gen  int64
	}{
		{"nothing", plain, func(*corev1.Pod) {}, "", 1},
		{"labels", plain, func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }, "", 1},
		{"status is kept", plain, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, "", 1},
		{"image", plain, func(p *corev1.Pod) { p.Spec.Containers[0].Image = "nginx" }, "", 2},
		{"no image", plain, func(p *corev1.Pod) { p.Spec.Containers[0].Image = "" },
			"spec.containers[0].image: Required value\nspec.containers[0].image: Required value", 2},
		{"command", plain, func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"x"} }, mayNotChange, 2},
		{"node", plain, func(p *corev1.Pod) { p.Spec.NodeName = "n" }, mayNotChange, 2},
		{"resources", plain, func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("2") }, mayNotChange, 2},
		{"another container", plain, func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, *p.Spec.Containers[0].DeepCopy())
			p.Spec.Containers[1].Name = "b"
		}, "spec.containers: Forbidden: pod updates may not add or remove containers", 2},
		{"toleration added", tolerant, func(p *corev1.Pod) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "b", Operator: corev1.TolerationOpExists})
		}, "", 2},
		{"toleration removed", tolerant, func(p *corev1.Pod) { p.Spec.Tolerations = nil },
			"spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds", 2},
		{"deadline shorter", tolerant, func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr[int64](30) }, "", 2},
		{"deadline longer", tolerant, func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr[int64](90) },
			"spec.activeDeadlineSeconds: Invalid value: 90: must be less than or equal to previous value", 2},
		{"gate removed", gated, func(p *corev1.Pod) { p.Spec.SchedulingGates = nil }, "", 2},
		{"gate added", gated, func(p *corev1.Pod) {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: "h"})
		}, "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'", 2},
		{"gated pod narrowed", gated, func(p *corev1.Pod) { p.Spec.NodeSelector["c"] = "d" }, "", 2},
		{"gated pod widened", gated, func(p *corev1.Pod) { p.Spec.NodeSelector = nil },
			"spec.nodeSelector: Invalid value: null: only additions to spec.nodeSelector are allowed (no mutations or deletions)", 2},
		{"mirror annotation", plain, func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} },
			"metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set\nmetadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			obj, errs := change(t, "", tc.old, tc.edit)
			if errs != tc.want {
				t.Errorf("got\n%s\nwant\n%s", errs, tc.want)
			}
			if obj.Generation != tc.gen {
				t.Errorf("generation %d, want %d", obj.Generation, tc.gen)
			}
			if obj.Status.Phase != corev1.PodPending {
				t.Errorf("phase %s", obj.Status.Phase)
			}
		})
	}
}

func TestPodStatus(t *testing.T) {
	old := created(func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever })
	old.Status.ObservedGeneration = 1
	old.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}}}
	for _, tc := range []struct {
		name string
		edit func(*corev1.Pod)
		want string
	}{
		{"phase", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, ""},
		{"spec is kept", func(p *corev1.Pod) { p.Spec.NodeName = "n"; p.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} }, ""},
		{"class kept", func(p *corev1.Pod) { p.Status.QOSClass = "" }, ""},
		{"class changed", func(p *corev1.Pod) { p.Status.QOSClass = corev1.PodQOSGuaranteed }, `status.qosClass: Invalid value: "Guaranteed": field is immutable`},
		{"ended container runs", func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		}, "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"},
		{"addresses", func(p *corev1.Pod) {
			p.Status.PodIP = "10.0.0.1"
			p.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "10.0.0.2"}}
		}, "status.podIPs: Invalid value: [{\"IP\":\"10.0.0.1\"},{\"IP\":\"10.0.0.2\"}]: may specify no more than one IP for each IP family"},
		{"host address", func(p *corev1.Pod) { p.Status.HostIPs = []corev1.HostIP{{IP: "10.0.0.1"}} },
			`status.hostIPs[0].ip: Invalid value: "10.0.0.1": must be equal to ` + "`hostIP`"},
		{"observed generation kept", func(p *corev1.Pod) { p.Status.ObservedGeneration = 0 }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			obj, errs := change(t, "status", old, tc.edit)
			if errs != tc.want {
				t.Errorf("got\n%s\nwant\n%s", errs, tc.want)
			}
			if obj.Spec.NodeName != "" || obj.OwnerReferences != nil || obj.Status.ObservedGeneration != 1 || obj.Status.QOSClass == "" || obj.Generation != 1 {
				t.Errorf("status update changed what it may not: %+v", obj)
			}
		})
	}
}

func TestPodResize(t *testing.T) {
	old := created(nil)
	bigger := func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("2") }
	obj, errs := change(t, "resize", old, func(p *corev1.Pod) {
		bigger(p)
		p.Spec.NodeName = "ignored"
		p.Spec.Containers[0].Image = "ignored"
	})
	if errs != "" || obj.Generation != 2 || obj.Spec.NodeName != "" || obj.Spec.Containers[0].Image != "busybox" {
		t.Errorf("resize: %s; %+v", errs, obj.Spec)
	}
	if q := obj.Spec.Containers[0].Resources.Requests["cpu"]; q.String() != "2" {
		t.Errorf("cpu is %s", q.String())
	}
	for _, tc := range []struct {
		name string
		edit func(*corev1.Pod)
		want string
	}{
		{"class", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests["memory"] = resource.MustParse("1Gi")
			p.Spec.Containers[0].Resources.Limits = p.Spec.Containers[0].Resources.Requests
		}, `spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing`},
		{"removed", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = nil },
			"spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing\nspec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"},
		{"renamed", func(p *corev1.Pod) { p.Spec.Containers[0].Name = "x" },
			"spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"},
		{"other resource", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests["ephemeral-storage"] = resource.MustParse("1Gi")
		}, "spec: Forbidden: only cpu and memory resources are mutable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, errs := change(t, "resize", old, tc.edit); errs != tc.want {
				t.Errorf("got\n%s\nwant\n%s", errs, tc.want)
			}
		})
	}
}

func TestEphemeralContainers(t *testing.T) {
	debug := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}
	add := func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, debug)
		p.Spec.NodeName = "ignored"
		Pods().Default(p)
	}
	with, errs := change(t, "ephemeralcontainers", created(nil), add)
	if errs != "" || with.Generation != 2 || with.Spec.NodeName != "" || len(with.Spec.EphemeralContainers) != 1 {
		t.Errorf("add: %s; %+v", errs, with.Spec)
	}
	if _, errs := change(t, "ephemeralcontainers", with, func(p *corev1.Pod) { p.Spec.EphemeralContainers = nil }); errs != `spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed` {
		t.Errorf("remove: %s", errs)
	}
	if _, errs := change(t, "ephemeralcontainers", with, func(p *corev1.Pod) { p.Spec.EphemeralContainers[0].Image = "x" }); errs != `spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be changed` {
		t.Errorf("change: %s", errs)
	}
	pod := created(add)
	if errs := firstLines(validatePod(pod)); errs != "spec.ephemeralContainers: Forbidden: cannot be set on create" {
		t.Errorf("create: %s", errs)
	}
}

func TestGrace(t *testing.T) {
	for _, tc := range []struct {
		name  string
		edit  func(*corev1.Pod)
		asked *int64
		want  int64
	}{
		{"running", func(p *corev1.Pod) { p.Spec.NodeName = "n" }, nil, 30},
		{"asked", func(p *corev1.Pod) { p.Spec.NodeName = "n" }, ptr[int64](5), 5},
		{"asked for none", func(p *corev1.Pod) { p.Spec.NodeName = "n" }, ptr[int64](0), 0},
		{"negative", func(p *corev1.Pod) { p.Spec.NodeName = "n" }, ptr[int64](-1), 1},
		{"not scheduled", func(*corev1.Pod) {}, ptr[int64](5), 0},
		{"ended", func(p *corev1.Pod) { p.Spec.NodeName = "n"; p.Status.Phase = corev1.PodSucceeded }, nil, 0},
	} {
		pod := created(nil)
		tc.edit(pod)
		if got := Pods().Grace(pod, &metav1.DeleteOptions{GracePeriodSeconds: tc.asked}); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestImageTag(t *testing.T) {
	for image, want := range map[string]string{
		"busybox": "latest", "busybox:1": "1", "localhost:5000/a": "latest", "localhost:5000/a:2": "2",
		"a@sha256:0123456789012345678901234567890123456789012345678901234567890123":   "",
		"a:3@sha256:0123456789012345678901234567890123456789012345678901234567890123": "3",
		"Busy": "", " x": "", "": "", "a/B": "", "Registry/a": "latest",
		"0123456789012345678901234567890123456789012345678901234567890123": "",
	} {
		if got := imageTag(image); got != want {
			t.Errorf("%q: %q, want %q", image, got, want)
		}
	}
}

// What a pod says of its group is dropped by default, in templates too, and kept where it was before.
func TestDropGroups(t *testing.T) {
	name := "g"
	grouped := func() *corev1.Pod {
		p := &corev1.Pod{}
		p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &name}
		return p
	}
	with := Pods()
	without := DropGroups([]*api.Kind{with})[0]
	p := grouped()
	if with.PrepareCreate(p); p.Spec.SchedulingGroup == nil {
		t.Error("dropped with the feature on")
	}
	if without.PrepareCreate(p); p.Spec.SchedulingGroup != nil {
		t.Error("kept with the feature off")
	}
	p = grouped()
	if without.PrepareUpdate(p, grouped()); p.Spec.SchedulingGroup == nil {
		t.Error("dropped where it was before")
	}
	if without.PrepareUpdate(p, &corev1.Pod{}); p.Spec.SchedulingGroup != nil {
		t.Error("kept where it was not before")
	}
	rc := &corev1.ReplicationController{Spec: corev1.ReplicationControllerSpec{Template: &corev1.PodTemplateSpec{Spec: grouped().Spec}}}
	if DropGroups([]*api.Kind{ReplicationControllers()})[0].PrepareCreate(rc); rc.Spec.Template.Spec.SchedulingGroup != nil {
		t.Error("kept in a template")
	}
}
