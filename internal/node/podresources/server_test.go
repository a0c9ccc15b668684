package podresources

import (
	"os"
	"path/filepath"
	"testing"

	"sampan.dev/internal/node/devices"
	"sampan.dev/internal/node/memorymap"
	"sampan.dev/internal/node/socket"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"
	"k8s.io/utils/cpuset"
)

func TestServer(t *testing.T) {
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace, pod.UID = "p", "default", "u"
	pod.Spec.InitContainers = []corev1.Container{{Name: "init"}, {Name: "sidecar", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}
	pod.Spec.Containers = []corev1.Container{{Name: "c"}}
	only := func(name string) bool { return name == "c" }
	src := Source{
		Pods: func() []*corev1.Pod { return []*corev1.Pod{pod} },
		CPUs: func(_ types.UID, name string) cpuset.CPUSet {
			if only(name) {
				return cpuset.New(2, 3)
			}
			return cpuset.New()
		},
		Memory: func(_ types.UID, name string) []memorymap.Block {
			if only(name) {
				return []memorymap.Block{{NUMAAffinity: []int{0, 1}, Type: corev1.ResourceMemory, Size: 5}}
			}
			return nil
		},
		Devices: func(_ types.UID, name string) []devices.Device {
			if only(name) {
				return []devices.Device{{Resource: "example.com/gpu", ID: "a", Nodes: []int64{1}}, {Resource: "example.com/gpu", ID: "b"}}
			}
			return nil
		},
		AllCPUs:    func() cpuset.CPUSet { return cpuset.New(1, 2, 3) },
		AllMemory:  func() []memorymap.Block { return nil },
		AllDevices: func() []devices.Device { return []devices.Device{{Resource: "example.com/gpu", ID: "a"}} },
	}
	dir, err := os.MkdirTemp("", "pr") // t.TempDir's names are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "pod-resources", "kubelet.sock")
	go socket.Serve(t.Context(), path, func(s *grpc.Server) { podresourcesv1.RegisterPodResourcesListerServer(s, &Server{Source: src}) }) //nolint:errcheck // its end is the test's
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := podresourcesv1.NewPodResourcesListerClient(conn)

	node := func(ids ...int64) *podresourcesv1.TopologyInfo { return nodes(ids...) }
	want := &podresourcesv1.PodResources{Name: "p", Namespace: "default", Containers: []*podresourcesv1.ContainerResources{
		{Name: "sidecar"},
		{Name: "c", CpuIds: []int64{2, 3}, Memory: []*podresourcesv1.ContainerMemory{{MemoryType: "memory", Size: 5, Topology: node(0, 1)}},
			Devices: []*podresourcesv1.ContainerDevices{{ResourceName: "example.com/gpu", DeviceIds: []string{"a"}, Topology: node(1)}, {ResourceName: "example.com/gpu", DeviceIds: []string{"b"}}}},
	}}
	list, err := c.List(t.Context(), &podresourcesv1.ListPodResourcesRequest{}, grpc.WaitForReady(true))
	if err != nil || len(list.PodResources) != 1 || !proto.Equal(list.PodResources[0], want) {
		t.Errorf("%v %v", list, err)
	}
	one, err := c.Get(t.Context(), &podresourcesv1.GetPodResourcesRequest{PodName: "p", PodNamespace: "default"})
	if err != nil || !proto.Equal(one.PodResources, want) {
		t.Errorf("%v %v", one, err)
	}
	if _, err := c.Get(t.Context(), &podresourcesv1.GetPodResourcesRequest{PodName: "q", PodNamespace: "default"}); err == nil {
		t.Error("a pod that is not there")
	}
	all, err := c.GetAllocatableResources(t.Context(), &podresourcesv1.AllocatableResourcesRequest{})
	if err != nil || len(all.CpuIds) != 3 || len(all.Devices) != 1 {
		t.Errorf("%v %v", all, err)
	}
}
