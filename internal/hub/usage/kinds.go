package usage

import (
	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	corev1 "k8s.io/api/core/v1"
)

// Kinds are those of metrics.k8s.io. They are virtual: their objects are made when they are read.
func Kinds() []*api.Kind {
	nodes, pods := kind("NodeMetrics", plural(nodesOf)), kind("PodMetrics", plural(podsOf))
	nodes.New, nodes.NewList = func() api.Object { return &metricsv1beta1.NodeMetrics{} }, func() runtime.Object { return &metricsv1beta1.NodeMetricsList{} }
	nodes.Row = api.Cells(func(m *metricsv1beta1.NodeMetrics) []any { return row(m.Name, m.Usage, m.Window) })
	pods.Namespaced = true
	pods.New, pods.NewList = func() api.Object { return &metricsv1beta1.PodMetrics{} }, func() runtime.Object { return &metricsv1beta1.PodMetricsList{} }
	pods.Row = api.Cells(func(m *metricsv1beta1.PodMetrics) []any { return row(m.Name, total(m), m.Window) })
	return []*api.Kind{nodes, pods}
}

func kind(name, resource string) *api.Kind {
	return &api.Kind{
		Group: metricsv1beta1.GroupName, Version: "v1beta1", Kind: name, Resource: resource, Virtual: true, Unowned: true, Verbs: []string{"get", "list"},
		Columns: []metav1.TableColumnDefinition{
			{Name: "Name", Type: "string", Format: "name", Description: "Name of the resource"},
			{Name: "cpu", Type: "string", Format: "quantity"}, {Name: "memory", Type: "string", Format: "quantity"},
			{Name: "Window", Type: "string", Format: "duration"},
		},
	}
}

func row(name string, use corev1.ResourceList, window metav1.Duration) []any {
	return []any{name, use.Cpu().String(), use.Memory().String(), window.Duration.String()}
}

// total is what all containers of a pod use.
func total(m *metricsv1beta1.PodMetrics) corev1.ResourceList {
	cpu, memory := resource.NewScaledQuantity(0, resource.Nano), resource.NewQuantity(0, resource.BinarySI)
	for _, c := range m.Containers {
		cpu.Add(*c.Usage.Cpu())
		memory.Add(*c.Usage.Memory())
	}
	return corev1.ResourceList{corev1.ResourceCPU: *cpu, corev1.ResourceMemory: *memory}
}
