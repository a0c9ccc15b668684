package core

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func cells(row []any) string {
	var out []string
	for _, c := range row {
		if t, ok := c.(metav1.Time); ok {
			c = "@" + t.UTC().Format("15:04")
		}
		out = append(out, fmt.Sprint(c))
	}
	return strings.Join(out, " | ")
}

func TestPodRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := metav1.Now()
		running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		ended := func(code int32, reason string) corev1.ContainerState {
			return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}
		}
		for _, tc := range []struct {
			name string
			pod  corev1.Pod
			want string // ready | status | restarts
		}{
			{"new", corev1.Pod{Status: corev1.PodStatus{Phase: "Pending"}}, "0/1 | Pending | 0"},
			{"gated", corev1.Pod{Status: corev1.PodStatus{Phase: "Pending", Conditions: []corev1.PodCondition{{Type: "PodScheduled", Reason: "SchedulingGated"}}}}, "0/1 | SchedulingGated | 0"},
			{"running", corev1.Pod{Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{{Name: "a", Ready: true, State: running}}}}, "1/1 | Running | 0"},
			{"crash loop", corev1.Pod{Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{{
				Name: "a", RestartCount: 3, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(now.Add(-2 * time.Minute))}},
			}}}}, "0/1 | CrashLoopBackOff | 3 (2m ago)"},
			{"completed", corev1.Pod{Status: corev1.PodStatus{Phase: "Succeeded", ContainerStatuses: []corev1.ContainerStatus{{State: ended(0, "Completed")}}}}, "0/1 | Completed | 0"},
			{"exit code", corev1.Pod{Status: corev1.PodStatus{Phase: "Failed", ContainerStatuses: []corev1.ContainerStatus{{State: ended(2, "")}}}}, "0/1 | ExitCode:2 | 0"},
			{"evicted", corev1.Pod{Status: corev1.PodStatus{Phase: "Failed", Reason: "Evicted"}}, "0/1 | Evicted | 0"},
			{"deleted", corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Status: corev1.PodStatus{Phase: "Running"}}, "0/1 | Terminating | 0"},
			{"node lost", corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Status: corev1.PodStatus{Phase: "Running", Reason: "NodeLost"}}, "0/1 | Unknown | 0"},
			{"init", corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}, {Name: "j"}}}, Status: corev1.PodStatus{Phase: "Pending",
				InitContainerStatuses: []corev1.ContainerStatus{{Name: "i", State: ended(0, "Completed")}, {Name: "j", State: running}},
				ContainerStatuses:     []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}}},
			}}, "0/1 | Init:1/2 | 0"},
			{"init failed", corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}}}, Status: corev1.PodStatus{Phase: "Pending",
				InitContainerStatuses: []corev1.ContainerStatus{{Name: "i", RestartCount: 1, State: ended(1, "Error")}},
			}}, "0/1 | Init:Error | 1"},
			{"sidecar", corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "s", RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways)}}}, Status: corev1.PodStatus{Phase: "Running",
				InitContainerStatuses: []corev1.ContainerStatus{{Name: "s", Ready: true, Started: ptr(true), State: running}},
				ContainerStatuses:     []corev1.ContainerStatus{{Ready: true, State: running}},
			}}, "2/2 | Running | 0"},
		} {
			tc.pod.Spec.Containers = []corev1.Container{{Name: "a"}}
			row := podRow(&tc.pod)
			if got := cells(row[1:4]); got != tc.want {
				t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
			}
		}
		pod := corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p", CreationTimestamp: metav1.Unix(0, 0)},
			Spec:       corev1.PodSpec{NodeName: "n", ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "x/y"}, {ConditionType: "z"}}},
			Status:     corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}, Conditions: []corev1.PodCondition{{Type: "x/y", Status: "True"}}},
		}
		if got, want := cells(podRow(&pod)[4:]), "@00:00 | 10.0.0.1 | n | <none> | 1/2"; got != want {
			t.Errorf("wide: %s, want %s", got, want)
		}
	})
}

func TestRows(t *testing.T) {
	made := metav1.Unix(3600, 0)
	meta := metav1.ObjectMeta{Name: "x", CreationTimestamp: made}
	node := &corev1.Node{ObjectMeta: *meta.DeepCopy(), Spec: corev1.NodeSpec{Unschedulable: true}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
		NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: "v1.37.1", KernelVersion: "6.1", Architecture: "amd64", OSImage: "Debian"},
	}}
	node.Labels = map[string]string{"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "node"}
	event := &corev1.Event{
		ObjectMeta: meta, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "p", FieldPath: "spec"}, Reason: "Started", Message: " hello\n",
		Type: "Normal", EventTime: metav1.NewMicroTime(made.Time), ReportingController: "kubelet", ReportingInstance: "n1",
	}
	service := func(edit func(*corev1.Service)) *corev1.Service {
		s := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIPs: []string{"10.0.0.2"}, Selector: map[string]string{"a": "b"}}}
		edit(s)
		return s
	}
	var addresses []corev1.EndpointAddress
	for i := range 5 {
		addresses = append(addresses, corev1.EndpointAddress{IP: fmt.Sprintf("10.0.0.%d", i)})
	}
	for _, tc := range []struct {
		name string
		row  []any
		want string
	}{
		{"node", nodeRow(node), "x | NotReady,SchedulingDisabled | control-plane,node | @01:00 | v1.37.1 | 10.0.0.1 | <none> | Debian | 6.1 (amd64) | <unknown>"},
		{"new node", nodeRow(&corev1.Node{ObjectMeta: meta}), "x | Unknown | <none> | @01:00 |  | <none> | <none> | <unknown> | <unknown> | <unknown>"},
		{"event", EventRow(event), "@01:00 | Normal | Started | pod/p | spec | kubelet, n1 | hello | @01:00 | 1 | x"},
		{"service", serviceRow(service(func(s *corev1.Service) {
			s.Spec.Ports = []corev1.ServicePort{{Port: 80, Protocol: "TCP"}, {Port: 53, NodePort: 30053, Protocol: "UDP"}}
		})), "x | ClusterIP | 10.0.0.2 | <none> | 80/TCP,53:30053/UDP | @01:00 | a=b"},
		{"balanced", serviceRow(service(func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeLoadBalancer })), "x | LoadBalancer | 10.0.0.2 | <pending> | <none> | @01:00 | a=b"},
		{"external name", serviceRow(service(func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "db"}
		})), "x | ExternalName | <none> | db | <none> | @01:00 | <none>"},
		{"endpoints", Endpoints().Row(&corev1.Endpoints{ObjectMeta: meta, Subsets: []corev1.EndpointSubset{{Addresses: addresses, Ports: []corev1.EndpointPort{{Port: 80}}}}}),
			"x | 10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more... | @01:00"},
		{"no endpoints", Endpoints().Row(&corev1.Endpoints{ObjectMeta: meta}), "x | <none> | @01:00"},
		{"config map", ConfigMaps().Row(&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"a": ""}, BinaryData: map[string][]byte{"b": nil}}), "x | 2 | @01:00"},
	} {
		if got := cells(tc.row); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", tc.name, got, tc.want)
		}
	}
}
