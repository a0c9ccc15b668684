package etcd

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// letGoEvery is after how many bytes looked at in the mapped database its pages are given back.
const letGoEvery = 64 << 20

// looked counts what a scan has looked at, and now and then gives the pages of the mapping back. etcd has the whole database
// mapped in when it opens it, and a scan touches much of it; nothing needs these pages soon, but until memory is short they
// would count as ours. They stay in the page cache. A transaction must be open, so that the mapping stays where it is.
func (m *member) looked(bytes int) {
	if n := m.shown.Add(int64(bytes)); n >= letGoEvery && m.shown.CompareAndSwap(n, 0) {
		if err := letGo(m.srv.Cfg.BackendPath()); err != nil {
			m.log.Debug("pages of the database are kept", "error", err)
		}
	}
}

// letGo takes the pages of a mapped file out of this process.
func letGo(path string) error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// 7f0000000000-7f0040000000 r--s 00000000 fe:00 123   /path
		if !strings.HasSuffix(lines.Text(), " "+path) {
			continue
		}
		at, _, _ := strings.Cut(lines.Text(), " ")
		from, to, _ := strings.Cut(at, "-")
		begin, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			return err
		}
		end, err := strconv.ParseUint(to, 16, 64)
		if err != nil {
			return err
		}
		// The memory is the kernel's, not Go's: there is no pointer to derive this from.
		addr := uintptr(begin)
		b := unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), int(end-begin))
		if err := unix.Madvise(b, unix.MADV_DONTNEED); err != nil {
			return err
		}
	}
	return lines.Err()
}
