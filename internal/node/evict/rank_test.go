package evict

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod reads "name priority=1 asks=2 uses=3 procs=4 root=5 logs=6 vol=7 inodes=8 static unknown": amounts in Mi; asks is of memory and storage.
func pod(text string) Pod {
	words := strings.Fields(text)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: words[0], UID: types.UID(words[0])}}
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{}}}}
	u := Usage{Known: true, Containers: []ContainerUsage{{Name: "c"}}, Volumes: map[string]FS{}}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		q := resource.MustParse("0")
		if value != "" {
			q = resource.MustParse(value)
		}
		n, mi := q.Value(), q.Value()<<20
		switch key {
		case "priority":
			p.Spec.Priority = new(int32(n))
		case "asks":
			for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
				p.Spec.Containers[0].Resources.Requests[name] = *resource.NewQuantity(mi, resource.BinarySI)
			}
		case "uses":
			u.Memory, u.Containers[0].Memory = mi, mi
		case "procs":
			u.Processes = n
		case "root":
			u.Containers[0].Rootfs.Bytes = mi
		case "logs":
			u.Containers[0].Logs.Bytes = mi
		case "inodes":
			u.Containers[0].Rootfs.Inodes = n
		case "vol":
			u.Volumes["v"] = FS{Bytes: mi}
		case "static":
			p.Annotations = map[string]string{"kubernetes.io/config.source": "file"}
		case "unknown":
			u = Usage{}
		}
	}
	return Pod{p, u}
}

// TestRank has upstream's rules (pkg/kubelet/eviction/helpers_test.go) as orders of pods.
func TestRank(t *testing.T) {
	for _, c := range []struct {
		signal string
		disks  Disks
		pods   []string // as they come out; they are put in in several other orders
	}{
		{MemoryAvailable, Disks{}, []string{"besteffort uses=1", "burst-over asks=100 uses=101 priority=1", "guaranteed asks=100 uses=90"}},
		{MemoryAvailable, Disks{}, []string{"low priority=1 uses=10", "high priority=2 uses=500"}},
		{MemoryAvailable, Disks{}, []string{"within-low asks=100 uses=50 priority=1", "within-high asks=100 uses=99 priority=2"}},
		{MemoryAvailable, Disks{}, []string{"over-high asks=100 uses=101 priority=9", "within asks=100 uses=99 priority=1"}},
		{MemoryAvailable, Disks{}, []string{"much asks=100 uses=300", "more asks=200 uses=350", "little asks=100 uses=101"}},
		{MemoryAvailable, Disks{}, []string{"unmeasured unknown priority=9", "measured uses=900"}},
		{AllocatableMemoryAvailable, Disks{}, []string{"a uses=2", "b uses=1"}},
		{PIDAvailable, Disks{}, []string{"low priority=1 procs=1", "many priority=2 procs=100", "few priority=2 procs=10"}},
		{NodeFSAvailable, Disks{}, []string{"root root=30", "logs logs=20", "volume vol=10", "none"}},
		{NodeFSAvailable, Disks{Images: true}, []string{"logs logs=20", "volume vol=10", "root root=30"}},
		{ImageFSAvailable, Disks{Images: true}, []string{"root root=30", "logs logs=20"}},
		{NodeFSAvailable, Disks{}, []string{"over asks=10 root=11 priority=5", "within asks=100 root=99 priority=1"}},
		{NodeFSInodesFree, Disks{}, []string{"many inodes=50", "few inodes=5"}},
	} {
		for shift := range c.pods {
			var in []Pod
			for i := range c.pods {
				in = append(in, pod(c.pods[(i+shift)%len(c.pods)]))
			}
			Rank(in, c.signal, c.disks)
			for i := range in {
				if want, _, _ := strings.Cut(c.pods[i], " "); in[i].Name != want {
					t.Errorf("%s, from %d on: place %d has %s, want %s", c.signal, shift, i, in[i].Name, want)
				}
			}
		}
	}
}

func TestExceeds(t *testing.T) {
	limited := func(text, emptyDir, container string) Pod {
		p := pod(text)
		if emptyDir != "" {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse(emptyDir))}}}}
		}
		if container != "" {
			p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse(container)}
		}
		return p
	}
	for _, c := range []struct {
		p    Pod
		d    Disks
		want string
	}{
		{limited("p vol=5", "4Mi", ""), Disks{}, `Usage of EmptyDir volume "v" exceeds the limit "4Mi". `},
		{limited("p vol=4", "4Mi", ""), Disks{}, ""},
		{limited("p root=3 logs=2 vol=1", "", "5Mi"), Disks{}, "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. "},
		{limited("p root=3 logs=2", "", "5Mi"), Disks{}, ""},
		{limited("p root=30 logs=2", "", "5Mi"), Disks{Images: true}, ""},
		{limited("p unknown", "1Mi", "1Mi"), Disks{}, ""},
	} {
		if _, got := Exceeds(&c.p, c.d); got != c.want {
			t.Errorf("%+v: %q, want %q", c.p.Usage, got, c.want)
		}
		if !Limited(c.p.Pod) {
			t.Error("it is not known to be limited")
		}
	}
	two := limited("p root=6", "", "5Mi")
	two.Spec.Containers = append(two.Spec.Containers, corev1.Container{Name: "d", Resources: corev1.ResourceRequirements{
		Limits: corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("50Mi")}}})
	if signal, got := Exceeds(&two, Disks{}); signal != "ephemeralcontainerfs.limit" || got != `Container c exceeded its local ephemeral storage limit "5Mi". ` {
		t.Error(got)
	}
}

// machine is what a Manager sees and does in a test.
type machine struct {
	seen    Observed
	pods    []Pod
	frees   int64 // what reclaiming gives back of nodefs.available
	evicted []string
	told    []string
	gone    bool
}

func (m *machine) manager(t *testing.T, s Settings) *Manager {
	t.Helper()
	out, err := NewManager(Config{Settings: s, Log: slog.New(slog.DiscardHandler),
		Read: func() Observed { return m.seen }, Disks: func() Disks { return Disks{} },
		Active: func() (out []*corev1.Pod) {
			for i := range m.pods {
				out = append(out, m.pods[i].Pod)
			}
			return out
		},
		Measure: func(_ context.Context, pod *corev1.Pod, _ bool) Usage {
			for i := range m.pods {
				if m.pods[i].UID == pod.UID {
					return m.pods[i].Usage
				}
			}
			return Usage{}
		},
		Reclaim: func(context.Context) {
			s := m.seen[NodeFSAvailable]
			s.Available += m.frees
			m.seen[NodeFSAvailable] = s
		},
		Evict: func(uid types.UID, _, text string, grace int64, disruption bool) {
			m.evicted = append(m.evicted, string(uid)+": "+text)
		},
		Gone: func(types.UID) bool { return m.gone },
		Tell: func(_, text string) { m.told = append(m.told, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestManagerEvictsOneAtATime(t *testing.T) {
	m := &machine{seen: Observed{MemoryAvailable: {50 << 20, 1 << 30}}, pods: []Pod{pod("a uses=100 asks=10"), pod("b uses=900 priority=2000000000"), pod("c uses=50"), pod("d uses=999 static")}}
	mgr := m.manager(t, settings("memory.available<100Mi"))
	for range 3 {
		mgr.Look(t.Context())
	}
	want := "a: The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container c was using 100Mi, request is 10Mi, has larger consumption of memory. "
	if len(m.evicted) != 1 || m.evicted[0] != want {
		t.Fatalf("evicted %q, want %q", m.evicted, want)
	}
	m.gone, m.pods = true, m.pods[1:]
	mgr.Look(t.Context())
	mgr.Look(t.Context())
	if len(m.evicted) < 2 || !strings.HasPrefix(m.evicted[1], "c: ") {
		t.Errorf("then %q", m.evicted)
	}
	for _, e := range m.evicted {
		if strings.HasPrefix(e, "b:") || strings.HasPrefix(e, "d:") {
			t.Errorf("a critical pod was evicted: %s", e)
		}
	}
	if p := mgr.Pressure(); !p.Memory || p.Disk {
		t.Errorf("%+v", p)
	}
	if len(m.told) == 0 || m.told[0] != "Attempting to reclaim memory" {
		t.Errorf("told %q", m.told)
	}
}

func TestManagerReclaimsBeforeItEvicts(t *testing.T) {
	m := &machine{seen: Observed{NodeFSAvailable: {5, 100}}, frees: 10, pods: []Pod{pod("a root=100")}}
	mgr := m.manager(t, settings("nodefs.available<10%"))
	mgr.Look(t.Context())
	if len(m.evicted) != 0 {
		t.Errorf("evicted %q although images gave enough", m.evicted)
	}
	m.seen[NodeFSAvailable], m.frees = Signals{5, 100}, 1
	mgr.Look(t.Context())
	if len(m.evicted) != 1 {
		t.Errorf("evicted %q", m.evicted)
	}
}

func TestRefuses(t *testing.T) {
	none := func(string) bool { return false }
	for _, c := range []struct {
		p                    Pressure
		critical, bestEffort bool
		tolerates            func(string) bool
		want                 string
	}{
		{Pressure{}, false, true, none, ""},
		{Pressure{Memory: true}, false, true, none, "The node had condition: [MemoryPressure]. "},
		{Pressure{Memory: true}, false, false, none, ""},
		{Pressure{Memory: true}, false, true, func(string) bool { return true }, ""},
		{Pressure{Memory: true, PID: true}, false, false, none, "The node had condition: [MemoryPressure PIDPressure]. "},
		{Pressure{Disk: true}, true, true, none, ""},
		{Pressure{Disk: true}, false, false, func(string) bool { return true }, "The node had condition: [DiskPressure]. "},
	} {
		if got := c.p.Refuses(c.critical, c.bestEffort, c.tolerates); got != c.want {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
	}
}
