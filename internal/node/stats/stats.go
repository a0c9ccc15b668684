package stats

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/node/cgroup"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// rateOver is the least time between two readings that a rate is computed from.
const rateOver = 500 * time.Millisecond

// Rates turns growing CPU times into cores.
type Rates struct {
	mu struct {
		sync.Mutex
		last map[string]reading
	}
}

type reading struct {
	at   time.Time
	cpu  time.Duration
	rate uint64
}

// NewRates makes an empty memory of readings.
func NewRates() *Rates {
	r := &Rates{}
	r.mu.last = map[string]reading{}
	return r
}

// Rate returns the nanocores used since the last reading under key. Readings that are too close repeat the last rate; nil
// means there is none yet.
func (r *Rates) Rate(key string, at time.Time, cpu time.Duration) *uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.mu.last[key]
	if !ok || cpu < last.cpu {
		r.mu.last[key] = reading{at: at, cpu: cpu}
		return nil
	}
	if d := at.Sub(last.at); d >= rateOver {
		last = reading{at: at, cpu: cpu, rate: uint64(float64(cpu-last.cpu) / d.Seconds())}
		r.mu.last[key] = last
	}
	rate := last.rate
	return &rate
}

// Keep forgets the readings under keys for which keep is false.
func (r *Rates) Keep(keep func(key string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.mu.last {
		if !keep(key) {
			delete(r.mu.last, key)
		}
	}
}

// CPU of a group.
func CPU(u cgroup.Usage, rate *uint64) *statsv1.CPUStats {
	return &statsv1.CPUStats{Time: metav1.NewTime(u.At), UsageCoreNanoSeconds: ptr(uint64(u.CPU)), UsageNanoCores: rate, PSI: waits(u.CPUWait)}
}

// IO of a group: how long it has waited for it; nil where that is not known.
func IO(u cgroup.Usage) *statsv1.IOStats {
	if u.IOWait == nil {
		return nil
	}
	return &statsv1.IOStats{Time: metav1.NewTime(u.At), PSI: waits(u.IOWait)}
}

func waits(p *cgroup.Pressure) *statsv1.PSIStats {
	if p == nil {
		return nil
	}
	of := func(w cgroup.Wait) statsv1.PSIData {
		return statsv1.PSIData{Total: uint64(w.Total), Avg10: w.Avg10, Avg60: w.Avg60, Avg300: w.Avg300}
	}
	return &statsv1.PSIStats{Full: of(p.Full), Some: of(p.Some)}
}

// told are waits as the runtime tells them.
func told(p *cri.PsiStats) *statsv1.PSIStats {
	if p == nil {
		return nil
	}
	of := func(d *cri.PsiData) statsv1.PSIData {
		return statsv1.PSIData{Total: d.GetTotal(), Avg10: d.GetAvg10(), Avg60: d.GetAvg60(), Avg300: d.GetAvg300()}
	}
	return &statsv1.PSIStats{Full: of(p.GetFull()), Some: of(p.GetSome())}
}

// Memory of a group. limit is what it may use, 0 when there is no limit.
func Memory(u cgroup.Usage, limit uint64) *statsv1.MemoryStats {
	m := &statsv1.MemoryStats{Time: metav1.NewTime(u.At), UsageBytes: &u.Memory, WorkingSetBytes: &u.WorkingSet, RSSBytes: &u.RSS,
		PageFaults: &u.Faults, MajorPageFaults: &u.MajFaults, PSI: waits(u.MemoryWait)}
	if limit > 0 {
		m.AvailableBytes = ptr(limit - min(limit, u.WorkingSet))
	}
	return m
}

// Container turns the runtime's figures into the summary's.
func Container(s *cri.ContainerStats, name string, started time.Time, rates *Rates) statsv1.ContainerStats {
	out := statsv1.ContainerStats{Name: name, StartTime: metav1.NewTime(started)}
	if c := s.GetCpu(); c != nil {
		at := time.Unix(0, c.Timestamp)
		total := c.GetUsageCoreNanoSeconds().GetValue()
		out.CPU = &statsv1.CPUStats{Time: metav1.NewTime(at), UsageCoreNanoSeconds: &total, PSI: told(c.GetPsi())}
		if n := c.GetUsageNanoCores(); n != nil {
			out.CPU.UsageNanoCores = &n.Value
		} else {
			out.CPU.UsageNanoCores = rates.Rate(s.GetAttributes().GetId(), at, time.Duration(total))
		}
	}
	if m := s.GetMemory(); m != nil {
		out.Memory = &statsv1.MemoryStats{Time: metav1.NewTime(time.Unix(0, m.Timestamp)),
			AvailableBytes: value(m.AvailableBytes), UsageBytes: value(m.UsageBytes), WorkingSetBytes: value(m.WorkingSetBytes),
			RSSBytes: value(m.RssBytes), PageFaults: value(m.PageFaults), MajorPageFaults: value(m.MajorPageFaults), PSI: told(m.GetPsi())}
	}
	if i := s.GetIo(); i != nil {
		out.IO = &statsv1.IOStats{Time: metav1.NewTime(time.Unix(0, i.Timestamp)), PSI: told(i.GetPsi())}
	}
	if l := s.GetWritableLayer(); l != nil {
		out.Rootfs = &statsv1.FsStats{Time: metav1.NewTime(time.Unix(0, l.Timestamp)), UsedBytes: value(l.UsedBytes), InodesUsed: value(l.InodesUsed)}
	}
	return out
}

func value(v *cri.UInt64Value) *uint64 {
	if v == nil {
		return nil
	}
	return &v.Value
}

// FS of the file system that path is on.
func FS(path string) *statsv1.FsStats {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return nil
	}
	size := uint64(st.Bsize)
	return &statsv1.FsStats{Time: metav1.Now(), AvailableBytes: ptr(st.Bavail * size), CapacityBytes: ptr(st.Blocks * size),
		UsedBytes: ptr((st.Blocks - st.Bfree) * size), Inodes: ptr(st.Files), InodesFree: ptr(st.Ffree), InodesUsed: ptr(st.Files - st.Ffree)}
}

// Used is what something takes of the file system that fs is.
func Used(fs *statsv1.FsStats, bytes, inodes int64) *statsv1.FsStats {
	out := statsv1.FsStats{Time: metav1.Now()}
	if fs != nil {
		out = *fs
	}
	out.UsedBytes, out.InodesUsed = ptr(uint64(bytes)), ptr(uint64(inodes))
	return &out
}

// Volume is how full a volume is, in bytes and inodes.
func Volume(at time.Time, total, used, free, inodes, inodesUsed, inodesFree int64) statsv1.FsStats {
	return statsv1.FsStats{Time: metav1.NewTime(at), CapacityBytes: ptr(uint64(total)), UsedBytes: ptr(uint64(used)), AvailableBytes: ptr(uint64(free)),
		Inodes: ptr(uint64(inodes)), InodesUsed: ptr(uint64(inodesUsed)), InodesFree: ptr(uint64(inodesFree))}
}

// Network reads the interfaces of a process's network namespace; pid 0 is our own. The default interface is eth0, or the
// first that is not the loopback.
func Network(pid int) *statsv1.NetworkStats {
	path := "/proc/net/dev"
	if pid > 0 {
		path = "/proc/" + strconv.Itoa(pid) + "/net/dev"
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	out := &statsv1.NetworkStats{Time: metav1.Now()}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name, rest, ok := strings.Cut(sc.Text(), ":")
		v := strings.Fields(rest)
		if name = strings.TrimSpace(name); !ok || name == "lo" || len(v) < 11 {
			continue
		}
		n := func(i int) *uint64 {
			u, _ := strconv.ParseUint(v[i], 10, 64)
			return &u
		}
		i := statsv1.InterfaceStats{Name: name, RxBytes: n(0), RxErrors: n(2), TxBytes: n(8), TxErrors: n(10)}
		out.Interfaces = append(out.Interfaces, i)
		if out.Name == "" || name == "eth0" {
			out.InterfaceStats = i
		}
	}
	return out
}

func ptr[T any](v T) *T { return &v }
