package etcd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sampan.dev/internal/hub/store"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("sampan-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("a file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all that is left of a file system, as some other program would.
func fill(t *testing.T, dir, name string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// fillInodes takes all the inodes.
func fillInodes(t *testing.T, dir, name string) (free func()) {
	t.Helper()
	sub := filepath.Join(dir, name)
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(sub, fmt.Sprint(i)))
		if err != nil {
			break
		}
		f.Close()
	}
	return func() {
		if err := os.RemoveAll(sub); err != nil {
			t.Error(err)
		}
	}
}

// TestDiskFull lets another program take the rest of the disk. Values are refused with the reason; deletions, vital writes and
func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		name, options string
		fill          func(*testing.T, string, string) func()
	}{
		{"no space", "size=160m", fill},
		{"no inodes", "size=160m,nr_inodes=300", fillInodes},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := smallDisk(t, c.options)
			s := embedded(t, EmbeddedConfig{Dir: dir})
			w := watchAll(t, s)
			revs := map[string]int64{}
			for i := range 200 {
				key := fmt.Sprintf("/registry/k/%03d", i)
				rev, err := s.Create(t.Context(), key, make([]byte, 2000), 0)
				if err != nil {
					t.Fatal(err)
				}
				revs[key] = rev
			}
			free := c.fill(t, dir, "other")
			full := func() {
				t.Helper()
				if _, err := s.Create(t.Context(), "/registry/k/more", make([]byte, 2000), 0); !errors.Is(err, store.ErrFull) {
					t.Errorf("a value on the full disk: %v", err)
				}
				if err := s.Writable(); !errors.Is(err, store.ErrFull) {
					t.Errorf("the store says that it takes values: %v", err)
				}
			}
			full()
			for i := range 100 {
				key := fmt.Sprintf("/registry/k/%03d", i)
				if _, err := s.Delete(t.Context(), key, revs[key]); err != nil {
					t.Fatalf("delete %d on the full disk: %v", i, err)
				}
			}
			rev, err := s.Update(store.Vital(t.Context()), "/registry/k/150", []byte("marked"), revs["/registry/k/150"], 0)
			if err != nil {
				t.Errorf("a vital write: %v", err)
			}
			full()
			t.Logf("%d bytes, %d inodes are left", left(t, dir).Bavail*uint64(left(t, dir).Bsize), left(t, dir).Ffree)
			w.compare(t, s)
			if err := s.Healthy(); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = embedded(t, EmbeddedConfig{Dir: dir})
			if kv, _, err := s.Get(t.Context(), "/registry/k/150"); err != nil || kv.Revision != rev {
				t.Errorf("after a start on the full disk: %+v, %v", kv, err)
			}
			full()
			free()
			limit := time.Now().Add(time.Minute)
			for {
				if _, err = s.Create(t.Context(), "/registry/k/more", make([]byte, 2000), 0); err == nil || time.Now().After(limit) {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if err != nil {
			}
		})
	}
}

// TestDiskFullAgain has another program take what the reserve gives as well, so that etcd finds no room for what it has
// acknowledged and fails. It is opened again with nothing freed; deletions and reads go on, and all that was acknowledged is there.
func TestDiskFullAgain(t *testing.T) {
	dir := smallDisk(t, "size=160m")
	s := embedded(t, EmbeddedConfig{Dir: dir})
	w := watchAll(t, s)
	revs := map[string]int64{}
	for i := range 200 {
		key := fmt.Sprintf("/registry/k/%03d", i)
		rev, err := s.Create(t.Context(), key, make([]byte, 2000), 0)
		if err != nil {
			t.Fatal(err)
		}
		revs[key] = rev
	}
	for _, name := range []string{"other", "another"} {
		fill(t, dir, name)
		if _, err := s.Create(t.Context(), "/registry/k/more", make([]byte, 2000), 0); !errors.Is(err, store.ErrFull) {
			t.Fatalf("a value on the full disk: %v", err)
		}
	}
	failing := s.now.Load()
	for i := 0; failing.err() == nil; i++ {
		if i == 200 {
			t.Fatal("etcd has found room for 200 values on a full disk")
		}
		rev, err := s.Update(store.Vital(t.Context()), "/registry/k/150", make([]byte, 50_000), revs["/registry/k/150"], 0)
		if err != nil {
			break
		}
		revs["/registry/k/150"] = rev
		failing.member.srv.Backend().ForceCommit()
	}
	awaitNext(t, s, failing)
	for i := range 100 {
		key := fmt.Sprintf("/registry/k/%03d", i)
		if _, err := s.Delete(t.Context(), key, revs[key]); err != nil {
			t.Fatalf("delete %d after the failure: %v", i, err)
		}
		delete(revs, key)
	}
	for key, rev := range revs {
		if kv, _, err := s.Get(t.Context(), key); err != nil || kv.Revision < rev {
			t.Errorf("%s was acknowledged at %d: %+v, %v", key, rev, kv, err)
		}
	}
	w.compare(t, s)
}

// TestQuota fills the database up to its quota. Values are refused while that much is in use; reads, deletions and a start
// work; and what was deleted makes room by itself.
func TestQuota(t *testing.T) {
	dir := t.TempDir()
	const quota = 8 << 20
	open := func() *Store { return embedded(t, EmbeddedConfig{Dir: dir, Quota: quota}) }
	s := open()
	value := make([]byte, 256<<10)
	revs := map[string]int64{}
	var err error
	for i := 0; err == nil; i++ {
		key := fmt.Sprintf("/registry/k/%03d", i)
		var rev int64
		if rev, err = s.Create(t.Context(), key, value, 0); err == nil {
			revs[key] = rev
		}
		if i > quota/len(value) {
			t.Fatalf("%d values of %d bytes are more than a quota of %d", i, len(value), quota)
		}
		s.now.Load().member.srv.Backend().ForceCommit() // which is when etcd counts
	}
	if !errors.Is(err, store.ErrFull) || len(revs) < 16 {
		t.Fatalf("%d values: %v", len(revs), err)
	}
	if !s.keeper.tend.warned.Load() {
		t.Error("nobody was warned")
	}
	s.Close()
	s = open()
	for i := range 3 { // it may just fit once more
		if _, err = s.Create(t.Context(), fmt.Sprintf("/registry/k/more-%d", i), value, 0); err != nil {
			break
		}
		s.now.Load().member.srv.Backend().ForceCommit()
	}
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("after a start: %v", err)
	}
	for key, rev := range revs {
		if _, err := s.Delete(t.Context(), key, rev); err != nil {
			t.Fatal(err)
		}
	}
	limit := time.Now().Add(time.Minute)
	for {
		if _, err = s.Create(t.Context(), "/registry/k/again", value, 0); err == nil || time.Now().After(limit) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("with all deleted: %v", err)
	}
}

// TestAlarm opens a directory in which etcd's alarm was raised, as an etcd with a smaller quota has left it.
func TestAlarm(t *testing.T) {
	dir := t.TempDir()
	s := embedded(t, EmbeddedConfig{Dir: dir})
	if _, err := s.Create(t.Context(), "/registry/a", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	raiseAlarm(t, s)
	if _, err := s.Create(t.Context(), "/registry/b", []byte("1"), 0); err != nil && !errors.Is(err, store.ErrFull) {
		t.Errorf("under the alarm: %v", err)
	}
	limit := time.Now().Add(time.Minute)
	for _, err := s.Create(t.Context(), "/registry/c", []byte("1"), 0); err != nil; _, err = s.Create(t.Context(), "/registry/c", []byte("1"), 0) {
		if time.Now().After(limit) {
			t.Fatalf("the alarm is not disarmed: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	raiseAlarm(t, s)
	s.Close()
	s = embedded(t, EmbeddedConfig{Dir: dir})
	if _, err := s.Create(t.Context(), "/registry/d", []byte("1"), 0); err != nil {
		t.Errorf("after a start under the alarm: %v", err)
	}
}

func raiseAlarm(t *testing.T, s *Store) {
	t.Helper()
	srv := s.now.Load().member.srv
	_, err := srv.Alarm(t.Context(), &pb.AlarmRequest{
		MemberID: uint64(srv.MemberID()), Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func left(t *testing.T, dir string) unix.Statfs_t {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st
}
