package etcd

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

// room watches over the disk that the member is on. etcd cannot go on when a write finds no space, so values are refused
// before that: at a floor, below which there is still enough for deletions, for the next file of the log and for what has been
// acknowledged to reach the database. Other programs do not know of the floor. For when they fill the disk there is a reserve,
// files that take room and are removed in that case.
type room struct {
	dir string // of the files of the reserve
	log *slog.Logger

	// calm is until when, in Unix nanoseconds, the disk needs no look because there was plenty at the last one.
	calm atomic.Int64

	mu struct {
		sync.Mutex
		held bool // the reserve
		full bool // values are refused
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
	probeSize    = 1 << 20
)

func newRoom(dir string, log *slog.Logger) *room {
	r := &room{dir: filepath.Join(dir, "reserve"), log: log}
	if entries, err := os.ReadDir(r.dir); err == nil && len(entries) == reserveFiles {
		r.mu.held = true
	}
	s, err := r.look()
	switch {
	case err != nil:
	case r.short(s) != nil:
		r.release() // a start needs some
	case !r.mu.held && s.free > 2*s.floor()+s.reserve():
		r.hold(s)
	}
	return r
}

// space is what there is of a file system.
type space struct {
	total, free int64
	inodes      int64 // free ones; negative when there is no such number
	readOnly    bool
}

// reserve and floor are sizes that small file systems have as well.
func (s space) reserve() int64 { return min(mostReserve, s.total/reserveShare) }
func (s space) floor() int64   { return s.reserve() }

func (r *room) look() (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(r.dir), &st); err != nil {
		return space{}, fmt.Errorf("look at the disk: %w", err)
	}
	s := space{
		total: int64(st.Blocks) * st.Bsize, free: int64(st.Bavail) * st.Bsize,
		inodes: int64(st.Ffree), readOnly: st.Flags&unix.ST_RDONLY != 0,
	}
	if os.Geteuid() == 0 {
		s.free = int64(st.Bfree) * st.Bsize // what is kept for root is for us
	}
	if st.Files == 0 {
		s.inodes = -1
	}
	return s, nil
}

// admit says why nothing can be written, or no values.
func (r *room) admit(values bool) error {
	now := time.Now()
	if now.UnixNano() < r.calm.Load() {
		return nil
	}
	s, err := r.look()
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
			r.log.Warn("the disk has room again", "free_bytes", s.free)
		}
	}
	switch {
	case why == nil && !r.mu.held && s.free > 2*s.floor()+s.reserve():
		r.hold(s)
	case why != nil:
		r.release()
	}
	if why == nil && r.mu.held && s.free > s.floor()+plenty && (s.inodes < 0 || s.inodes > plentyInodes) {
		r.calm.Store(now.Add(calmFor).UnixNano())
	}
	if values {
		return why
	}
	// Without any room a deletion may still find it, in the files that are there.
	return nil
}

// short says what there is too little of. The reserve counts as free, so that to remove it does not look like room.
func (r *room) short(s space) error {
	free, need := s.free, s.floor()
	if !r.mu.held {
		need += s.reserve()
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
func (r *room) hold(s space) {
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
			r.release()
			return
		}
	}
	r.mu.held = true
}

// leave takes what room there is for the reserve when the member is closed: the next start will need it, and until then others
// may take the rest.
func (r *room) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, err := r.look(); err == nil && !r.mu.held && s.free >= s.reserve() {
		r.hold(s)
	}
}

// release removes the reserve.
func (r *room) release() {
	for i := range reserveFiles {
		_ = os.Remove(filepath.Join(r.dir, strconv.Itoa(i)))
	}
	r.mu.held = false
}

// yield is release for those who do not hold the lock.
func (r *room) yield() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release()
}

// probe finds out whether the disk takes a write.
func (r *room) probe() error {
	s, err := r.look()
	if err != nil {
		return err
	}
	if s.readOnly {
		return errors.New("the disk is read-only")
	}
	if s.free < min(walSegment+walSegment/2, s.floor()+s.reserve()/2) {
		return fmt.Errorf("no space left on device: %d MB are free where %s is", s.free>>20, filepath.Dir(r.dir))
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
