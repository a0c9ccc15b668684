package podstate

import (
	"reflect"
	"strings"
	"testing"

	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// observed says of every field of a status where its value is seen. A field that is not here fails the test, as does one that is
// gone from the API: whoever adds one decides where it is looked at, and does not copy what was asked for.
var observed = map[reflect.Type]map[string]string{
	reflect.TypeFor[corev1.PodStatus](): {
		"ObservedGeneration":                   "the pod that this status was computed from",
		"Phase":                                "the containers' states; a terminal one, once told, stays",
		"Conditions":                           "the sandbox, the containers' states, probes and others' gates",
		"Message":                              "the rejection or eviction that ended the pod",
		"Reason":                               "the rejection or eviction that ended the pod",
		"NominatedNodeName":                    "not the node's: the hub's is kept",
		"HostIP":                               "the machine's addresses",
		"HostIPs":                              "the machine's addresses",
		"PodIP":                                "the sandbox, or the machine's for the host's network",
		"PodIPs":                               "the sandbox, or the machine's for the host's network",
		"StartTime":                            "the clock when the node took the pod",
		"InitContainerStatuses":                "the runtime, see ContainerStatus",
		"ContainerStatuses":                    "the runtime, see ContainerStatus",
		"EphemeralContainerStatuses":           "the runtime, see ContainerStatus",
		"QOSClass":                             "the spec, which is what defines it and cannot change it",
		"Resize":                               "never set: deprecated, conditions say it",
		"ResourceClaimStatuses":                "not the node's: the hub's is kept",
		"ExtendedResourceClaimStatus":          "not the node's: the hub's is kept",
		"NodeAllocatableResourceClaimStatuses": "never set: no claim is prepared",
		"VolumeHealth":                         "never set: no volume's health is looked at",
		"AllocatedResources":                   "what the node has given the pod, by its checkpoint",
		"Resources":                            "the pod's own control group while it runs; else what it was given",
	},
	reflect.TypeFor[corev1.ContainerStatus](): {
		"Name":                     "the runtime",
		"State":                    "the runtime",
		"LastTerminationState":     "the runtime, then the status before",
		"Ready":                    "the runtime and the readiness probe",
		"RestartCount":             "the runtime's labels, never less than before",
		"Image":                    "the runtime; of one that was not made, the spec",
		"ImageID":                  "the runtime",
		"ContainerID":              "the runtime",
		"Started":                  "the runtime, the startup probe and the start hook",
		"AllocatedResources":       "what the node has given the container, by its checkpoint",
		"Resources":                "the runtime, where it says what it enforces; else what the container was held to last",
		"VolumeMounts":             "the spec, as the runtime knows no volumes; read-only recursion, what the runtime can do",
		"User":                     "the runtime",
		"AllocatedResourcesStatus": "the device manager, which says what a container has and how well it is",
		"StopSignal":               "never set: its gate is off by default",
	},
	reflect.TypeFor[corev1.NodeStatus](): {
		"Capacity":         "the machine, once: it does not grow under a kubelet",
		"Allocatable":      "the capacity less what is reserved",
		"Phase":            "never set: deprecated",
		"Conditions":       "the runtime, its network, memory, disk and processes, at each look",
		"Addresses":        "the machine's, or those that were configured",
		"DaemonEndpoints":  "the port that is listened on",
		"NodeInfo":         "the machine, once; the runtime's version at each look",
		"Images":           "the runtime, at each look",
		"VolumesInUse":     "never set: nothing is attached",
		"VolumesAttached":  "not the kubelet's: the hub's is kept",
		"Config":           "never set: deprecated",
		"RuntimeHandlers":  "the runtime, at each look",
		"Features":         "the runtime, at each look",
		"DeclaredFeatures": "never set",
	},
}

func TestEveryStatusFieldIsObserved(t *testing.T) {
	for kind, fields := range observed {
		left := map[string]bool{}
		for name, where := range fields {
			left[name] = true
			if where == "" {
				t.Errorf("%s.%s: where?", kind.Name(), name)
			}
		}
		for i := range kind.NumField() {
			name := kind.Field(i).Name
			if !left[name] {
				t.Errorf("%s.%s is not in the table: where is it observed?", kind.Name(), name)
			}
			delete(left, name)
		}
		for name := range left {
			t.Errorf("%s.%s is in the table and not in the API", kind.Name(), name)
		}
	}
}

// TestWhatIsNeverSet holds the table to its word for a pod that has everything.
func TestWhatIsNeverSet(t *testing.T) {
	s := Status(resized(t, "1", "1Gi").facts)
	for _, v := range []any{s, s.ContainerStatuses[0]} {
		rv := reflect.ValueOf(v)
		for name, where := range observed[rv.Type()] {
			if strings.HasPrefix(where, "never set") && !rv.FieldByName(name).IsZero() {
				t.Errorf("%s.%s is set: %v", rv.Type().Name(), name, rv.FieldByName(name))
			}
		}
	}
}

// running is a pod whose container was made with one CPU and 1Gi, and the status that was told then.
type running struct {
	facts Facts
	asked *corev1.Pod // what its spec says now
}

// resized is such a pod after its spec has come to ask for other amounts.
func resized(t *testing.T, cpu, memory string) running {
	t.Helper()
	pod := podtest.Parse(t, strings.Fields("Always main:a"))
	ask := func(cpu, memory string) corev1.ResourceRequirements {
		list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
		return corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
	}
	pod.Spec.Containers[0].Resources = ask("1", "1Gi")
	pod.Spec.Resources = new(ask("1", "1Gi"))
	obs := parseObs(t, pod, strings.Fields("ready a=running")).Obs
	obs.Containers[0].Resources = &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 100000, CpuShares: 1024, MemoryLimitInBytes: 1 << 30}
	f := Facts{Pod: pod, Obs: obs, Old: &corev1.PodStatus{}, RuntimeName: "x"}
	told := Status(f)
	f.Old = &told
	asked := pod.DeepCopy()
	asked.Spec.Containers[0].Resources = ask(cpu, memory)
	asked.Spec.Resources = new(ask(cpu, memory))
	f.Pod = allocation.Of(pod).Apply(asked)
	return running{f, asked}
}

// TestResourcesAreWhatIsThere: a spec that asks for more or less changes nothing of what a container has, until the node has given it
// that, and the runtime holds it to it.
func TestResourcesAreWhatIsThere(t *testing.T) {
	for _, c := range []struct{ cpu, memory string }{{"100", "1Ti"}, {"100m", "10Mi"}, {"1", "1Gi"}} {
		r := resized(t, c.cpu, c.memory)
		check := func(what string, s corev1.PodStatus, cpu, memory string) {
			t.Helper()
			st := s.ContainerStatuses[0]
			for of, list := range map[string]corev1.ResourceList{
				"allocated": st.AllocatedResources, "requests": st.Resources.Requests, "limits": st.Resources.Limits,
				"the pod's allocated": s.AllocatedResources, "the pod's requests": s.Resources.Requests,
			} {
				if list.Cpu().Cmp(resource.MustParse(cpu)) != 0 || list.Memory().Cmp(resource.MustParse(memory)) != 0 {
					t.Errorf("%s/%s, %s: %s are %v and %v, want %s and %s", c.cpu, c.memory, what, of, list.Cpu(), list.Memory(), cpu, memory)
				}
			}
		}
		check("asked for", Status(r.facts), "1", "1Gi")
		again := r.facts // by a kubelet that was started anew, which knows the hub's status only
		again.Old = new(Status(r.facts))
		check("after a restart of the kubelet", Status(again), "1", "1Gi")

		// Given, and not done yet: what is allocated differs from what is there.
		given := r.facts
		given.Pod = r.asked
		if st := Status(given).ContainerStatuses[0]; st.AllocatedResources.Cpu().Cmp(resource.MustParse(c.cpu)) != 0 ||
			st.Resources.Limits.Cpu().Cmp(resource.MustParse("1")) != 0 {
			t.Errorf("%s/%s: given and not done: allocated %v, limits %v", c.cpu, c.memory, st.AllocatedResources, st.Resources.Limits)
		}

		// Another container has what it was made with, whatever the one before had.
		next := r.facts
		next.Pod = r.asked
		obs := *r.facts.Obs
		other := obs.Containers[0]
		other.ID, other.RestartCount = "another", 1
		other.Resources = nil
		obs.Containers = []runtime.Container{other}
		next.Obs = &obs
		s := Status(next)
		if got := s.ContainerStatuses[0].AllocatedResources.Cpu(); got.Cmp(resource.MustParse(c.cpu)) != 0 {
			t.Errorf("%s/%s: another container has %v CPUs", c.cpu, c.memory, got)
		}
	}
}
