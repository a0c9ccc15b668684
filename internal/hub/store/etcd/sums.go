package etcd

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"sampan.dev/internal/hub/store"
)

// sums are checksums of what this process, and those before it, have written: a flipped bit in the database is then found and
// not served. They stand beside the database, in a file of their own, so that keys, values and what another etcd makes of them
// stay as they are. What they do not know, such as what another etcd has written meanwhile, is taken for good and learned.
//
// The file is a log of records that check themselves. It is written after each acknowledged write and never synced: whatever
// it lacks after a crash is learned anew, and damage to it costs the checks and no data. It also knows which keys there are,
// so that one that has vanished is missed, and the newest revision that was acknowledged, so that a log that lost its end
// is not taken for whole.
type sums struct {
	path string
	log  *slog.Logger

	mu struct {
		sync.RWMutex
		recs    []sum // by revision
		until   int64 // newest revision that is known of
		base    point // of the log, lately
		ended   bool  // the last run ended in order, and noted all
		loose   bool  // something was written of which it is not known what
		file    *os.File
		behind  []byte // what the file did not take yet
		written int    // records in the file
		learn   bool   // the file begins anew: what scans come by goes into it, known or not
		// waiting are keys that were there at the last stop and that no scan has come by yet, by their kind, with the newest
		// revision, which is negative when they were deleted; lost are those that a scan has missed.
		waiting map[string]map[string]int64
		lost    map[string]lostKey
	}
}

// lostKey is a revision that has vanished; when stale, an older one of the key is there.
type lostKey struct {
	rev   int64
	stale bool
}

// sum is the checksum of one value. Several that one transaction wrote share a revision; some says that there may be others of
// this revision which are not known, since only some of them were noted or scanned when everything ended. Either all that are
// known of a revision say so, or none.
type sum struct {
	rev  int64
	key  uint64 // hash
	sum  uint32
	some bool
}

// Kinds of record.
const (
	sumPut     byte = iota // key has a value since rev
	sumPutTTL              // the same, and it may go by itself
	sumDelete              // key is gone since rev
	sumUnknown             // something has been written, not known what
	sumEnd                 // rev is the newest at a clean stop
	sumPoint               // rev was the newest when the log had come to the index that stands in the place of the key

	// sumSome is added to a put that is not the last of its revision in the file, or when others may not be known: where the last
	// follows, all are there.
	sumSome byte = 1 << 4
)

// point is how far the log of the member had come when the database was at a revision. Each entry of the log makes one revision
// at most, so that the database cannot have gained more revisions than the log has gained entries, whoever wrote them.
type point struct{ rev, index int64 }

// applying bounds the entries that may be counted in a revision and not yet in the index.
const applying = 16

// after reports whether a database can have come from p to q.
func (q point) after(p point) bool { return q.rev-p.rev <= q.index-p.index+applying }

const (
	sumHead  = 4 + 2 + 1 + 8 + 4
	sumMagic = "sampan sums 1\n"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	ecma       = crc64.MakeTable(crc64.ECMA)
)

func hashOf(key string) uint64 { return crc64.Checksum([]byte(key), ecma) }

// sumOf is over the value and then the key, so that neither can be another's.
func sumOf(key string, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(value, castagnoli), castagnoli, []byte(key))
}

// openSums reads the file, if there is one.
func openSums(path string, log *slog.Logger) *sums {
	s := &sums{path: path, log: log}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s
	case err != nil:
		log.Warn("the checksums cannot be read, and are made anew", "error", err)
		return s
	}
	if err := s.parse(data); err != nil {
		log.Warn("the file of the checksums is damaged, and is made anew", "file", path, "error", err)
		*s = sums{path: path, log: log}
	}
	return s
}

// parse takes the records of a file. One that is cut short at the end was being written when everything ended.
func (s *sums) parse(data []byte) error {
	rest, ok := bytes.CutPrefix(data, []byte(sumMagic))
	if !ok {
		return errors.New("it does not begin as it should")
	}
	s.mu.waiting = map[string]map[string]int64{}
	for len(rest) >= sumHead {
		n := sumHead + int(binary.LittleEndian.Uint16(rest[4:]))
		if n > len(rest) {
			break
		}
		if crc32.Checksum(rest[4:n], castagnoli) != binary.LittleEndian.Uint32(rest) {
			return fmt.Errorf("the record at byte %d", len(data)-len(rest))
		}
		s.take(rest[6], string(rest[sumHead:n]), int64(binary.LittleEndian.Uint64(rest[7:])), binary.LittleEndian.Uint32(rest[15:]))
		s.mu.written++
		rest = rest[n:]
	}
	if !slices.IsSortedFunc(s.mu.recs, byRevision) {
		slices.SortStableFunc(s.mu.recs, byRevision)
	}
	s.wholeRevisions()
	return nil
}

// wholeRevisions finds the revisions of which the last put is there.
func (s *sums) wholeRevisions() {
	for from := 0; from < len(s.mu.recs); {
		to, whole := from, false
		for ; to < len(s.mu.recs) && s.mu.recs[to].rev == s.mu.recs[from].rev; to++ {
			whole = whole || !s.mu.recs[to].some
		}
		for ; from < to; from++ {
			s.mu.recs[from].some = !whole
		}
	}
}

func byRevision(a, b sum) int { return cmp.Compare(a.rev, b.rev) }

// take applies one record of the file.
func (s *sums) take(kind byte, key string, rev int64, crc uint32) {
	some := kind&sumSome != 0
	kind &^= sumSome
	s.mu.until = max(s.mu.until, rev)
	s.mu.ended = kind == sumEnd
	switch kind {
	case sumPut, sumPutTTL:
		s.mu.recs = append(s.mu.recs, sum{rev, hashOf(key), crc, some})
		of := s.mu.waiting[kindOf(key)]
		if of == nil {
			of = map[string]int64{}
			s.mu.waiting[kindOf(key)] = of
		}
		switch {
		case rev < max(of[key], -of[key]):
		case kind == sumPut:
			of[key] = rev
		default:
			delete(of, key)
		}
	case sumDelete:
		if of := s.mu.waiting[kindOf(key)]; of != nil && rev >= of[key] {
			of[key] = -rev
		}
	case sumUnknown:
		s.mu.loose = true
	case sumPoint:
		if len(key) == 8 {
			s.mu.base = point{rev, int64(binary.LittleEndian.Uint64([]byte(key)))}
		}
	}
}

// pointLocked notes where the log and the database are.
func (s *sums) pointLocked(p point) {
	s.mu.base = p
	s.appendLocked(record(nil, sumPoint, string(binary.LittleEndian.AppendUint64(nil, uint64(p.index))), p.rev, 0))
}

// kindOf is the part of a key that keys of other kinds do not have: "/registry/services/".
func kindOf(key string) string {
	rest := strings.TrimPrefix(key, root+"/")
	kind, _, _ := strings.Cut(rest, "/")
	return key[:len(key)-len(rest)+len(kind)]
}

// settleLocked stops the wait for a key.
func (s *sums) settleLocked(key string) {
	delete(s.mu.waiting[kindOf(key)], key)
	delete(s.mu.lost, key)
}

func record(to []byte, kind byte, key string, rev int64, crc uint32) []byte {
	at := len(to)
	to = append(to, 0, 0, 0, 0)
	to = binary.LittleEndian.AppendUint16(to, uint16(len(key)))
	to = append(to, kind)
	to = binary.LittleEndian.AppendUint64(to, uint64(rev))
	to = binary.LittleEndian.AppendUint32(to, crc)
	to = append(to, key...)
	binary.LittleEndian.PutUint32(to[at:], crc32.Checksum(to[at+4:], castagnoli))
	return to
}

// wrote notes what one transaction wrote at rev.
func (s *sums) wrote(rev int64, writes ...store.Write) {
	last := len(writes) - 1 // put
	for last >= 0 && writes[last].Value == nil {
		last--
	}
	var noted []byte
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range writes {
		kind, crc := sumDelete, uint32(0)
		if w.Value != nil {
			kind, crc = sumPut, sumOf(w.Key, w.Value)
			if w.TTLSeconds > 0 {
				kind = sumPutTTL
			}
			if i < last {
				kind |= sumSome
			}
			s.addLocked(sum{rev, hashOf(w.Key), crc, false})
		}
		s.settleLocked(w.Key)
		noted = record(noted, kind, w.Key, rev, crc)
	}
	s.mu.until = max(s.mu.until, rev)
	s.mu.written += len(writes) - 1
	s.appendLocked(noted)
}

// addLocked keeps the order; most are the newest.
func (s *sums) addLocked(r sum) {
	i := len(s.mu.recs)
	for i > 0 && s.mu.recs[i-1].rev > r.rev {
		i--
	}
	s.mu.recs = slices.Insert(s.mu.recs, i, r)
}

// unsure notes that something may have been written.
func (s *sums) unsure() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.loose {
		s.mu.loose = true
		s.appendLocked(record(nil, sumUnknown, "", 0, 0))
	}
}

// appendLocked writes records to the file; what it does not take now it may take later.
func (s *sums) appendLocked(b []byte) {
	s.mu.behind = append(s.mu.behind, b...)
	s.mu.written++
	if s.mu.file == nil || len(s.mu.behind) == 0 {
		return
	}
	n, err := s.mu.file.Write(s.mu.behind)
	if s.mu.behind = s.mu.behind[:copy(s.mu.behind, s.mu.behind[n:])]; err == nil {
		s.mu.behind = s.mu.behind[:0]
	}
}

// check says whether value is what was written to key at rev. It is nil for what is not known.
func (s *sums) check(key string, value []byte, rev int64) (err error, known bool) {
	err, known, _ = s.checkSome(key, value, rev)
	return err, known
}

// checkSome is check, and says whether there are other keys of that revision, or may be.
func (s *sums) checkSome(key string, value []byte, rev int64) (err error, known, some bool) {
	crc := sumOf(key, value)
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, found := slices.BinarySearchFunc(s.mu.recs, rev, func(r sum, rev int64) int { return cmp.Compare(r.rev, rev) })
	if !found {
		return nil, false, true
	}
	hash, others := hashOf(key), true
	several := i+1 < len(s.mu.recs) && s.mu.recs[i+1].rev == rev
	for ; i < len(s.mu.recs) && s.mu.recs[i].rev == rev; i++ {
		r := s.mu.recs[i]
		if r.sum == crc {
			return nil, true, r.some || several
		}
		others = others && r.some && r.key != hash
	}
	if others {
		return nil, false, true
	}
	return damaged(key, rev, "its checksum is not that of what was written"), true, false
}

// current says why rev, which is not known of, cannot be the newest revision of key in a database that is at revision now.
func (s *sums) current(key string, rev, now int64) error {
	if rev > now {
		return damaged(key, rev, fmt.Sprintf("the database is at %d", now))
	}
	hash := hashOf(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := len(s.mu.recs) - 1; i >= 0 && s.mu.recs[i].rev > rev; i-- { // all when much is unknown; what is known is not looked for
		if r := s.mu.recs[i]; r.key == hash && r.rev <= now {
			return damaged(key, rev, fmt.Sprintf("revision %d of it has been acknowledged and is not there", r.rev))
		}
	}
	return nil
}

func damaged(key string, rev int64, how string) error {
	return fmt.Errorf("%s at revision %d: %w: %s", key, rev, store.ErrDamaged, how)
}

// prune forgets what no revision from compacted on can show: all but the newest of each key before it. at is where the member is.
func (s *sums) prune(compacted int64, at point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[uint64]int64, len(s.mu.recs)) // the next newer revision of a key
	kept := len(s.mu.recs)
	for i := len(s.mu.recs) - 1; i >= 0; i-- {
		r := s.mu.recs[i]
		newer, ok := seen[r.key]
		seen[r.key] = r.rev
		if ok && newer <= compacted {
			continue
		}
		kept--
		s.mu.recs[kept] = r
	}
	s.mu.recs = slices.Clip(slices.Delete(s.mu.recs, 0, kept))
	s.pointLocked(at)
	if s.mu.written > 2*len(s.mu.recs)+rewriteAfter {
		s.shortenLocked(compacted)
	}
}

// close notes where a clean stop was.
func (s *sums) close(at point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev := at.rev; rev > 0 {
		s.pointLocked(at)
		s.appendLocked(record(nil, sumEnd, "", rev, 0))
	}
	if s.mu.file != nil {
		s.mu.file.Close()
		s.mu.file = nil
	}
}
