package pki

import (
	"bytes"
	"crypto/x509"
	"os"
	"sync"
	"time"
)

// PoolFile is the certificates of a file that somebody may replace. A file that cannot be used is as if it had not changed.
type PoolFile struct {
	path string
	pem  []byte // as it was read first

	mu struct {
		sync.Mutex
		pool   *x509.CertPool
		data   []byte
		looked time.Time
		seen   time.Time // the file's time
	}
}

// poolLook is how often the file is looked at, at most.
const poolLook = time.Second

// OpenPool reads the file.
func OpenPool(path string) (*PoolFile, error) {
	data, pool, err := ReadPool(path)
	if err != nil {
		return nil, err
	}
	f := &PoolFile{path: path, pem: data}
	f.mu.pool, f.mu.data = pool, data
	return f, nil
}

// PEM is the file's content when it was opened.
func (f *PoolFile) PEM() []byte { return f.pem }

// Pool is the certificates now. It looks at the file now and then, and returns the same pool until that changes.
func (f *PoolFile) Pool() *x509.CertPool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.mu.looked) < poolLook {
		return f.mu.pool
	}
	f.mu.looked = now
	info, err := os.Stat(f.path)
	if err != nil || info.ModTime().Equal(f.mu.seen) {
		return f.mu.pool
	}
	f.mu.seen = info.ModTime()
	if data, pool, err := ReadPool(f.path); err == nil && !bytes.Equal(data, f.mu.data) {
		f.mu.pool, f.mu.data = pool, data
	}
	return f.mu.pool
}
