package why

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func meta(name string, finalizers ...string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Finalizers: finalizers}
}

func going(m metav1.ObjectMeta) metav1.ObjectMeta {
	m.DeletionTimestamp = &metav1.Time{Time: now.Add(-time.Minute)}
	return m
}

func list(cpu, memory, pods string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory, corev1.ResourcePods: pods} {
		if q != "" {
			out[name] = resource.MustParse(q)
		}
	}
	return out
}

func node(name string, change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
	n.Status.Allocatable = list("2", "4Gi", "3")
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if change != nil {
		change(n)
	}
	return n
}

func pod(name, on string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(name), Spec: corev1.PodSpec{NodeName: on, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	p.Status.Phase = corev1.PodPending
	if on != "" {
		p.Status.Phase = corev1.PodRunning
	}
	if change != nil {
		change(p)
	}
	return p
}

func asks(cpu, memory string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list(cpu, memory, "") }
}

func status(p *corev1.Pod, s corev1.ContainerStatus) *corev1.Pod {
	s.Name, s.Image = "c", "i"
	p.Status.ContainerStatuses = []corev1.ContainerStatus{s}
	return p
}

var nodes = []*corev1.Node{
	node("cordoned", func(n *corev1.Node) { n.Spec.Unschedulable = true }),
	node("full", nil), node("plain", func(n *corev1.Node) { n.Status.Allocatable = list("500m", "4Gi", "3") }),
	node("tainted", func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
	}),
}

var crowd = []*corev1.Pod{pod("a", "full", asks("500m", "")), pod("b", "full", asks("500m", "1Gi")), pod("d", "full", nil)}

// answers are the golden files' makers, by name.
func answers() map[string]*Answer {
	wait := storagev1.VolumeBindingWaitForFirstConsumer
	claim := func(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: meta("data"), Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: new("fast"),
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}
		if change != nil {
			change(c)
		}
		return c
	}
	service := &corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web", "tier": "front"},
		Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}}}}
	labelled := func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": "web", "tier": "front"}
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: 80}}
	}
	quota := &corev1.ResourceQuota{ObjectMeta: meta("small"), Status: corev1.ResourceQuotaStatus{Hard: corev1.ResourceList{"pods": resource.MustParse("2")}, Used: corev1.ResourceList{"pods": resource.MustParse("2")}}}
	deployment := &appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Replicas: new(int32(3))}, Status: appsv1.DeploymentStatus{
		AvailableReplicas: 2, UpdatedReplicas: 2, Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue,
			Message: `pods "web-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2`}}}}
	return map[string]*Answer{
		"pod-full":    Pod(PodFacts{Pod: pod("x", "", asks("1", "1Gi")), Nodes: nodes, Pods: crowd, Now: now}),
		"pod-label":   Pod(PodFacts{Pod: pod("x", "", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }), Nodes: nodes[2:3], Now: now}),
		"pod-nowhere": Pod(PodFacts{Pod: pod("x", "", nil), Now: now}),
		"pod-gated":   Pod(PodFacts{Pod: pod("x", "", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/quota"}} }), Nodes: nodes, Now: now}),
		"pod-claim": Pod(PodFacts{Pod: pod("x", "", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{
				{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
				{Name: "w", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "absent"}}}}
		}), Nodes: nodes, Claims: []*corev1.PersistentVolumeClaim{claim(nil)}, Now: now}),
		"pod-secret": Pod(PodFacts{Pod: pod("x", "full", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }), Nodes: nodes, Lacks: []string{"secret keys"}, Now: now}),
		"pod-crash": Pod(PodFacts{Pod: status(pod("x", "full", nil), corev1.ContainerStatus{RestartCount: 7, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}}}), Nodes: nodes, Now: now}),
		"pod-memory": Pod(PodFacts{Pod: status(pod("x", "full", nil), corev1.ContainerStatus{RestartCount: 3, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}}}), Nodes: nodes, Now: now}),
		"pod-image": Pod(PodFacts{Pod: status(pod("x", "full", nil), corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}}}), Nodes: nodes, Now: now}),
		"pod-probe": Pod(PodFacts{Pod: status(pod("x", "full", func(p *corev1.Pod) { p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{} }),
			corev1.ContainerStatus{Started: new(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}), Nodes: nodes, Now: now}),
		"pod-ready": Pod(PodFacts{Pod: status(pod("x", "full", func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}), corev1.ContainerStatus{Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}), Nodes: nodes, Now: now}),
		"pod-leaving": Pod(PodFacts{Pod: pod("x", "lost", func(p *corev1.Pod) {
			p.ObjectMeta = going(meta("x", "example.com/f", "batch.kubernetes.io/job-tracking"))
		}), Nodes: nodes, Now: now}),
		"deployment-quota":  Deployment(DeploymentFacts{Deployment: deployment, Quotas: []*corev1.ResourceQuota{quota}, Pods: []PodFacts{{Pod: pod("web-1", "", asks("1", "1Gi")), Nodes: nodes[1:2], Pods: crowd}}}),
		"deployment-paused": Deployment(DeploymentFacts{Deployment: &appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Paused: true}}}),
		"namespace-held": Namespace(&corev1.Namespace{ObjectMeta: going(metav1.ObjectMeta{Name: "shop"}), Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating, Conditions: []corev1.NamespaceCondition{
			{Type: corev1.NamespaceFinalizersRemaining, Status: corev1.ConditionTrue, Message: "Some content in the namespace has finalizers remaining: example.com/f in 1 resource instances"},
			{Type: corev1.NamespaceContentRemaining, Status: corev1.ConditionFalse, Message: "All content successfully removed"},
		}}}, []string{"the finalizer of configmaps x keeps it: example.com/f", "the finalizer of persistentvolumeclaims d keeps it: kubernetes.io/pvc-protection"}),
		"claim-waits": Claim(ClaimFacts{Claim: claim(nil), Class: &storagev1.StorageClass{ObjectMeta: meta("fast"), Provisioner: "p", VolumeBindingMode: &wait}}),
		"claim-class": Claim(ClaimFacts{Claim: claim(nil)}),
		"claim-made":  Claim(ClaimFacts{Claim: claim(nil), Class: &storagev1.StorageClass{ObjectMeta: meta("fast"), Provisioner: "p"}, Events: []*corev1.Event{{Type: "Warning", Reason: "ProvisioningFailed", Message: "no room", Source: corev1.EventSource{Component: "p"}}}}),
		"claim-leaving": Claim(ClaimFacts{Claim: claim(func(c *corev1.PersistentVolumeClaim) {
			c.ObjectMeta = going(meta("data", "kubernetes.io/pvc-protection"))
		}), Users: []string{"web-0"}}),
		"claim-grows": Claim(ClaimFacts{Claim: claim(func(c *corev1.PersistentVolumeClaim) {
			c.Status.Phase, c.Status.Capacity = corev1.ClaimBound, corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("500Mi")}
		})}),
		"service-labels":   Service(ServiceFacts{Service: service, Pods: []*corev1.Pod{pod("w", "full", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web", "tier": "back"} })}}),
		"service-port":     Service(ServiceFacts{Service: service, Pods: []*corev1.Pod{pod("w", "full", labelled)}}),
		"service-selector": Service(ServiceFacts{Service: &corev1.Service{ObjectMeta: meta("web")}}),
		"service-fine":     Service(ServiceFacts{Service: service, Slices: []*discoveryv1.EndpointSlice{{Endpoints: []discoveryv1.Endpoint{{}, {Conditions: discoveryv1.EndpointConditions{Ready: new(false)}}}}}}),
		"node-silent": Node(NodeFacts{Node: node("n", func(n *corev1.Node) {
			n.Spec.Unschedulable = true
			n.Spec.Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}, {Key: "node.kubernetes.io/unreachable", Effect: corev1.TaintEffectNoExecute}}
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting node status.", LastHeartbeatTime: metav1.NewTime(now)},
				{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue, Reason: "KubeletHasDiskPressure", Message: "kubelet has disk pressure", LastHeartbeatTime: metav1.NewTime(now)}}
		}), Pods: 3}),
		"node-fine": Node(NodeFacts{Node: node("n", nil), Pods: 3}),
	}
}

// TestAnswers holds the words of all answers; -update writes them anew.
func TestAnswers(t *testing.T) {
	for name, a := range answers() {
		var b strings.Builder
		if err := a.Write(&b); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, b.String(), want)
		}
		if a.Fine != (len(a.Findings) == 0) {
			t.Errorf("%s: fine %v, with %d findings", name, a.Fine, len(a.Findings))
		}
	}
}

func TestParse(t *testing.T) {
	for arg, want := range map[string]string{
		"pod/x": "pod", "po/x": "pod", "deploy/x": "deployment", "Deployment/x": "deployment", "deployments.apps/x": "deployment", "ns/x": "namespace",
		"pvc/x": "persistentvolumeclaim", "svc/x": "service", "no/x": "node", "x": "", "pod/": "", "pod/x/y": "", "job/x": "", "/x": "",
	} {
		kind, name, err := Parse(arg)
		if kind != want || (err == nil) != (want != "") || err == nil && name != "x" {
			t.Errorf("%s: %q %q %v", arg, kind, name, err)
		}
	}
}
