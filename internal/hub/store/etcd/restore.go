package etcd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sampan.dev/internal/hub/store/etcd/sound"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// bump is how far the revisions of a restored database begin above those of the snapshot, etcd's advice: whoever has seen a
// revision of the time since must not see it again with other content.
const bump = 1_000_000_000

// Restore makes the member's directory below dir, which must be empty or missing, of a snapshot, and returns the revision that
// it begins at. What had been watched before is compacted, so that every client lists anew.
func Restore(file, dir string) (revision int64, err error) {
	own := filepath.Join(dir, "etcd")
	if entries, err := os.ReadDir(own); err == nil && len(entries) > 0 {
		return 0, fmt.Errorf("restore: %s is not empty; move it away first", own)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("restore: %w", err)
	}
	from, err := os.Open(file)
	if err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	defer from.Close()
	size, err := checkSnapshot(from)
	if err != nil {
		return 0, fmt.Errorf("restore: %s: %w", file, err)
	}
	// Beside the place, and moved there when all of it is made.
	part := own + ".restoring"
	if err := os.RemoveAll(part); err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	defer os.RemoveAll(part)
	snap := filepath.Join(part, "member/snap")
	if err := os.MkdirAll(snap, 0o700); err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	if err := copyDatabase(io.NewSectionReader(from, 0, size), filepath.Join(snap, "db")); err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	if revision, err = beginAnew(filepath.Join(snap, "db")); err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	if err := os.Remove(own); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("restore: %w", err)
	}
	if err := os.Rename(part, own); err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	return revision, syncDir(dir)
}

func copyDatabase(from io.Reader, path string) error {
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return to.Sync()
}

// The buckets of a database that are about the cluster it comes from, and what of its metadata is about that one's log: a new
// member with a log of its own writes them for itself.
var (
	ofCluster = []string{"members", "members_removed", "cluster", "alarm"}
	ofLog     = []string{"consistent_index", "term", "confState"}
)

// beginAnew makes the database one that a new member can start from.
func beginAnew(path string) (revision int64, err error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	return revision, db.Update(func(tx *bolt.Tx) error {
		for _, name := range ofCluster {
			if tx.Bucket([]byte(name)) == nil {
				continue
			}
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		meta, keys := tx.Bucket([]byte("meta")), tx.Bucket([]byte(sound.ValueBucket))
		if meta == nil || keys == nil {
			return errors.New("the snapshot holds no database of etcd")
		}
		for _, name := range ofLog {
			if err := meta.Delete([]byte(name)); err != nil {
				return err
			}
		}
		newest, _ := keys.Cursor().Last()
		if !sound.IsRevision(newest) {
			return errors.New("the snapshot holds no revision")
		}
		revision = mvcc.BytesToRev(newest[:17]).Main + bump
		at := mvcc.RevToBytes(mvcc.Revision{Main: revision}, mvcc.NewRevBytes())
		if err := keys.Put(at, nil); err != nil {
			return err
		}
		return meta.Put([]byte("scheduledCompactRev"), at)
	})
}
