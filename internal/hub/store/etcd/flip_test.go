package etcd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"maps"
	"sampan.dev/internal/hub/store"
)

// flips is how many bits are flipped, each in a copy of its own; SAMPAN_FLIPS sets another number.
const flips = 100

// TestBitFlips flips one random bit after the other in the files of a store that was stopped, or that was killed, and opens it.
// Either the start names a file, or what is read is what was written, or it is named as damaged: nothing else is ever shown,
// and nothing is missing without a word.
func TestBitFlips(t *testing.T) {
	n := flips
	if v, err := strconv.Atoi(os.Getenv("SAMPAN_FLIPS")); err == nil {
		n = v
	}
	for _, c := range []struct {
		name string
		stop func(*Store)
	}{
		{"after a stop", func(s *Store) { s.Close() }},
		{"after a crash", func(s *Store) {
			// As the files are when the process is killed: nothing more is written to them.
			s.now.Load().member.fate.fail(errors.New("killed"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := embedded(t, EmbeddedConfig{Dir: dir})
			wrote := writeMuch(t, s)
			files := copyFiles(t, dir)
			if c.name == "after a stop" {
				s.Close()
				files = copyFiles(t, dir)
			}
			flipAll(t, n, files, wrote)
		})
	}
}

// writeMuch makes a store with history: values of all sizes, changed and deleted, some in transactions.
func writeMuch(t *testing.T, s *Store) map[string]store.KV {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	wrote := map[string]store.KV{}
	value := func() []byte {
		b := make([]byte, 100+r.IntN(2000))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	for i := range 400 {
		key := fmt.Sprintf("/registry/things/%d/%03d", i%3, r.IntN(200))
		have, ok := wrote[key]
		v := value()
		var rev int64
		var err error
		switch {
		case ok && i%5 == 0:
			_, err = s.Delete(t.Context(), key, have.Revision)
			delete(wrote, key)
		case ok:
			rev, err = s.Update(t.Context(), key, v, have.Revision, 0)
		default:
			rev, err = s.Create(t.Context(), key, v, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if rev > 0 {
			wrote[key] = store.KV{Key: key, Value: v, Revision: rev}
		}
		if i == 200 {
			if err := s.Compact(t.Context(), have.Revision+100); err != nil && !errors.Is(err, store.ErrFuture) {
				t.Fatal(err)
			}
			s.now.Load().member.srv.Backend().ForceCommit()
		}
	}
	var batch []store.Write
	for i := range 20 {
		batch = append(batch, store.Write{Key: fmt.Sprintf("/registry/things/batch/%d", i), Value: value()})
	}
	if err := s.Apply(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	rev, err := s.Revision(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range batch {
		wrote[w.Key] = store.KV{Key: w.Key, Value: w.Value, Revision: rev}
	}
	return wrote
}

// copyFiles reads the files of a data directory, without the room that is only set aside.
func copyFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".tmp") || strings.Contains(path, "/reserve/") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		out[name] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRevisionFlips flips bits of revisions only, which say when a value was written: in the keys of the database, and in the
// records that they lead to.
func TestRevisionFlips(t *testing.T) {
	dir := t.TempDir()
	s := embedded(t, EmbeddedConfig{Dir: dir})
	wrote := writeMuch(t, s)
	killed := copyFiles(t, dir)
	s.Close()
	for state, files := range map[string]map[string][]byte{"after a crash": killed, "after a stop": copyFiles(t, dir)} {
		const name = "etcd/member/snap/db"
		data := files[name]
		var places []int
		for at := range len(data) - 17 {
			// A key is the revision, a mark, and the change's number in its transaction; a record has the key of the object and then
			// the revisions of its creation and of its last change.
			if data[at+8] == '_' && binary.BigEndian.Uint64(data[at:]) < 1<<16 && binary.BigEndian.Uint64(data[at+9:]) < 1<<8 {
				places = append(places, at, at+1, at+2, at+3, at+4, at+5, at+6, at+7)
			}
			if data[at] == 0x10 && data[at+3] == 0x18 && data[at+6] == 0x20 {
				places = append(places, at+4, at+5)
			}
		}
		r := rand.New(rand.NewPCG(7, 7))
		for range flips {
			at, bit := places[r.IntN(len(places))], r.IntN(8)
			flipOne(t, files, name, at, bit, wrote)
			if t.Failed() {
				t.Fatalf("%s: bit %d of byte %d of %d places", state, bit, at, len(places))
			}
		}
	}
}

func flipAll(t *testing.T, n int, files map[string][]byte, wrote map[string]store.KV) {
	names := []string{"etcd/member/snap/db", "etcd/member/snap/db", "etcd/sums"}
	for name := range files {
		if strings.HasSuffix(name, ".wal") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	outcomes := map[string]int{}
	for i := range n {
		r := rand.New(rand.NewPCG(7, uint64(i)))
		name, at := pick(r, names, files)
		bit := r.IntN(8)
		what := flipOne(t, files, name, at, bit, wrote)
		outcomes[filepath.Base(filepath.Dir(name))+": "+what]++
		if t.Failed() {
			t.Fatalf("flip %d: bit %d of byte %d of %s", i, bit, at, name)
		}
	}
	t.Logf("%v", outcomes)
}

// pick finds a byte in one of the files, in a part that is more than zeros.
func pick(r *rand.Rand, names []string, files map[string][]byte) (name string, at int) {
	const part = 512
	name = names[r.IntN(len(names))]
	for {
		at = r.IntN(len(files[name]))
		around := files[name][at/part*part : min(len(files[name]), (at/part+1)*part)]
		if len(bytes.Trim(around, "\x00")) > 0 {
			return name, at
		}
	}
}

// flipOne opens a copy with one bit flipped and says what came of it.
func flipOne(t *testing.T, files map[string][]byte, name string, at, bit int, wrote map[string]store.KV) string {
	dir := t.TempDir()
	defer os.RemoveAll(dir)
	for file, data := range files {
		if file == name {
			data = bytes.Clone(data)
			data[at] ^= 1 << bit
		}
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.TrimRight(data, "\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Embedded(t.Context(), EmbeddedConfig{Dir: dir, Log: quiet()})
	if err != nil {
		if !strings.Contains(err.Error(), dir) {
			t.Errorf("the start names no file: %v", err)
		}
		return "refused"
	}
	defer s.Close()
	what := "harmless"
	seen := map[string]bool{}
	_, err = s.Scan(t.Context(), "/registry/", func(kvs []store.KV) error {
		for _, kv := range kvs {
			if kv.Err != nil {
				what = "named"
				seen[kv.Key] = true
				continue
			}
			w := wrote[kv.Key]
			if kv.Revision != w.Revision || !bytes.Equal(kv.Value, w.Value) {
				t.Errorf("%s at %d is shown, and is not what was written at %d", kv.Key, kv.Revision, w.Revision)
			}
			seen[kv.Key] = true
		}
		return nil
	})
	if err != nil {
		return "unreadable"
	}
	for key, w := range wrote {
		if !seen[key] {
			t.Errorf("%s at %d is missing, and nobody says so", key, w.Revision)
		}
		kv, _, err := s.Get(t.Context(), key)
		if err == nil && (kv.Revision != w.Revision || !bytes.Equal(kv.Value, w.Value)) {
			t.Errorf("%s at %d is got, and is not what was written at %d", key, kv.Revision, w.Revision)
		}
	}
	return what
}

// TestNotedInNoOrder kills a store while writes that are older than the newest noted one have not been noted: they are what they
// are, and what they deleted has not vanished.
func TestNotedInNoOrder(t *testing.T) {
	dir := t.TempDir()
	s := embedded(t, EmbeddedConfig{Dir: dir})
	wrote := map[string]int64{}
	create := func(key string) {
		rev, err := s.Create(t.Context(), "/registry/things/"+key, []byte(key), 0)
		if err != nil {
			t.Fatal(err)
		}
		wrote["/registry/things/"+key] = rev
	}
	for _, key := range []string{"kept", "changed", "deleted"} {
		create(key)
	}
	s.Close()
	s = embedded(t, EmbeddedConfig{Dir: dir})
	// By a client of etcd's own, so that nobody notes it.
	c := s.now.Load().c
	for _, key := range []string{"changed", "new"} {
		r, err := c.Put(t.Context(), "/registry/things/"+key, "other")
		if err != nil {
			t.Fatal(err)
		}
		wrote["/registry/things/"+key] = r.Header.Revision
	}
	if _, err := c.Delete(t.Context(), "/registry/things/deleted"); err != nil {
		t.Fatal(err)
	}
	delete(wrote, "/registry/things/deleted")
	create("last")
	killed := func() *Store {
		files := copyFiles(t, dir)
		s.Close()
		dir = t.TempDir()
		putFiles(t, dir, files)
		return embedded(t, EmbeddedConfig{Dir: dir})
	}
	look := func() {
		t.Helper()
		left := maps.Clone(wrote)
		for key, rev := range left {
			if kv, _, err := s.Get(t.Context(), key); err != nil || kv.Revision != rev {
				t.Errorf("%s is got at %d, %v; want %d", key, kv.Revision, err, rev)
			}
		}
		if _, err := s.Scan(t.Context(), "/registry/things/", func(kvs []store.KV) error {
			for _, kv := range kvs {
				if kv.Err != nil || left[kv.Key] != kv.Revision {
					t.Errorf("%s is shown at %d, %v; want %d", kv.Key, kv.Revision, kv.Err, left[kv.Key])
				}
				delete(left, kv.Key)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 {
			t.Errorf("not shown: %v", left)
		}
	}
	s = killed()
	look()
	// The next start looks at newer revisions than those.
	for i := range underWay + 10 {
		if _, err := s.Create(t.Context(), fmt.Sprintf("/registry/others/%d", i), []byte("other"), 0); err != nil {
			t.Fatal(err)
		}
	}
	s = killed()
	look()
}

// TestShortenedInNoOrder has the deletion of a key noted before its creation, and the file shortened.
func TestShortenedInNoOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sums")
	s := openSums(path, quiet())
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.file, s.mu.behind = f, []byte(sumMagic)
	s.wrote(2, store.Write{Key: "/registry/things/kept", Value: []byte("kept")})
	s.wrote(4, store.Write{Key: "/registry/things/deleted", Value: nil})
	s.wrote(3, store.Write{Key: "/registry/things/deleted", Value: []byte("short")})
	s.wrote(9, store.Write{Key: "/registry/things/other", Value: []byte("other")})
	s.mu.Lock()
	s.shortenLocked(8)
	s.mu.Unlock()
	s.close(point{})
	s = openSums(path, quiet())
	var missed []string
	for _, kv := range s.missed("/registry/things/") {
		missed = append(missed, kv.Key)
	}
	slices.Sort(missed)
	if want := []string{"/registry/things/kept", "/registry/things/other"}; !slices.Equal(missed, want) {
		t.Errorf("a scan that comes by nothing misses %v, want %v", missed, want)
	}
}

// TestKeyOfOneRevision asks for a key that is not one of those which a transaction wrote, as one with a flipped bit is: where all
// of them are known it is damaged, also after a start and after the file has been shortened.
func TestKeyOfOneRevision(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sums")
	s := openSums(path, quiet())
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.file, s.mu.behind = f, []byte(sumMagic)
	value := []byte("value")
	s.wrote(7, store.Write{Key: "/registry/a", Value: value}, store.Write{Key: "/registry/b"}, store.Write{Key: "/registry/c", Value: value})
	s.wrote(8, store.Write{Key: "/registry/c", Value: value})
	look := func(when string) {
		t.Helper()
		if err, known := s.check("/registry/a", value, 7); err != nil || !known {
			t.Errorf("%s: what was written is %v, known: %v", when, err, known)
		}
		if err, _ := s.check("/regi3try/a", value, 7); err == nil {
			t.Errorf("%s: a key that nobody wrote is taken", when)
		}
	}
	look("at once")
	s.close(point{})
	s = openSums(path, quiet())
	look("after a start")
	if s.mu.file, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.shortenLocked(8) // the last put of revision 7 goes
	s.mu.Unlock()
	s.close(point{})
	s = openSums(path, quiet())
	look("shortened")
}

// TestSomeOfOneRevision writes several keys in one transaction, ends before all of them have been noted, and another time before
// all of them have been scanned by a store that knows nothing: all are what they are.
func TestSomeOfOneRevision(t *testing.T) {
	dir := t.TempDir()
	s := embedded(t, EmbeddedConfig{Dir: dir})
	writes := []store.Write{}
	for i := range 10 {
		writes = append(writes, store.Write{Key: fmt.Sprintf("/registry/things/%d", i), Value: []byte{'a' + byte(i)}})
	}
	if err := s.Apply(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	files := copyFiles(t, dir)
	s.Close()
	var lost bool
	for _, c := range []struct {
		name string
		sums func([]byte) []byte
	}{
		{"all noted", func(b []byte) []byte { return b }},
		{"some noted", func(b []byte) []byte {
			at := bytes.LastIndex(b, []byte("/registry/things/4"))
			lost = at > 0
			return b[:at+len("/registry/things/4")]
		}},
		{"nothing noted", func([]byte) []byte { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			putFiles(t, dir, files)
			path := filepath.Join(dir, "etcd/sums")
			if b := c.sums(files["etcd/sums"]); b == nil {
				os.Remove(path)
			} else if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				s := embedded(t, EmbeddedConfig{Dir: dir})
				for _, prefix := range []string{"/registry/things/3", "/registry/things/"} { // one of them first
					if _, err := s.Scan(t.Context(), prefix, func(kvs []store.KV) error {
						for _, kv := range kvs {
							if kv.Err != nil {
								t.Error(kv.Err)
							}
						}
						return nil
					}); err != nil {
						t.Fatal(err)
					}
				}
				s.Close()
			}
		})
	}
	if !lost {
		t.Error("the file of the checksums does not have the keys in order")
	}
}

// putFiles writes what copyFiles has read.
func putFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
