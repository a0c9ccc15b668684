//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"golang.org/x/sys/unix"
)

// disk is a file system of a test's own below the database of a cluster: ext4 on a loop device whose file lies in a tmpfs. Where
// that is full, the device answers writes with an error, as one that dies does.
type disk struct {
	below string // the tmpfs
	at    string // where the file system is mounted
	loop  string
}

const (
	deviceSize = 256 << 20 // of the file system
	belowSize  = 288 << 20 // of the tmpfs below it: the file has room there until somebody else takes that
)

// newDisk puts a disk below the database of a cluster that has not run yet.
func newDisk(t *testing.T, c *cluster) *disk {
	t.Helper()
	for _, tool := range []string{"losetup", "mkfs.ext4", "e2fsck"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	d := &disk{below: c.dir + "-disk", at: filepath.Join(c.dir, "etcd")}
	for _, dir := range []string{d.below, d.at} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "mount", "-t", "tmpfs", "-o", fmt.Sprint("size=", belowSize), "sampan-e2e", d.below)
	t.Cleanup(func() {
		run(t, "umount", d.below)
		_ = os.Remove(d.below)
	})
	image := filepath.Join(d.below, "image")
	write(t, image, "")
	if err := os.Truncate(image, deviceSize); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", "-b", strconv.Itoa(os.Getpagesize()), "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Skipf("there is no loop device to be had: %v", err)
	}
	d.loop = strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "losetup", "--detach", d.loop) })
	d.pages(t)
	run(t, "mount", "-o", "errors=remount-ro", d.loop, d.at)
	t.Cleanup(func() {
		if out, err := c.sampan("down", "--data-dir", c.dir); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
		_ = os.RemoveAll(filepath.Join(d.at, "lost+found"))
		run(t, "umount", d.at)
	})
	return d
}

// pages has the device take no request of more than one page, of which the tmpfs takes all or nothing. A loop device answers a larger
// one of which only the beginning could be written as if all of it had been (seen with Linux 6.18), which is a disk that lies and
// not one that fails: no database stays whole on it.
func (d *disk) pages(t *testing.T) {
	t.Helper()
	limit := filepath.Join("/sys/block", filepath.Base(d.loop), "queue/max_sectors_kb")
	before, err := os.ReadFile(limit)
	if err != nil {
		t.Fatal(err)
	}
	write(t, limit, strconv.Itoa(os.Getpagesize()>>10))
	t.Cleanup(func() { write(t, limit, string(before)) }) // it would stay with the device
}

// fill takes all the room of the file system at dir, and more of it each time. free gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		switch _, err := f.Write(make([]byte, size)); {
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
	return func() { _ = os.Remove(path) }
}

// TestDiskFaults lets the disk below the database become read-only, fail and fill up, in this order: what was once full has all its
// blocks in the tmpfs, and does not fail any more. Writes are refused then and nothing that
// was acknowledged is lost; reads, the node, Services and DNS go on in the same process.
func TestDiskFaults(t *testing.T) {
	c := newCluster(t)
	d := newDisk(t, c)
	t.Logf("%s", c.up(t))
	c.images(t)
	c.kubectlIn(t, diskManifest, "apply", "-f", "-")
	c.kubectl(t, "-n", "crash", "rollout", "status", "deployment/web", "--timeout=300s")
	_, door := c.door(t)
	w := newWriter(door)
	writing, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() { defer close(written); w.run(writing) }()
	defer func() { stop(); <-written }()

	put(t, door, configMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "doomed"}})
	for round, fault := range []struct {
		name    string
		inject  func(t *testing.T) (mend func())
		again   func(t *testing.T) // when a write has been taken; nil: that passes
		removes bool               // deletions are carried out meanwhile
	}{
		{"read-only", func(t *testing.T) func() {
			// What ext4 does with errors=remount-ro when it finds a fault in its own data.
			write(t, filepath.Join("/sys/fs/ext4", filepath.Base(d.loop), "trigger_fs_error"), "1")
			return func() { d.mend(t, c) }
		}, nil, false},
		{"device fails", func(t *testing.T) func() {
			free := fill(t, d.below)
			return func() { free(); d.mend(t, c) }
		}, nil, false},
		// A store that failed for want of room gives some back when it is opened again.
		{"full", func(t *testing.T) func() { return fill(t, d.at) }, func(t *testing.T) { fill(t, d.at) }, true},
	} {
		t.Run(fault.name, func(t *testing.T) {
			pid, asked := c.pid(t), c.ask(t)
			mend := fault.inject(t)
			refused(t, door, fault.again)
			reads(t, door)
			if fault.removes {
				removes(t, door, d, "doomed")
			}
			asked.more(t, 40)
			asked.end()
			asked.judge(t)
			if now := c.pid(t); now != pid {
				t.Errorf("process %s has become %s", pid, now)
			}
			since := w.acknowledged()
			mend()
			until(t, 60*time.Second, "writes after the disk has been mended", func() error {
				if now := w.acknowledged(); now < since+10 {
					return fmt.Errorf("%d of them", now-since)
				}
				return nil
			})
			w.verify(t, round)
		})
	}
	stop()
	<-written
	c.kill(t)
	c.up(t)
	w.verify(t, 3)

	// One that dies while the disk is full comes up again on it: what is there is served, and may be deleted.
	_, door = c.door(t)
	put(t, door, configMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "second"}})
	free := fill(t, d.at)
	refused(t, door, func(t *testing.T) { fill(t, d.at) })
	c.kill(t)
	c.up(t)
	_, door = c.door(t)
	reads(t, door)
	removes(t, door, d, "second")
	free()
	until(t, time.Minute, "writes after room was made", func() error {
		_, err := door.Resource(configMaps).Namespace("default").Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": fmt.Sprintf("after-%d", made.Add(1))},
		}}, metav1.CreateOptions{})
		return err
	})
}

// mend is what an administrator does with a file system that the kernel has made read-only: the server is stopped, the file
// system checked and put back.
func (d *disk) mend(t *testing.T, c *cluster) {
	t.Helper()
	c.down(t)
	run(t, "umount", d.at)
	// 1: it has mended what was left.
	if out, err := exec.Command("e2fsck", "-p", d.loop).CombinedOutput(); err != nil && exitCode(err) != 1 {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
	run(t, "mount", "-o", "errors=remount-ro", d.loop, d.at)
	c.up(t)
}

func exitCode(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return -1
}

// refused waits until a write is refused, and looks how.
func refused(t *testing.T, door dynamic.Interface, again func(*testing.T)) {
	t.Helper()
	until(t, 60*time.Second, "a write is refused", func() error {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": fmt.Sprintf("during-%d", made.Add(1))},
		}}
		_, err := door.Resource(configMaps).Namespace("default").Create(t.Context(), o, metav1.CreateOptions{})
		if err == nil {
			if again != nil {
				again(t)
			}
			return errors.New("it was taken")
		}
		t.Logf("refused: %v", err)
		return nil
	})
}

// reads get and list what there is, newest state.
func reads(t *testing.T, door dynamic.Interface) {
	t.Helper()
	for range 20 {
		if _, err := door.Resource(deployments).Namespace("crash").Get(t.Context(), "web", metav1.GetOptions{}); err != nil {
			t.Errorf("get: %v", err)
		}
		if _, err := door.Resource(configMaps).Namespace("crash").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Errorf("list: %v", err)
		}
	}
}

// removes deletes what was there before.
func removes(t *testing.T, door dynamic.Interface, d *disk, name string) {
	t.Helper()
	const reserve, patient = 8 << 20, 500
	failed := 0
	until(t, 60*time.Second, "deletion of "+name, func() error {
		err := door.Resource(configMaps).Namespace("default").Delete(t.Context(), name, metav1.DeleteOptions{})
		if err == nil {
			return nil
		}
		if failed++; failed == patient {
			// The filler was at work when the store failed, and has what the store gave back for its own use.
			filler := filepath.Join(d.at, "filler")
			if info, serr := os.Stat(filler); serr == nil && info.Size() > reserve {
				t.Logf("the filler gives the reserve back, after %v", err)
				if terr := os.Truncate(filler, info.Size()-reserve); terr != nil {
					t.Error(terr)
				}
			}
		}
		return err
	})
}

// questions are asked of a Service and of DNS all the while.
type questions struct {
	end func()
	mu  struct {
		sync.Mutex
		asked  int
		failed []string
	}
}

// ask asks the Service crash/web and the cluster's DNS ten times a second.
func (c *cluster) ask(t *testing.T) *questions {
	t.Helper()
	ip := c.kubectl(t, "-n", "crash", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	dns := c.kubectl(t, "-n", "kube-system", "get", "service", "kube-dns", "-o", "jsonpath={.spec.clusterIP}")
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(dns, "53"))
	}}
	fetch := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	q := &questions{}
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	q.end = sync.OnceFunc(func() { cancel(); asking.Wait() })
	t.Cleanup(q.end)
	for what, ask := range map[string]func(context.Context) error{
		"service": func(context.Context) error {
			answer, err := fetch.Get("http://" + ip + "/")
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, answer.Body)
			return errors.Join(err, answer.Body.Close())
		},
		"dns": func(ctx context.Context) error {
			found, err := resolver.LookupHost(ctx, "web.crash.svc.cluster.local.")
			if err == nil && (len(found) != 1 || found[0] != ip) {
				err = fmt.Errorf("found %v, want %s", found, ip)
			}
			return err
		},
	} {
		until(t, 30*time.Second, "the first answer of "+what, func() error { return ask(t.Context()) })
		asking.Go(func() { q.run(ctx, what, ask) })
	}
	return q
}

func (q *questions) run(ctx context.Context, what string, ask func(context.Context) error) {
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		err := ask(context.WithoutCancel(ctx))
		q.mu.Lock()
		q.mu.asked++
		if err != nil {
			q.mu.failed = append(q.mu.failed, fmt.Sprintf("%s: %v", what, err))
		}
		q.mu.Unlock()
	}
}

// more waits until so many more questions have been asked.
func (q *questions) more(t *testing.T, n int) {
	t.Helper()
	count := func() int { q.mu.Lock(); defer q.mu.Unlock(); return q.mu.asked }
	before := count()
	until(t, 2*time.Minute, "questions", func() error {
		if now := count(); now < before+n {
			return fmt.Errorf("%d of %d", now-before, n)
		}
		return nil
	})
}

func (q *questions) judge(t *testing.T) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	t.Logf("%d questions to the Service and DNS, %d without an answer", q.mu.asked, len(q.mu.failed))
	if len(q.mu.failed) > 0 {
		t.Errorf("failed: %s", strings.Join(q.mu.failed, "; "))
	}
}

const diskManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: crash}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: crash}
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: sampan.dev/busybox:1
        command: [sh, -c, 'hostname > /www/index.html; exec httpd -f -p 8080 -h /www']
        readinessProbe:
          httpGet: {path: /, port: 8080}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: crash}
spec:
  selector: {app: web}
  ports:
  - {port: 80, targetPort: 8080}
`
