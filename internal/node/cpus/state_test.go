package cpus

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/node/hardware"
	"sampan.dev/internal/node/topology"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/cpuset"
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
	s, err := a.state()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := encode(a.PolicyName, &s); err != nil || string(got) != string(want) {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	if got := s.own["p1"]["c0"]; got.String() != "1,5,9,13" {
		t.Errorf("%s", got)
	}
}

func TestCheckpointsThatAreRead(t *testing.T) {
	golden, err := os.ReadFile("testdata/" + File)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"before v1.37":                {`{"policyName":"static","defaultCpuSet":"4,10,14","entries":{"p0":{"c0":"0,8,12"},"p1":{"c0":"1,5,9,13"},"p3":{"c0":"2,6"},"p5":{"i0":"3,7,11,15","i1":"3,7,11,15"}},"checksum":3922689401}`, ""},
		"without a checksum":          {`{"policyName":"static","defaultCpuSet":"4"}`, ""},
		"changed since":               {strings.Replace(string(golden), `\"0,8,12\"`, `\"0,8\"`, 1), "checkpoint is corrupted"},
		"changed since, before v1.37": {`{"policyName":"static","defaultCpuSet":"4","checksum":3922689401}`, "checkpoint is corrupted"},
		"no JSON":                     {`{`, "unexpected end"},
		"of another policy":           {`{"policyName":"none","defaultCpuSet":""}`, `configured policy "static" differs from state checkpoint policy "none"`},
		"no list":                     {`{"policyName":"static","defaultCpuSet":"all"}`, `could not parse default CPU set "all"`},
	} {
		path := filepath.Join(t.TempDir(), File)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := read(path, Static); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// machineOf has nodes of two cores of two threads each.
func machineOf(nodes int) *hardware.Machine {
	m := &hardware.Machine{CPUs: map[int]hardware.CPU{}, Cores: nodes * 2, Sockets: nodes}
	for n := range nodes {
		m.Nodes = append(m.Nodes, hardware.Node{ID: n})
		for c := range 2 {
			for thread := range 2 {
				core := n*2 + c
				m.CPUs[core+thread*nodes*2] = hardware.CPU{Node: n, Socket: n, Core: core, Uncore: n}
			}
		}
	}
	return m
}

func config(dir string) Config {
	return Config{Machine: machineOf(2), ReservedMilli: 500, Dir: dir, Topology: topology.None, Log: slog.New(slog.DiscardHandler),
		Affinity: func(types.UID, string) topology.Hint { return topology.Hint{} }}
}

// What a manager has given out the next one knows; and it refuses what does not fit the machine or the settings.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	m, err := New(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	got, err := m.allocateLocked(2, 0, cpuset.New())
	m.mu.setOwn("p", "c", got)
	m.saveLocked()
	m.mu.Unlock()
	if err != nil || got.String() != "1,5" { // a whole core of the node whose other core has the reserved CPU
		t.Errorf("%s %v", got, err)
	}
	next, err := New(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	if cpus, own := next.CPUs("p", "c"); !own || cpus.String() != "1,5" {
		t.Errorf("%s %v", cpus, own)
	}
	if cpus, own := next.CPUs("q", "c"); own || cpus.String() != "0,2-4,6-7" {
		t.Errorf("%s %v", cpus, own)
	}
	more := config(dir)
	more.Reserved, more.ReservedMilli = cpuset.New(0, 1), 2000
	if _, err := New(more); err == nil || !strings.Contains(err.Error(), "not all reserved cpus") {
		t.Errorf("%v", err)
	}
	other := config(dir)
	other.Machine = machineOf(1)
	if _, err := New(other); err == nil || !strings.Contains(err.Error(), "doesn't match with CPUs in state") {
		t.Errorf("%v", err)
	}
	if err := Idle(dir); err == nil || !strings.Contains(err.Error(), `configured policy "none" differs`) {
		t.Errorf("%v", err)
	}
	if next.Keep(func(types.UID) bool { return false }); next.HasOwn("p") {
		t.Error("the CPUs were not taken back")
	}
	if cpus, _ := next.CPUs("p", "c"); cpus.Size() != 8 {
		t.Errorf("%s", cpus)
	}
}

func TestReservation(t *testing.T) {
	for _, c := range []struct {
		milli    int64
		reserved []int
		want     string
	}{
		{0, nil, "requires systemreserved.cpu + kubereserved.cpu to be greater than zero"},
		{9000, nil, "unable to reserve the required amount of CPUs (size of  did not equal 9)"},
		{1000, []int{3, 7}, "unable to reserve the required amount of CPUs (size of 3,7 did not equal 1)"},
		{2000, []int{3, 7}, ""},
	} {
		cfg := config(t.TempDir())
		cfg.ReservedMilli, cfg.Reserved = c.milli, cpuset.New(c.reserved...)
		if _, err := New(cfg); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		m     map[string]string
		alpha bool
		want  string
	}{
		{m: map[string]string{"full-pcpus-only": "true", "strict-cpu-reservation": "true", "distribute-cpus-across-numa": "true"}},
		{m: map[string]string{"align-by-socket": "true"}, alpha: true},
		{m: map[string]string{"align-by-socket": "true"}, want: "Alpha-level Options not enabled"},
		{m: map[string]string{"x": "true"}, want: `unknown CPU Manager Policy option: "x"`},
		{m: map[string]string{"full-pcpus-only": "maybe"}, want: `bad value for option "full-pcpus-only"`},
		{m: map[string]string{"full-pcpus-only": "true", "distribute-cpus-across-cores": "true"}, alpha: true, want: "can not be used at the same time"},
		{m: map[string]string{"distribute-cpus-across-numa": "true", "prefer-align-cpus-by-uncorecache": "true"}, want: "can not be used at the same time"},
	} {
		if _, err := ReadOptions(c.m, c.alpha); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.m, err)
		}
	}
}
