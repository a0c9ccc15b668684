package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// Systemd is the name of the driver that has systemd make the groups.
const Systemd = "systemd"

// units is systemd as far as groups need it. Names are of slices: "kubepods-burstable.slice".
type units interface {
	// Start makes a slice and its directory; one that is there already is no error.
	Start(name string, properties []systemd.Property) error
	// Set changes what a slice is held to, until the machine starts anew.
	Set(name string, properties []systemd.Property) error
	// Stop ends a slice with all in it; one that is not there is no error.
	Stop(name string) error
}

// bootedDir is where systemd keeps its state while it manages the machine, see sd_booted(3).
const bootedDir = "/run/systemd/system"

func booted(dir string) bool {
	st, err := os.Lstat(dir)
	return err == nil && st.IsDir()
}

// over has a manager make slices by u, below the slices that stand for its root: "/a/b-c" is /a.slice/a-b_c.slice.
func (m *Manager) over(u units) *Manager {
	m.units = u
	if names := strings.FieldsFunc(m.root, func(r rune) bool { return r == '/' }); len(names) > 0 {
		slices := sliceNames("", names)
		m.root = "/" + filepath.Join(slices...)
		m.prefix = strings.TrimSuffix(slices[len(slices)-1], ".slice") + "-"
	}
	return m
}

// sliceNames are the slices that stand for groups one in the other. A slice has the names of those around it in its own, with dashes between
// them, so that dashes within a name become underscores.
func sliceNames(prefix string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		prefix += strings.ReplaceAll(name, "-", "_")
		out[i] = prefix + ".slice"
		prefix += "-"
	}
	return out
}

// startSlices has systemd make the slices on the way to a group that are not there. Without systemd it does nothing.
func (m *Manager) startSlices(path string) error {
	if m.units == nil {
		return nil
	}
	parent, at := "-.slice", "/"
	for _, name := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		at = filepath.Join(at, name)
		if !m.there(at) {
			if err := m.units.Start(name, m.slice(name, parent)); err != nil {
				return err
			}
		}
		parent = name
	}
	return nil
}

// slice are the properties that a slice is made with. What is counted in it is counted from the start: the kernel would not count what was
// there before.
func (m *Manager) slice(name, parent string) []systemd.Property {
	disk := "IOAccounting"
	if !m.unified {
		disk = "BlockIOAccounting"
	}
	return []systemd.Property{
		systemd.PropDescription("pods of Kubernetes in " + name), systemd.PropWants(parent), property("DefaultDependencies", false),
		property("MemoryAccounting", true), property("CPUAccounting", true), property(disk, true), property("TasksAccounting", true),
	}
}

// tell has systemd hold a group to what was written to it. Without systemd it does nothing.
func (m *Manager) tell(path string, properties ...systemd.Property) error {
	if m.units == nil {
		return nil
	}
	return m.units.Set(filepath.Base(path), properties)
}

// infinity is no limit, in systemd's properties.
const infinity = math.MaxUint64

func property(name string, value any) systemd.Property {
	return systemd.Property{Name: name, Value: dbus.MakeVariant(value)}
}

// coarse is what systemd rounds quotas to: one hundredth of a CPU, in microseconds of each Period.
const coarse = Period / 100

// held is the quota that a group can be held to: with systemd the next one that it can express.
func (m *Manager) held(quota int64) int64 {
	if m.units == nil || quota <= 0 {
		return quota
	}
	return (quota + coarse - 1) / coarse * coarse
}

// quotaProperties are a quota of microseconds in each Period; 0: no limit.
func quotaProperties(quota int64) []systemd.Property {
	perSecond := uint64(infinity)
	if quota > 0 {
		perSecond = uint64(quota) * (1_000_000 / Period)
	}
	return []systemd.Property{property("CPUQuotaPeriodUSec", uint64(Period)), property("CPUQuotaPerSecUSec", perSecond)}
}

// Slice is the path of the slice in which everything of a root's pods is with the driver systemd: the root's own, or kubepods' where root is
// "/", for the rest of the machine is not ours.
func Slice(root string) string {
	m := (&Manager{root: filepath.Join("/", root)}).over(&bus{})
	if m.root == "/" {
		return "/" + m.parts(Pod{})[0]
	}
	return m.root
}

// StopSlice has systemd forget the Slice of a root, with all below it, once the groups were taken away. Where systemd does not run it does
// nothing.
func StopSlice(root string) error {
	if !booted(bootedDir) {
		return nil
	}
	b := &bus{}
	defer b.close()
	return b.Stop(filepath.Base(Slice(root)))
}
