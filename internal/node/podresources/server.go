package podresources

import (
	"context"
	"fmt"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/devices"
	"sampan.dev/internal/node/memorymap"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"
	"k8s.io/utils/cpuset"
)

// Source is what is told. Every function is set but Claims, perhaps.
type Source struct {
	Pods func() []*corev1.Pod // that are on the node and have not ended
	// What a container has to itself.
	CPUs    func(pod types.UID, container string) cpuset.CPUSet
	Memory  func(pod types.UID, container string) []memorymap.Block
	Devices func(pod types.UID, container string) []devices.Device
	Claims  func(pod *corev1.Pod, c *corev1.Container) []*podresourcesv1.DynamicResource // nil: there are none
	// What there is to be had.
	AllCPUs    func() cpuset.CPUSet
	AllMemory  func() []memorymap.Block
	AllDevices func() []devices.Device
}

// Server implements the API.
type Server struct {
	podresourcesv1.UnimplementedPodResourcesListerServer
	Source
}

// List tells of all pods.
func (s *Server) List(context.Context, *podresourcesv1.ListPodResourcesRequest) (*podresourcesv1.ListPodResourcesResponse, error) {
	out := &podresourcesv1.ListPodResourcesResponse{}
	for _, pod := range s.Pods() {
		out.PodResources = append(out.PodResources, s.pod(pod))
	}
	return out, nil
}

// Get tells of one pod.
func (s *Server) Get(_ context.Context, req *podresourcesv1.GetPodResourcesRequest) (*podresourcesv1.GetPodResourcesResponse, error) {
	for _, pod := range s.Pods() {
		if pod.Name == req.PodName && pod.Namespace == req.PodNamespace {
			return &podresourcesv1.GetPodResourcesResponse{PodResources: s.pod(pod)}, nil
		}
	}
	return nil, fmt.Errorf("pod %s in namespace %s not found", req.PodName, req.PodNamespace)
}

// GetAllocatableResources tells what there is for pods in all, given out or not.
func (s *Server) GetAllocatableResources(context.Context, *podresourcesv1.AllocatableResourcesRequest) (*podresourcesv1.AllocatableResourcesResponse, error) {
	return &podresourcesv1.AllocatableResourcesResponse{
		Devices: deviceList(s.AllDevices()), CpuIds: cpuList(s.AllCPUs()), Memory: memoryList(s.AllMemory()),
	}, nil
}

// pod tells of a pod's sidecars and containers; init containers have ended when it matters.
func (s *Server) pod(pod *corev1.Pod) *podresourcesv1.PodResources {
	out := &podresourcesv1.PodResources{Name: pod.Name, Namespace: pod.Namespace}
	add := func(c *corev1.Container) {
		has := &podresourcesv1.ContainerResources{
			Name: c.Name, Devices: deviceList(s.Devices(pod.UID, c.Name)), CpuIds: cpuList(s.CPUs(pod.UID, c.Name)), Memory: memoryList(s.Memory(pod.UID, c.Name)),
		}
		if s.Claims != nil {
			has.DynamicResources = s.Claims(pod, c)
		}
		out.Containers = append(out.Containers, has)
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; pods.IsSidecar(c) {
			add(c)
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	return out
}

func cpuList(cpus cpuset.CPUSet) []int64 {
	var out []int64
	for _, cpu := range cpus.List() {
		out = append(out, int64(cpu))
	}
	return out
}

// deviceList has one row for each device and NUMA node that it is at.
func deviceList(list []devices.Device) []*podresourcesv1.ContainerDevices {
	var out []*podresourcesv1.ContainerDevices
	for _, d := range list {
		if len(d.Nodes) == 0 {
			out = append(out, &podresourcesv1.ContainerDevices{ResourceName: d.Resource, DeviceIds: []string{d.ID}})
		}
		for _, node := range d.Nodes {
			out = append(out, &podresourcesv1.ContainerDevices{ResourceName: d.Resource, DeviceIds: []string{d.ID}, Topology: nodes(node)})
		}
	}
	return out
}

func memoryList(blocks []memorymap.Block) []*podresourcesv1.ContainerMemory {
	var out []*podresourcesv1.ContainerMemory
	for _, b := range blocks {
		var ids []int64
		for _, id := range b.NUMAAffinity {
			ids = append(ids, int64(id))
		}
		out = append(out, &podresourcesv1.ContainerMemory{MemoryType: string(b.Type), Size: b.Size, Topology: nodes(ids...)})
	}
	return out
}

func nodes(ids ...int64) *podresourcesv1.TopologyInfo {
	out := &podresourcesv1.TopologyInfo{}
	for _, id := range ids {
		out.Nodes = append(out.Nodes, &podresourcesv1.NUMANode{ID: id})
	}
	return out
}
