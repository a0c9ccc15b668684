package room

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Room watches over the disk that the member is on. etcd cannot go on when a write finds no space, so values are refused
// before that: at a floor, below which there is still enough for deletions, for the next file of the log and for what has been
// acknowledged to reach the database. Other programs do not know of the floor. For when they fill the disk there is a reserve,
// files that take room and are removed in that case: the first half when there is little room, so that deletions go on, the
// second when etcd has failed for want of it, since whoever was filling the disk has taken the first half as well.
type Room struct {
	dir string // of the files of the reserve
	log *slog.Logger

	// calm is until when, in Unix nanoseconds, the disk needs no look because there was plenty at the last one.
	calm atomic.Int64

	mu struct {
		sync.Mutex
		held [2]bool // the halves of the reserve
		full bool    // values are refused
	}
}

// A disk with plenty of room cannot be filled as fast as that.
const (
	plenty       = 1 << 30 // bytes
	plentyInodes = 1 << 16
	calmFor      = 10 * time.Millisecond
)

const (
	mostReserve  = 32 << 20
	reserveShare = 32 // of the file system, at most
	reserveFiles = 8
	inodeFloor   = 16
	probeSize    = 256 << 10
	leastFree    = 1 << 20 // for a member to be opened: it makes its log and the database no larger
)

// New watches over the disk of dir, and makes the reserve there when it can.
func New(dir string, log *slog.Logger) *Room {
	r := &Room{dir: filepath.Join(dir, "reserve"), log: log}
	if entries, err := os.ReadDir(r.dir); err == nil && len(entries) == reserveFiles {
		r.mu.held = [2]bool{true, true}
	}
	s, err := r.Look()
	switch {
	case err != nil:
	case r.short(s) != nil:
		r.release(first) // a start needs some
		r.release(second)
	case !r.whole() && s.Free > 2*s.floor()+s.reserve():
		r.hold(s)
	}
	return r
}

// Space is what there is of a file system.
type Space struct {
	Free     int64 // bytes
	total    int64
	inodes   int64 // free ones; negative when there is no such number
	readOnly bool
}

// The halves of the reserve.
const (
	first = iota
	second
)

// whole says whether there is all of the reserve.
func (r *Room) whole() bool { return r.mu.held[first] && r.mu.held[second] }

// reserve and floor are sizes that small file systems have as well.
func (s Space) reserve() int64 { return min(mostReserve, s.total/reserveShare) }
func (s Space) floor() int64   { return s.reserve() }

// Fits reports whether so many bytes leave what must stay free.
func (s Space) Fits(bytes int64) bool { return s.Free >= bytes+s.floor() }

// Look asks the file system.
func (r *Room) Look() (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(r.dir), &st); err != nil {
		return Space{}, fmt.Errorf("look at the disk: %w", err)
	}
	s := Space{
		total: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize,
		inodes: int64(st.Ffree), readOnly: st.Flags&unix.ST_RDONLY != 0,
	}
	if os.Geteuid() == 0 {
		s.Free = int64(st.Bfree) * st.Bsize // what is kept for root is for us
	}
	if st.Files == 0 {
		s.inodes = -1
	}
	return s, nil
}

// Admit says why nothing can be written, or no values.
func (r *Room) Admit(values bool) error {
	now := time.Now()
	if now.UnixNano() < r.calm.Load() {
		return nil
	}
	s, err := r.Look()
	if err != nil {
		return nil // the write itself will tell
	}
	if s.readOnly {
		return errors.New("the disk has become read-only")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	why := r.short(s)
	if (why != nil) != r.mu.full {
		if r.mu.full = why != nil; r.mu.full {
			r.log.Error("the disk is full: values are refused, deletions and reads go on", "reason", why)
		} else {
			r.log.Warn("the disk has room again", "free_bytes", s.Free)
		}
	}
	switch {
	case why == nil && !r.whole() && s.Free > 2*s.floor()+s.reserve():
		r.hold(s)
	case why != nil:
		r.release(first)
	}
	if why == nil && r.whole() && s.Free > s.floor()+plenty && (s.inodes < 0 || s.inodes > plentyInodes) {
		r.calm.Store(now.Add(calmFor).UnixNano())
	}
	if values {
		return why
	}
	// Without any room a deletion may still find it, in the files that are there.
	return nil
}

// short says what there is too little of. The reserve counts as free, so that to remove it does not look like room.
func (r *Room) short(s Space) error {
	free, need := s.Free, s.floor()
	for _, held := range r.mu.held {
		if !held {
			need += s.reserve() / 2
		}
	}
	if r.mu.full {
		need += s.floor() / 4 // not to and fro
	}
	switch {
	case free < need:
		return fmt.Errorf("no space left on device: %d MB are free where %s is", free>>20, filepath.Dir(r.dir))
	case s.inodes >= 0 && s.inodes < inodeFloor:
		return fmt.Errorf("no inodes left on device: %d are free where %s is", s.inodes, filepath.Dir(r.dir))
	}
	return nil
}

// hold makes the reserve, where the file system can.
func (r *Room) hold(s Space) {
	if os.MkdirAll(r.dir, 0o700) != nil {
		return
	}
	for i := range reserveFiles {
		f, err := os.OpenFile(filepath.Join(r.dir, strconv.Itoa(i)), os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), 0, 0, max(1, s.reserve()/reserveFiles))
			f.Close()
		}
		if err != nil {
			r.release(first)
			r.release(second)
			return
		}
	}
	r.mu.held = [2]bool{true, true}
}

// Leave takes what room there is for the reserve when the member is closed: the next start will need it, and until then others
// may take the rest.
func (r *Room) Leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, err := r.Look(); err == nil && !r.whole() && s.Free >= s.reserve() {
		r.hold(s)
	}
}

// release removes a half of the reserve.
func (r *Room) release(half int) {
	for i := range reserveFiles / 2 {
		_ = os.Remove(filepath.Join(r.dir, strconv.Itoa(half*reserveFiles/2+i)))
	}
	r.mu.held[half] = false
}

// Yield gives up all of the reserve, for a member that has failed.
func (r *Room) Yield() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(first)
	r.release(second)
}

// Probe finds out whether the disk takes a write.
func (r *Room) Probe() error {
	s, err := r.Look()
	if err != nil {
		return err
	}
	if s.readOnly {
		return errors.New("the disk is read-only")
	}
	if s.Free < leastFree {
		return fmt.Errorf("no space left on device: %d MB are free where %s is", s.Free>>20, filepath.Dir(r.dir))
	}
	path := filepath.Join(filepath.Dir(r.dir), "probe")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	_, err = f.Write(make([]byte, probeSize))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
