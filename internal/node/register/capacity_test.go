package register

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/node/evict"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// quantities reads "cpu=2 memory=1Gi".
func quantities(text string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, f := range strings.Fields(text) {
		name, q, _ := strings.Cut(f, "=")
		out[corev1.ResourceName(name)] = resource.MustParse(q)
	}
	return out
}

// What pods may use is what the stock kubelet says: the numbers are those of v1.37.1's functions, to the byte.
func TestAllocatable(t *testing.T) {
	for _, row := range []struct {
		name, capacity, system, kube string
		hard                         map[string]string
		want                         string
	}{
		{"defaults", "cpu=2 memory=8000000Ki ephemeral-storage=10000000Ki pods=110", "", "", nil,
			"cpu=2 memory=7897600Ki ephemeral-storage=9215999985 pods=110"},
		{"percentages", "memory=1000Mi ephemeral-storage=1000Gi", "", "", map[string]string{"memory.available": "15%", "nodefs.available": "25%"},
			"memory=891289594 ephemeral-storage=750Gi"},
		{"quantities", "memory=1000Mi ephemeral-storage=1000Gi", "", "", map[string]string{"memory.available": "100Mi", "nodefs.available": "1Gi"},
			"memory=900Mi ephemeral-storage=999Gi"},
		{"only these", "memory=1000Mi ephemeral-storage=1000Gi pods=110", "", "", map[string]string{"imagefs.available": "15%", "nodefs.inodesFree": "5%", "pid.available": "10%"},
			"memory=1000Mi ephemeral-storage=1000Gi pods=110"},
		{"all of it", "memory=1000Mi ephemeral-storage=100Gi cpu=4", "cpu=500m memory=100Mi ephemeral-storage=1Gi", "cpu=250m memory=200Mi ephemeral-storage=2Gi example.com/x=1",
			map[string]string{"memory.available": "100Mi", "nodefs.available": "10Gi"}, "memory=600Mi ephemeral-storage=87Gi cpu=3250m"},
		{"huge pages", "memory=8Gi hugepages-2Mi=1Gi hugepages-1Gi=2Gi ephemeral-storage=1Gi", "memory=1Gi hugepages-2Mi=512Mi", "", map[string]string{},
			"memory=4Gi hugepages-2Mi=512Mi hugepages-1Gi=2Gi ephemeral-storage=1Gi"},
		{"more huge pages than memory", "memory=1Gi hugepages-1Gi=2Gi", "", "", map[string]string{}, "memory=0 hugepages-1Gi=2Gi"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &Resources{SystemReserved: quantities(row.system), KubeReserved: quantities(row.kube), EvictionHard: row.hard}
			if row.hard == nil {
				r.EvictionHard = evict.Defaults
			}
			if err := r.check(quantities(row.capacity)); err != nil {
				t.Error(err)
			}
			got, want := r.allocatable(quantities(row.capacity)), quantities(row.want)
			for name, w := range want {
				if g := got[name]; g.Cmp(w) != 0 {
					t.Errorf("%s: %s, want %s", name, g.String(), w.String())
				}
			}
			if len(got) != len(want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

func TestReservedBeyondCapacity(t *testing.T) {
	for _, row := range []struct {
		system, hard, want string
	}{
		{"memory=2Gi", "100Mi", `invalid Node Allocatable configuration. Resource "memory" has a reservation of 2148Mi but capacity of 1Gi. Expected capacity >= reservation.`},
		{"", "101%", "eviction percentage threshold memory.available must be <= 100%: 101%"},
		{"", "lots", "quantities must match the regular expression"},
		{"memory=512Mi", "512Mi", ""},
	} {
		r := &Resources{SystemReserved: quantities(row.system), EvictionHard: map[string]string{"memory.available": row.hard}}
		if err := r.check(quantities("memory=1Gi")); (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s, %s: %v, want %s", row.system, row.hard, err, row.want)
		}
	}
}

func TestHugePages(t *testing.T) {
	dir := t.TempDir()
	for name, n := range map[string]string{"hugepages-2048kB": "512\n", "hugepages-1048576kB": "0\n", "hugepages-64kB": "16", "other": "1", "hugepages-xkB": "1"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "nr_hugepages"), []byte(n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, want := hugePages(dir), quantities("hugepages-2Mi=1Gi hugepages-1Gi=0 hugepages-64Ki=1Mi")
	for name, w := range want {
		if g, ok := got[name]; !ok || g.Cmp(w) != 0 {
			t.Errorf("%s: %s, want %s", name, g.String(), w.String())
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	if n := len(hugePages(filepath.Join(dir, "none"))); n != 0 {
		t.Errorf("%d sizes of a kernel without huge pages", n)
	}
}
