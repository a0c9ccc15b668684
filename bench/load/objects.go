package load

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nobody is the scheduler of pods that are to stay where they are, or nowhere.
const nobody = "sampan-bench-nobody"

// neverNode keeps pods off every node.
var neverNode = map[string]string{"sampan-bench": "never"}

var kilobyte = strings.Repeat("x", 1000)

// configMap holds a kilobyte.
func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"data": kilobyte}}
}

func amounts(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory)}
}

// smallPod is the plainest pod that a scheduler has something to do with.
func smallPod(ns, name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns, Labels: map[string]string{"app": "bench"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example.com/none:1",
			Resources: corev1.ResourceRequirements{Requests: amounts("100m", "100Mi")}}}}}
}

// bigPod is a pod as a Deployment of a shop makes it, some 4 KB as stored, on the node given. Its owner is a ConfigMap that
// exists, so that no garbage collector takes it.
func bigPod(ns, name, node string, owner metav1.OwnerReference) *corev1.Pod {
	var env []corev1.EnvVar
	for i := range 5 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("APPLICATION_SETTING_%02d", i), Value: fmt.Sprintf("value-of-setting-%02d-for-%s", i, name)})
	}
	env = append(env, corev1.EnvVar{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}})
	probe := func(path string) *corev1.Probe {
		p := &corev1.Probe{InitialDelaySeconds: 5, PeriodSeconds: 10}
		p.HTTPGet = &corev1.HTTPGetAction{Path: path}
		p.HTTPGet.Port.IntVal = 8080
		return p
	}
	app := corev1.Container{Name: "app", Image: "registry.example.com/shop/frontend:v1.24.3",
		Args: []string{"--listen=:8080", "--config=/etc/app/config.yaml", "--log-level=info"}, Env: env,
		Ports:        []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 9090}},
		Resources:    corev1.ResourceRequirements{Requests: amounts("100m", "128Mi"), Limits: amounts("500m", "256Mi")},
		VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app"}, {Name: "tmp", MountPath: "/tmp"}}}
	app.LivenessProbe, app.ReadinessProbe = probe("/healthz"), probe("/readyz")
	sidecar := corev1.Container{Name: "sidecar", Image: "registry.example.com/mesh/proxy:v2.1.0",
		Ports:     []corev1.ContainerPort{{Name: "proxy", ContainerPort: 15001}},
		Resources: corev1.ResourceRequirements{Requests: amounts("10m", "32Mi")}}
	config := corev1.Volume{Name: "config"}
	config.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app-config"}}
	tmp := corev1.Volume{Name: "tmp"}
	tmp.EmptyDir = &corev1.EmptyDirVolumeSource{}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns,
			Labels: map[string]string{"app.kubernetes.io/name": "frontend", "app.kubernetes.io/instance": "prod",
				"app.kubernetes.io/part-of": "shop", "pod-template-hash": "5d5f9f7c7b"},
			Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080",
				"checksum/config": strings.Repeat("0123456789abcdef", 4)}},
		Spec: corev1.PodSpec{NodeName: node, SchedulerName: nobody, Containers: []corev1.Container{app, sidecar}, Volumes: []corev1.Volume{config, tmp}}}
	if owner.Name != "" {
		p.OwnerReferences = []metav1.OwnerReference{owner}
	}
	return p
}

// realPod is a pod that a node can run: its image is there beforehand on either side.
func (r *run) realPod(ns, name string) *corev1.Pod {
	now := int64(0)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns, Labels: map[string]string{"app": "real"}},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &now,
			Containers: []corev1.Container{{Name: "c", Image: r.image, ImagePullPolicy: corev1.PullNever}}}}
}

// deployment makes a Deployment of pods like p.
func deployment(ns, name string, replicas int32, p *corev1.Pod) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: p.Spec}}}
}

// hollowNode is a node that is Ready and that nobody stands behind.
func hollowNode(i int) *corev1.Node {
	name := fmt.Sprintf("hollow-%05d", i)
	now := metav1.Now()
	all := corev1.ResourceList{"cpu": resource.MustParse("32"), "memory": resource.MustParse("256Gi"),
		"pods": resource.MustParse("110"), "ephemeral-storage": resource.MustParse("500Gi")}
	conditions := []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	for _, t := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		conditions = append(conditions, corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse})
	}
	for i := range conditions {
		conditions[i].LastHeartbeatTime, conditions[i].LastTransitionTime = now, now
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name,
			corev1.LabelTopologyZone: fmt.Sprintf("z%d", i%3), corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			"sampan-bench/disk": []string{"ssd", "hdd"}[i%2]}},
		Status: corev1.NodeStatus{Capacity: all, Allocatable: all, Conditions: conditions}}
}
