package users

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// rig is a directory of pods' directories.
type rig struct {
	*testing.T
	dir string
}

func (r rig) make(uids ...types.UID) {
	r.Helper()
	for _, uid := range uids {
		if err := os.MkdirAll(filepath.Join(r.dir, string(uid)), 0o700); err != nil {
			r.Fatal(err)
		}
	}
}

// first is the first ID on the host of a pod's users.
func (r rig) first(m *Manager, uid types.UID) uint32 {
	r.Helper()
	ns, err := m.Get(uid)
	if err != nil {
		r.Fatal(err)
	}
	if len(ns.Uids) != 1 || ns.Uids[0].String() != ns.Gids[0].String() || ns.Uids[0].ContainerId != 0 {
		r.Fatalf("users %v, groups %v", ns.Uids, ns.Gids)
	}
	return ns.Uids[0].HostId
}

// Each pod has a range of its own, keeps it over restarts, and gives it back.
func TestRangesOfPods(t *testing.T) {
	r := rig{t, t.TempDir()}
	r.make("a", "b", "c", "d")
	whole := Range{First: Unit, Length: 3 * Unit, PerPod: Unit}
	m := New(r.dir, whole)
	a, b := r.first(m, "a"), r.first(m, "b")
	if a == b || a < Unit || b < Unit || r.first(m, "a") != a {
		t.Errorf("a has %d, b %d", a, b)
	}
	data, err := os.ReadFile(filepath.Join(r.dir, "a", file))
	if err != nil {
		t.Fatal(err)
	}
	one := fmt.Sprintf(`[{"hostId":%d,"containerId":0,"length":65536}]`, a)
	if want := `{"uidMappings":` + one + `,"gidMappings":` + one + `}`; string(data) != want {
		t.Errorf("the file says %s, a stock kubelet's %s", data, want)
	}

	m = New(r.dir, whole) // the next kubelet
	c := r.first(m, "c")
	if c == a || c == b || r.first(m, "a") != a || r.first(m, "b") != b {
		t.Errorf("after a restart: a has %d, b %d, c %d", r.first(m, "a"), r.first(m, "b"), c)
	}
	if _, err := m.Get("d"); err == nil || err.Error() != "create user namespace: could not find an empty slot to allocate a user namespace" {
		t.Errorf("a fourth of three: %v", err)
	}
	m.Release("b")
	if _, err := os.Stat(filepath.Join(r.dir, "b", file)); !os.IsNotExist(err) {
		t.Errorf("the file of a range that was given back: %v", err)
	}
	if d := r.first(m, "d"); d != b {
		t.Errorf("d has %d, free was %d", d, b)
	}
	m.Keep(func(uid types.UID) bool { return uid != "a" })
	r.make("e")
	if e := r.first(m, "e"); e != a {
		t.Errorf("e has %d, free was %d", e, a)
	}

	New(r.dir, whole).Release("c") // before it has read anything
	if _, err := os.Stat(filepath.Join(r.dir, "c", file)); !os.IsNotExist(err) {
		t.Errorf("the file of a range that was given back at once: %v", err)
	}
}

// A range that was given back rests as long as there are others.
func TestRangesRest(t *testing.T) {
	r := rig{t, t.TempDir()}
	m := New(r.dir, Range{First: Unit, Length: 3 * Unit, PerPod: Unit})
	var got []uint32
	for i := range 4 {
		uid := types.UID(fmt.Sprint(i))
		r.make(uid)
		got = append(got, r.first(m, uid)/Unit)
		m.Release(uid)
	}
	if fmt.Sprint(got) != "[1 2 3 1]" {
		t.Error(got)
	}
}

// A file that does not say what a kubelet writes keeps every pod from getting users: nobody knows what is free.
func TestUnreadableRanges(t *testing.T) {
	one := func(host, container, length uint32) string {
		m := fmt.Sprintf(`[{"hostId":%d,"containerId":%d,"length":%d}]`, host, container, length)
		return `{"uidMappings":` + m + `,"gidMappings":` + m + `}`
	}
	for text, want := range map[string]string{
		"{":                  "invalid user namespace mappings file: ",
		"{}":                 "invalid user namespace configuration: no more than one mapping allowed.",
		one(Unit, 1, Unit):   "invalid user namespace configuration: UID 0 must be mapped",
		one(Unit, 0, 2*Unit): "wrong user namespace length 131072",
		one(Unit+1, 0, Unit): "wrong user namespace offset specified 65537",
		one(0, 0, Unit):      "id 0 is out of range",
		one(9*Unit, 0, Unit): "id 589824 is out of range",
		one(2*Unit, 0, Unit): `range picked for pod "z" already taken`,
		one(Unit, 0, Unit):   "",
		"":                   "",
	} {
		r := rig{t, t.TempDir()}
		r.make("a", "z", "new")
		for uid, content := range map[string]string{"a": one(2*Unit, 0, Unit), "z": text} {
			if err := os.WriteFile(filepath.Join(r.dir, uid, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := New(r.dir, Range{First: Unit, Length: 4 * Unit, PerPod: Unit}).Get("new")
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), `record pod mappings for existing pod "z": `+want)) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestWhichIDs(t *testing.T) {
	for _, c := range []struct {
		r    Range
		pods int64
		want string
	}{
		{Range{Unit, 110 * Unit, Unit}, 110, ""},
		{Range{Unit, 109 * Unit, Unit}, 110, "kubelet user assigned IDs are not enough to support 110 pods"},
		{Range{0, 110 * Unit, Unit}, 110, "kubelet user assigned ID 0 must be greater or equal to 65536"},
		{Range{Unit + 1, 110 * Unit, Unit}, 110, "kubelet user assigned ID 65537 is not a multiple of 65536"},
		{Range{Unit, 110*Unit + 1, Unit}, 110, "kubelet user assigned IDs length 7208961 is not a multiple of 65536"},
	} {
		got := ""
		if err := c.r.check(c.pods); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.r, got, c.want)
		}
	}
	for n, want := range map[int64]string{
		Unit: "", 2 * Unit: "", Unit - 1: "less than", Unit + 1: "multiple of", 1 << 32: "more than",
	} {
		if err := CheckPerPod(n); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %q", n, err, want)
		}
	}
	if first, length, err := parse("0: kubelet 65536 7208960\n"); first != 65536 || length != 7208960 || err != nil {
		t.Error(first, length, err)
	}
	for _, bad := range []string{"", "0: kubelet 65536", "0: kubelet a 1", "0: kubelet 1 2\n1: kubelet 3 4"} {
		if _, _, err := parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if r, err := Find(Unit, 110); err != nil || r.First < Unit || r.PerPod != Unit {
		t.Errorf("this machine: %+v, %v", r, err)
	}
}
