package memorymap

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/node/hardware"
	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// The file was written by a stock v1.37.1. Read and written again it is the same to the byte.
func TestCheckpointIsUpstreams(t *testing.T) {
	want, err := os.ReadFile("testdata/" + File)
	if err != nil {
		t.Fatal(err)
	}
	a, err := decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := encode(a); err != nil || string(got) != string(want) {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	broken := strings.Replace(string(want), `\"total\":8589934592`, `\"total\":1`, 1)
	if _, err := decode([]byte(broken)); err == nil || !strings.Contains(err.Error(), "checkpoint is corrupted") {
		t.Errorf("%v", err)
	}
	legacy, _, _ := strings.Cut(string(want), `,"data":`)
	if _, err := decode([]byte(legacy + "}")); err != nil {
		t.Errorf("as kubelets before v1.37 write it: %v", err)
	}
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

func config(t *testing.T, dir, reserved, sum string) Config {
	t.Helper()
	m := &hardware.Machine{Nodes: []hardware.Node{{ID: 0, Memory: 4 << 30}, {ID: 1, Memory: 4 << 30}}}
	r := Reserved{}
	if err := ParseReserved(reserved, r); err != nil {
		t.Fatal(err)
	}
	return Config{Machine: m, Reserved: r, ReservedSum: corev1.ResourceList{corev1.ResourceMemory: quantity(sum)}, Dir: dir, Log: slog.New(slog.DiscardHandler),
		Affinity: func(types.UID, string) topology.Hint { return topology.Hint{} }}
}

func guaranteed(uid types.UID, memory string) *corev1.Pod {
	list := corev1.ResourceList{corev1.ResourceCPU: quantity("1"), corev1.ResourceMemory: quantity(memory)}
	pod := &corev1.Pod{}
	pod.UID = uid
	pod.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: list, Limits: list}}}
	return pod
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	m, err := New(config(t, dir, "0:memory=1Gi", "1Gi"))
	if err != nil {
		t.Fatal(err)
	}
	small, large := guaranteed("small", "1Gi"), guaranteed("large", "6Gi")
	if err := m.Allocate(t.Context(), small, &small.Spec.Containers[0]); err != nil {
		t.Fatal(err)
	}
	if err := m.Allocate(t.Context(), large, &large.Spec.Containers[0]); err == nil {
		t.Error("a group of nodes, one of which serves alone")
	}
	m, err = New(config(t, dir, "0:memory=1Gi", "1Gi"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Nodes("small", "c"); len(got) != 1 || got[0] != 0 {
		t.Errorf("%v", got)
	}
	m.Keep(func(types.UID) bool { return false })
	if err := m.Allocate(t.Context(), large, &large.Spec.Containers[0]); err != nil {
		t.Error(err)
	}
	if got := m.Nodes("large", "c"); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if _, err := New(config(t, dir, "0:memory=2Gi", "2Gi")); err == nil || !strings.Contains(err.Error(), "the expected machine state is different") {
		t.Errorf("%v", err)
	}
	if err := Idle(dir); err == nil || !strings.Contains(err.Error(), "differs from state checkpoint policy") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, File), []byte(`{"policyName":"Static","machineState":{"7":{}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(config(t, dir, "0:memory=1Gi", "1Gi")); err == nil {
		t.Error("the checkpoint of another machine")
	}
}

func TestReservation(t *testing.T) {
	for _, c := range []struct{ reserved, sum, want string }{
		{"0:memory=1Gi;1:memory=1Gi", "2Gi", ""},
		{"0:memory=1Gi", "2Gi", `the total amount "1Gi" of type "memory" is not equal to the value "2Gi" determined by Node Allocatable feature`},
		{"5:memory=1Gi", "1Gi", "references a NUMA node 5 that does not exist"},
	} {
		if _, err := New(config(t, t.TempDir(), c.reserved, c.sum)); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for text, want := range map[string]string{
		"memory=1Gi":                  "incorrect format",
		"x:memory=1Gi":                "failed to convert the NUMA node ID",
		"0:memory":                    "the reserved limit has incorrect value",
		"0:cpu=1":                     `unknown type: "cpu"`,
		"0:memory=much":               "failed to parse the quantity: much",
		"0:memory=0":                  "may not be zero",
		"0:memory=1Gi;0:memory=1Gi":   "duplicate value",
		"0:memory=1Gi,hugepages-2Mi=": "failed to parse the quantity",
	} {
		if err := ParseReserved(text, Reserved{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
