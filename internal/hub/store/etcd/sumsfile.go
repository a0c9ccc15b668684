package etcd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sampan.dev/internal/hub/store"

	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// rewriteAfter is by how many records the file may exceed what is worth keeping.
const rewriteAfter = 20_000

// settle compares what is known with the database that was opened, and begins to write. The error says that the database lacks
// what was acknowledged.
func (s *sums) settle(m *member) error {
	rev := m.srv.KV().Rev()
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev < s.mu.until {
		return fmt.Errorf("the database is at revision %d, and %d has been acknowledged: files of it are damaged, or older than they should be. "+
			"Restore a snapshot ('sampan etcd restore'); or, to go on with what is there, remove %s", rev, s.mu.until, s.path)
	}
	at := point{rev, int64(m.srv.AppliedIndex())}
	if known := s.mu.base; known != (point{}) && !at.after(known) {
		return fmt.Errorf("the database in %s is at revision %d and was at %d when the log had %d entries less: a revision in it is damaged. "+
			"Restore a snapshot ('sampan etcd restore'); or, to go on with what is there, remove %s",
			filepath.Dir(s.path), rev, known.rev, at.index-known.index, s.path)
	}
	if !s.mu.loose && (!s.mu.ended || rev > s.mu.until) && s.mu.waiting != nil {
		s.mu.loose = !s.catchUpLocked(m)
	}
	if s.mu.loose || s.mu.waiting == nil {
		s.mu.loose, s.mu.learn, s.mu.waiting, s.mu.written = false, true, nil, 0
	}
	s.mu.until = max(s.mu.until, rev)
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if s.mu.learn {
		flags |= os.O_TRUNC
		s.mu.behind = []byte(sumMagic)
	}
	f, err := os.OpenFile(s.path, flags, 0o600)
	if err != nil {
		s.log.Warn("checksums are not kept", "error", err)
		return nil
	}
	s.mu.file = f
	s.pointLocked(m.point())
	return nil
}

// underWay bounds how many writes may have been acknowledged, one after the other, while an earlier one was not noted yet.
const underWay = 1000

// catchUpLocked looks at what was written and is not known of: what was on its way when the last run ended, and what went by
// itself. Writers note what they wrote in no order, so that some of it may be older than the newest revision that is known of. It
// is false when that cannot be told, since it has been compacted. What was deleted is noted in the file: a later start looks at
// newer revisions only, and no scan comes by what is not there.
func (s *sums) catchUpLocked(m *member) bool {
	tx := m.srv.Backend().ConcurrentReadTx()
	tx.RLock()
	defer tx.RUnlock()
	if done, found := mvcc.UnsafeReadScheduledCompact(tx); found && done > s.mu.until {
		return false
	}
	from := mvcc.RevToBytes(mvcc.Revision{Main: max(1, s.mu.until-underWay)}, mvcc.NewRevBytes())
	to := bytes.Repeat([]byte{0xff}, len(from))
	revs, found := tx.UnsafeRange(schema.Key, from, to, 0)
	noted := map[string]bool{} // keys of which the file has an older record
	for i, kv := range found {
		r, ok := recordOf(kv)
		gone, rev := len(revs[i]) == 18, mvcc.BytesToRev(revs[i][:17]).Main // a deletion's record says nothing of its revision
		if !ok || !gone && r.rev != rev {
			continue
		}
		key := string(r.key)
		newest := s.mu.waiting[kindOf(key)][key]
		if rev <= max(newest, -newest) {
			continue
		}
		s.settleLocked(key)
		noted[key] = noted[key] || newest != 0
		if gone && noted[key] {
			s.appendLocked(record(nil, sumDelete, key, rev, 0))
		}
	}
	return true
}

// pass checks what a scan came by, and notes what it did not know. It changes kvs.
func (s *sums) pass(kvs []store.KV) {
	var fresh []byte
	n := 0
	for i := range kvs {
		kv := &kvs[i]
		known, some := true, false
		if kv.Err == nil {
			if kv.Err, known, some = s.checkSome(kv.Key, kv.Value, kv.Revision); kv.Err != nil {
				kv.Value = nil
			}
			kv.Unchecked = !known
		}
		if s.learning() && kv.Err == nil || !known {
			n++
			kind := sumPut
			if some {
				kind |= sumSome
			}
			fresh = record(fresh, kind, kv.Key, kv.Revision, sumOf(kv.Key, kv.Value))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range kvs {
		kv := &kvs[i]
		newest := s.mu.waiting[kindOf(kv.Key)][kv.Key]
		if -newest > kv.Revision && kv.Err == nil {
			kv.Err, kv.Value = damaged(kv.Key, kv.Revision, fmt.Sprintf("it was deleted at revision %d", -newest)), nil
			delete(s.mu.waiting[kindOf(kv.Key)], kv.Key)
			continue
		}
		if newest > kv.Revision && kv.Err == nil {
			kv.Err, kv.Value = damaged(kv.Key, kv.Revision, fmt.Sprintf("revision %d of it has been acknowledged and is not there", newest)), nil
			s.loseLocked(kv.Key, lostKey{newest, true})
			continue
		}
		if l, ok := s.mu.lost[kv.Key]; ok && l.rev > kv.Revision {
			kv.Err, kv.Value = damaged(kv.Key, kv.Revision, fmt.Sprintf("revision %d of it has been acknowledged and is not there", l.rev)), nil
			continue
		}
		s.settleLocked(kv.Key)
		if kv.Unchecked && kv.Err == nil {
			s.addLocked(sum{kv.Revision, hashOf(kv.Key), sumOf(kv.Key, kv.Value), true})
		}
	}
	if n > 0 {
		s.mu.written += n - 1
		s.appendLocked(fresh)
	}
}

func (s *sums) learning() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.learn
}

// missed are the keys under prefix that were there and that a whole scan of it has not come by.
func (s *sums) missed(prefix string) []store.KV {
	s.mu.Lock()
	defer s.mu.Unlock()
	for kind, of := range s.mu.waiting {
		if !strings.HasPrefix(kind, prefix) && !strings.HasPrefix(prefix, kind) {
			continue
		}
		for key, rev := range of {
			if rev > 0 && strings.HasPrefix(key, prefix) {
				s.loseLocked(key, lostKey{rev: rev})
			}
		}
	}
	var out []store.KV
	for key, l := range s.mu.lost {
		if strings.HasPrefix(key, prefix) && !l.stale {
			out = append(out, store.KV{Key: key, Revision: l.rev, Err: damaged(key, l.rev, "it has vanished")})
		}
	}
	return out
}

// loseLocked notes that a revision of key has vanished.
func (s *sums) loseLocked(key string, l lostKey) {
	if s.mu.lost == nil {
		s.mu.lost = map[string]lostKey{}
	}
	s.mu.lost[key] = l
	delete(s.mu.waiting[kindOf(key)], key)
}

// missing says whether key is one that has vanished.
func (s *sums) missing(key string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l, ok := s.mu.lost[key]; ok {
		return damaged(key, l.rev, "it has vanished")
	}
	return nil
}

// shortenLocked puts a file in the place of the old one that has only the newest record of each key, and what is newer than
// the last compaction.
func (s *sums) shortenLocked(compacted int64) {
	data, err := os.ReadFile(s.path)
	if err != nil || s.mu.file == nil {
		return
	}
	type place struct {
		rev int64
		at  int
	}
	whole := map[int64]bool{}    // revisions of which the last put is there
	newest := map[string]place{} // of the record of a key with the highest revision; writers note them in no order
	each := func(fn func(at int, kind byte, key string, rev int64)) {
		for at := len(sumMagic); at+sumHead <= len(data); {
			n := sumHead + int(binary.LittleEndian.Uint16(data[at+4:]))
			if at+n > len(data) {
				break
			}
			fn(at, data[at+6], string(data[at+sumHead:at+n]), int64(binary.LittleEndian.Uint64(data[at+7:])))
			at += n
		}
	}
	each(func(at int, kind byte, key string, rev int64) {
		if kind != sumPoint && rev >= newest[key].rev {
			newest[key] = place{rev, at}
		}
		if kind == sumPut || kind == sumPutTTL {
			whole[rev] = true
		}
	})
	out, n := []byte(sumMagic), 0
	each(func(at int, kind byte, key string, rev int64) {
		if kind != sumUnknown && rev <= compacted && (newest[key].at != at || kind == sumDelete) {
			return // points as well: one newer than the compaction follows
		}
		n++
		if whole[rev] {
			kind &^= sumSome // the last put may not stay
		}
		out = record(out, kind, key, rev, binary.LittleEndian.Uint32(data[at+15:]))
	})
	tmp := s.path + ".new"
	if os.WriteFile(tmp, out, 0o600) != nil || os.Rename(tmp, s.path) != nil {
		os.Remove(tmp)
		return
	}
	if f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
		s.mu.file.Close()
		s.mu.file, s.mu.written = f, n
	}
}
