package etcd

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Admin is a connection to a running member for those who look after it.
type Admin struct {
	c  *clientv3.Client
	at string
}

// Connect reaches the member that answers at addr.
func Connect(ctx context.Context, addr string, conf *tls.Config, within time.Duration) (*Admin, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + addr}, TLS: conf, DialTimeout: within, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", addr, err)
	}
	a := &Admin{c, "https://" + addr}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if _, err := c.Status(ctx, a.at); err != nil {
		c.Close()
		return nil, fmt.Errorf("etcd at %s: %w", addr, err)
	}
	return a, nil
}

// Close ends the connection.
func (a *Admin) Close() error { return a.c.Close() }

// Status is for people.
func (a *Admin) Status(ctx context.Context) (string, error) {
	s, err := a.c.Status(ctx, a.at)
	if err != nil {
		return "", fmt.Errorf("status: %w", err)
	}
	alarms, err := a.c.AlarmList(ctx)
	if err != nil {
		return "", fmt.Errorf("status: %w", err)
	}
	raised := []string{}
	for _, al := range alarms.Alarms {
		raised = append(raised, al.Alarm.String())
	}
	if len(raised) == 0 {
		raised = []string{"none"}
	}
	return fmt.Sprintf("endpoint:   %s\nversion:    %s\nrevision:   %d\nsize:       %d bytes\nin use:     %d bytes\nalarms:     %s\n",
		a.at, s.Version, s.Header.Revision, s.DbSize, s.DbSizeInUse, strings.Join(raised, ", ")), nil
}

// Defragment gives back what is free in the database file.
func (a *Admin) Defragment(ctx context.Context) error {
	if _, err := a.c.Defragment(ctx, a.at); err != nil {
		return fmt.Errorf("defragment: %w", err)
	}
	return nil
}

// Snapshot writes the database to file, which must not be there, and behind it the checksum that etcd's own tools look for.
func (a *Admin) Snapshot(ctx context.Context, file string) error {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("snapshot: %s is there already", file)
	}
	from, err := a.c.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	defer from.Close()
	part := file + ".part"
	to, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	defer os.Remove(part)
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if _, err := checkSnapshot(to); err != nil {
		return fmt.Errorf("snapshot: %s: %w", part, err)
	}
	if err := to.Sync(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := os.Rename(part, file); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return syncDir(filepath.Dir(file))
}

// checkSnapshot compares a snapshot with the checksum at its end, and returns the size of the database in it.
func checkSnapshot(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size := st.Size() - sha256.Size
	if size <= 0 || size%512 != 0 {
		return 0, errors.New("it is no snapshot: a database with a checksum behind it")
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
		return 0, err
	}
	sum := make([]byte, sha256.Size)
	if _, err := f.ReadAt(sum, size); err != nil {
		return 0, err
	}
	if string(h.Sum(nil)) != string(sum) {
		return 0, errors.New("it is damaged: its checksum is another")
	}
	return size, nil
}
