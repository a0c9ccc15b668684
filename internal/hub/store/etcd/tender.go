package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// tender keeps the database within its quota. etcd by itself raises an alarm when the file has grown to the quota, and from
// then on takes no value from anybody until a person has compacted, defragmented and disarmed it. Here values are refused
// while what is in use is over the quota; what is free inside the file is used again; and etcd's own quota is a little
// higher, so that its alarm is for the rest: for what was raised elsewhere, and for other clients.
type tender struct {
	k       *keeper
	quota   int64
	warned  atomic.Bool
	refused atomic.Bool

	mu struct {
		sync.Mutex
		busy      bool
		compacted int64 // revision of the last compaction for want of room
	}
}

const (
	defaultQuota = 8 << 30
	// above is how much etcd's quota exceeds ours, for writes that must not be refused.
	above = 64 << 20
	// warnShare is from which part of the quota on somebody should know, in percent.
	warnShare = 80
	// A file of which more than wasteShare percent are free, and at least wasteLeast bytes, is made smaller when it comes near
	// the quota.
	wasteShare = 25
	wasteLeast = 1 << 20
	tendIn     = 5 * time.Minute
)

func (cfg EmbeddedConfig) quota() int64 {
	if cfg.Quota > 0 {
		return cfg.Quota
	}
	return defaultQuota
}

// hardQuota is etcd's own. A file that is larger already has none of ours to blame.
func hardQuota(quota int64, dir string) int64 {
	if st, err := os.Stat(filepath.Join(dir, "member/snap/db")); err == nil {
		quota = max(quota, st.Size())
	}
	return quota + above + quota/8
}

func newTender(k *keeper) *tender { return &tender{k: k, quota: k.cfg.quota()} }

// usage is how large the file is, and how much of it is in use.
func usage(ses *session) (size, inUse int64) {
	be := ses.member.srv.Backend()
	return be.Size(), be.SizeInUse()
}

// begin disarms what a member that was opened found armed.
func (t *tender) begin(ctx context.Context) {
	ses := t.k.s.now.Load()
	if len(ses.member.srv.Alarms()) == 0 {
		return
	}
	t.tend(ctx, ses)
}

// admit says why values of size bytes in all would be too much.
func (t *tender) admit(ses *session, size int64) error {
	file, inUse := usage(ses)
	switch {
	case inUse+size > t.quota:
		t.wake(ses)
		if t.refused.CompareAndSwap(false, true) {
			t.k.log.Error("the database is full: values are refused, deletions and reads go on", "in_use_bytes", inUse, "quota_bytes", t.quota)
		}
		return fmt.Errorf("etcdserver: mvcc: database space exceeded: %d MB of %d MB are in use; delete what is not needed, or raise --quota-backend-bytes", inUse>>20, t.quota>>20)
	case file > t.quota && wasteful(file, inUse), len(ses.member.srv.Alarms()) > 0:
		t.wake(ses)
	}
	if t.refused.Load() && t.refused.CompareAndSwap(true, false) {
		t.k.log.Warn("the database has room again", "in_use_bytes", inUse, "quota_bytes", t.quota)
	}
	if near := inUse >= t.quota/100*warnShare; near != t.warned.Load() && t.warned.CompareAndSwap(!near, near) && near {
		t.k.log.Warn("the database is nearly full", "in_use_bytes", inUse, "size_bytes", file, "quota_bytes", t.quota, "share_percent", inUse*100/t.quota)
	}
	return nil
}

func wasteful(file, inUse int64) bool {
	free := file - inUse
	return free > wasteLeast && free > file/100*wasteShare
}

// wake has somebody look for room, unless somebody does so already.
func (t *tender) wake(ses *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.busy || t.k.closed() {
		return
	}
	rev, ok := ses.member.revision()
	file, inUse := usage(ses)
	if !ok || rev == t.mu.compacted && !wasteful(file, inUse) && len(ses.member.srv.Alarms()) == 0 {
		return // there is nothing to be gained since the last time
	}
	t.mu.busy = true
	t.k.wg.Go(func() {
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.mu.busy = false
		}()
		t.tend(t.k.over, ses)
	})
}

// tend forgets history, gives back what is free in the file and disarms etcd's alarm when that has helped.
func (t *tender) tend(ctx context.Context, ses *session) {
	ctx, cancel := context.WithTimeout(ctx, tendIn)
	defer cancel()
	rev, ok := ses.member.revision()
	if !ok {
		return
	}
	log := t.k.log
	t.mu.Lock()
	known := rev == t.mu.compacted
	t.mu.compacted = rev
	t.mu.Unlock()
	if !known {
		if _, err := ses.c.Compact(ctx, rev, clientv3.WithCompactPhysical()); err != nil {
			log.Debug("compaction for want of room", "error", err)
		}
		ses.member.srv.Backend().ForceCommit()
	}
	file, inUse := usage(ses)
	if wasteful(file, inUse) {
		begun := time.Now()
		if err := t.defragment(ses); err != nil {
			log.Warn("the database cannot be defragmented", "error", err)
		} else {
			now, _ := usage(ses)
			log.Info("the database has been defragmented", "before_bytes", file, "after_bytes", now, "took", time.Since(begun))
		}
	}
	if len(ses.member.srv.Alarms()) == 0 {
		return
	}
	for _, a := range ses.member.srv.Alarms() {
		if a.GetAlarm() != pb.AlarmType_NOSPACE {
			continue
		}
		if _, err := ses.c.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			log.Warn("etcd's alarm cannot be disarmed", "alarm", a.GetAlarm().String(), "error", err)
			continue
		}
		log.Info("etcd's alarm has been disarmed", "alarm", a.GetAlarm().String())
	}
}

// defragment copies the database to a smaller file, which needs as much room as is in use.
func (t *tender) defragment(ses *session) error {
	s, err := t.k.room.Look()
	if err != nil {
		return err
	}
	_, inUse := usage(ses)
	if !s.Fits(inUse) {
		return fmt.Errorf("a copy of %d MB needs more than the %d MB that are free", inUse>>20, s.Free>>20)
	}
	if err := ses.member.srv.Defragment(); err != nil {
		return err
	}
	if err := ses.err(); err != nil {
		return errors.Join(err)
	}
	return nil
}
