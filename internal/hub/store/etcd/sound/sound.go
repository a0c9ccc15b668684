package sound

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// MaxRequest is the size of a request that etcd takes at most, in bytes.
const MaxRequest = 1536 * 1024

// How large a key and a value of the database are at most: a revision with a mark, and a request with what goes around it.
const (
	mostKey   = 4096 // of a lease's or a member's record; a revision's is much shorter
	mostValue = 2 * MaxRequest
)

// lockedIn is how long another process may hold the database, as one that is just ending does.
const lockedIn = 3 * time.Second

// Check looks through the structure of the database (go.etcd.io/bbolt's, which is that of its documentation) before etcd opens
// it. bbolt does so too, in goroutines of its own, where what it finds ends the process with a trace.
func Check(dir string, log *slog.Logger) (err error) {
	path := filepath.Join(dir, "member/snap/db")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if logs, _ := filepath.Glob(filepath.Join(dir, "member/wal/*.wal")); len(logs) > 0 {
			return unsound(path, errors.New("it is missing, and there is a log"))
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := free(f, path); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	defer unix.Munmap(data)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file that is shorter than it was a moment ago, a sector that cannot be read
	defer func() {
		if p := recover(); p != nil {
			err = unsound(path, fmt.Errorf("%v", p))
		}
	}()
	begun := time.Now()
	if err := walkDatabase(data); err != nil {
		return unsound(path, err)
	}
	log.Debug("the database is sound", "took", time.Since(begun))
	return nil
}

func unsound(path string, err error) error {
	return fmt.Errorf("%s is damaged: %w. Restore a snapshot into an empty directory ('sampan etcd restore')", path, err)
}

// free waits until no other process has the database, which etcd would do for ever.
func free(f *os.File, path string) error {
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			return unix.Flock(int(f.Fd()), unix.LOCK_UN)
		}
		if time.Since(begun) > lockedIn {
			return fmt.Errorf("%s is in use by another process", path)
		}
	}
}

// The layout of a bbolt file. All numbers are little-endian.
const (
	pageHead   = 16 // id 8, flags 2, count 2, overflow 4
	branchPage = 1
	leafPage   = 2
	metaPage   = 4
	element    = 16 // a branch's: position 4, key size 4, page 8; a leaf's: flags 4, position 4, key size 4, value size 4
	subBucket  = 1  // flag of a leaf's element whose value is a bucket
	bucketHead = 16 // root 8, sequence 8
	metaSize   = 64
	metaMagic  = 0xED0CDAED
	deepest    = 64
)

var le = binary.LittleEndian

// walk is one look through the pages of a database.
type walk struct {
	data   []byte
	size   uint64 // of a page
	end    uint64 // page after the last one that is in use
	walked []bool // by page
	values bool   // the bucket is that of the values, whose keys are revisions
}

func walkDatabase(data []byte) error {
	w := walk{data: data}
	root, err := w.meta()
	if err != nil {
		return err
	}
	w.walked = make([]bool, w.end)
	return w.page(root, nil, nil, 0)
}

// meta finds the newest of the two places that say where the tree begins, as bbolt does.
func (w *walk) meta() (root uint64, err error) {
	var newest uint64
	// The second lies behind a page whose size only a good first one tells.
	sizes := []uint64{4096, 8192, 16384, 32768, 65536}
	for _, at := range append([]uint64{0}, sizes...) {
		if at+pageHead+metaSize > uint64(len(w.data)) {
			continue
		}
		m := w.data[at+pageHead:][:metaSize]
		sum := fnv.New64a()
		sum.Write(m[:metaSize-8])
		size, tx := uint64(le.Uint32(m[8:])), le.Uint64(m[48:])
		if le.Uint32(m) != metaMagic || le.Uint64(m[56:]) != sum.Sum64() || at != 0 && at != size || tx < newest {
			continue
		}
		newest, w.size, root, w.end = tx, size, le.Uint64(m[16:]), le.Uint64(m[40:])
	}
	switch {
	case w.size == 0:
		return 0, errors.New("neither of its first two pages says where the data begins")
	case w.end*w.size > uint64(len(w.data)):
		return 0, fmt.Errorf("it has %d bytes and should have %d", len(w.data), w.end*w.size)
	}
	return root, nil
}

// page looks at a page and all below it, whose keys must be from low on and below high (nil: no bound).
func (w *walk) page(id uint64, low, high []byte, depth int) error {
	if id < 2 || id >= w.end || depth > deepest {
		return fmt.Errorf("page %d cannot be one of a tree", id)
	}
	head := w.data[id*w.size:]
	overflow := uint64(le.Uint32(head[12:]))
	if le.Uint64(head) != id || id+overflow >= w.end {
		return fmt.Errorf("page %d says that it is page %d of %d", id, le.Uint64(head), overflow+1)
	}
	for i := id; i <= id+overflow; i++ {
		if w.walked[i] {
			return fmt.Errorf("page %d is in use twice", i)
		}
		w.walked[i] = true
	}
	return w.elements(id, head[:(overflow+1)*w.size], low, high, depth)
}

// elements looks at what a page, or a bucket within a page, holds.
func (w *walk) elements(id uint64, page, low, high []byte, depth int) error {
	flags, count := le.Uint16(page[8:]), int(le.Uint16(page[10:]))
	if flags != leafPage && flags != branchPage || pageHead+count*element > len(page) || flags == branchPage && count == 0 {
		return fmt.Errorf("page %d has %d elements of kind %d", id, count, flags)
	}
	key := func(i int) ([]byte, error) { return elementKey(id, page, flags, i) }
	for i := range count {
		k, err := key(i)
		if err != nil {
			return err
		}
		if i == 0 && low != nil && bytes.Compare(k, low) < 0 || i > 0 && bytes.Compare(k, low) <= 0 || high != nil && bytes.Compare(k, high) >= 0 {
			return fmt.Errorf("page %d has its keys in no order", id)
		}
		low = k
		e := page[pageHead+i*element:]
		switch {
		case flags == branchPage:
			next := high
			if i+1 < count {
				if next, err = key(i + 1); err != nil {
					return err
				}
			}
			err = w.page(le.Uint64(e[8:]), k, next, depth+1)
		case le.Uint32(e) == subBucket:
			at := int(le.Uint32(e[4:])) + len(k)
			w.values = string(k) == ValueBucket
			err = w.bucket(id, e[at:][:le.Uint32(e[12:])], depth)
			w.values = false
		case w.values && !IsRevision(k):
			err = fmt.Errorf("page %d has a record whose key is no revision", id)
		case le.Uint32(e) != 0:
			err = fmt.Errorf("page %d has an element of kind %d", id, le.Uint32(e))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ValueBucket is the bucket that holds what was written, by revision.
const ValueBucket = "key"

// IsRevision says whether a key is a revision as etcd writes it: two numbers with a mark between, and one behind a deletion.
func IsRevision(k []byte) bool {
	return (len(k) == 17 || len(k) == 18 && k[17] == 't') && k[8] == '_'
}

// elementKey is the key of element i, which must lie in the page, as its value must.
func elementKey(id uint64, page []byte, flags uint16, i int) ([]byte, error) {
	at := pageHead + i*element
	e := page[at:]
	pos, size, value := int(le.Uint32(e)), int(le.Uint32(e[4:])), 0
	if flags == leafPage {
		pos, size, value = int(le.Uint32(e[4:])), int(le.Uint32(e[8:])), int(le.Uint32(e[12:]))
	}
	if size > mostKey || value > mostValue || at+pos+size+value > len(page) {
		return nil, fmt.Errorf("page %d has an element that is not in it", id)
	}
	return page[at+pos:][:size], nil
}

// bucket looks at a bucket, whose pages are its own or, when it is small, lie in its value.
func (w *walk) bucket(id uint64, value []byte, depth int) error {
	if len(value) < bucketHead {
		return fmt.Errorf("page %d has a bucket of %d bytes", id, len(value))
	}
	if root := le.Uint64(value); root != 0 {
		return w.page(root, nil, nil, depth+1)
	}
	if len(value) < bucketHead+pageHead {
		return fmt.Errorf("page %d has a bucket of %d bytes", id, len(value))
	}
	return w.elements(id, value[bucketHead:], nil, nil, depth+1)
}
