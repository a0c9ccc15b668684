package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

const (
	watchSpace = "bench-watch"
	watched    = 100 // ConfigMaps that the updates go round
)

var stamp = []byte("bench-at=")

// watch opens the watchers, writes n updates and measures when each watcher has read each. A watch that the server ends is opened
// again from the last version it saw, as every client does, so that either side delivers everything and a cost per delivery can
// be compared.
func (r *run) watch() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	if err := r.namespace(cs, watchSpace); err != nil {
		return err
	}
	if err := each(watched, 8, func(_, i int) error {
		_, err := cs.CoreV1().ConfigMaps(watchSpace).Create(r.ctx, configMap(fmt.Sprintf("c%d", i)), metav1.CreateOptions{})
		return err
	}); err != nil {
		return err
	}
	l, err := cs.CoreV1().ConfigMaps(watchSpace).List(r.ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	rss := r.pids.RSS()
	f := &fan{r: r}
	defer f.close()
	if err := f.open(l.ResourceVersion); err != nil {
		return err
	}
	r.pause(time.Second)
	r.put("rss_per_watch_kb", (r.pids.RSS()-rss)*1024/float64(r.watchers))
	before := r.pids.Take()
	f.last.Store(before.At.UnixNano())
	puts, err := r.update(cs)
	if err != nil {
		return err
	}
	// until everything is there, or nothing more comes
	want := int64(r.n) * int64(r.watchers)
	_ = r.until(5*time.Millisecond, func() bool {
		return f.got.Load() >= want || time.Since(time.Unix(0, f.last.Load())) > 5*time.Second
	})
	used := r.window(before)
	wall := time.Unix(0, f.last.Load()).Sub(before.At).Seconds()
	r.put("deliveries_per_s", float64(f.got.Load())/wall)
	r.put("complete_percent", 100*float64(f.got.Load())/float64(want))
	r.put("cpu_us", 1e6*used.CPU/float64(max(1, f.got.Load())))
	r.put("put_p50_ms", puts.at(.5))
	lags := f.close()
	r.put("lag_p50_ms", quantile(lags, .5))
	r.put("lag_p99_ms", quantile(lags, .99))
	if k := f.ended.Load(); k > 0 {
		r.notes = append(r.notes, fmt.Sprintf("%s the server ended watches %d times; they were opened again", r.prefix, k))
	}
	if k := f.lost.Load(); k > 0 {
		r.notes = append(r.notes, fmt.Sprintf("%s %d of %d watches could not be opened again; costs per delivery mean nothing", r.prefix, k, r.watchers))
	}
	return nil
}

// update writes the updates, each with the time it was sent in it.
func (r *run) update(cs kubernetes.Interface) (*times, error) {
	var t times
	begin := time.Now()
	return &t, each(r.n, r.workers, func(_, i int) error {
		if r.rate > 0 {
			r.pause(time.Until(begin.Add(time.Duration(float64(i) / r.rate * 1e9))))
		}
		m := configMap(fmt.Sprintf("c%d", i%watched))
		since := time.Now()
		m.Data["data"] = fmt.Sprintf("%s%d ", stamp, since.UnixNano()) + kilobyte[:970]
		_, err := cs.CoreV1().ConfigMaps(watchSpace).Update(r.ctx, m, metav1.UpdateOptions{})
		t.add(time.Since(since))
		return err
	})
}

// fan is many watches on few connections.
type fan struct {
	r     *run
	got   atomic.Int64
	last  atomic.Int64 // when the latest was read, in Unix nanoseconds
	ended atomic.Int64 // times that the server ended a watch
	lost  atomic.Int64 // watches that could not be opened again

	clients []*http.Client
	host    string
	lags    [][]float64 // by watch
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// open starts every watch from a resource version, and returns when all are open.
func (f *fan) open(at string) error {
	f.ctx, f.cancel = context.WithCancel(f.r.ctx)
	f.clients = make([]*http.Client, f.r.conns)
	for i := range f.clients {
		var err error
		if f.clients[i], f.host, err = f.r.raw(); err != nil {
			return err
		}
	}
	f.lags = make([][]float64, f.r.watchers)
	bodies := make([]io.ReadCloser, f.r.watchers)
	err := each(f.r.watchers, 4*f.r.conns, func(_, i int) (err error) {
		bodies[i], err = f.one(i, at)
		return err
	})
	if err != nil {
		return err
	}
	for i, body := range bodies {
		f.wg.Go(func() { f.lags[i] = f.keep(i, body, at) })
	}
	return nil
}

// one opens one watch.
func (f *fan) one(i int, at string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet,
		f.host+"/api/v1/namespaces/"+watchSpace+"/configmaps?watch=1&allowWatchBookmarks=false&resourceVersion="+at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if f.r.content == "protobuf" {
		req.Header.Set("Accept", protobuf+";stream=watch")
	}
	resp, err := f.clients[i%len(f.clients)].Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("watch: %s", resp.Status)
	}
	return resp.Body, nil
}

// keep reads a watch, and opens it again whenever the server ends it. It returns how old each update was, in milliseconds.
func (f *fan) keep(i int, body io.ReadCloser, at string) []float64 {
	lags := make([]float64, 0, f.r.n)
	for {
		var frame []byte
		lags, frame = f.read(body, lags)
		body.Close()
		if f.ctx.Err() != nil {
			return lags
		}
		f.ended.Add(1)
		next, err := versionOf(frame, f.r.content)
		if next != "" {
			at = next
		}
		if err == nil {
			body, err = f.one(i, at)
		}
		if err != nil {
			if f.ctx.Err() == nil {
				f.lost.Add(1)
			}
			return lags
		}
	}
}

// read reads frames until the end and returns the last.
func (f *fan) read(body io.Reader, lags []float64) ([]float64, []byte) {
	in := bufio.NewReaderSize(body, 8<<10)
	var frame []byte
	for {
		next, err := f.frame(in, frame)
		if err != nil {
			return lags, frame
		}
		frame = next
		now := time.Now()
		sent, ok := sentAt(frame)
		if !ok {
			continue
		}
		lags = append(lags, milliseconds(now.Sub(sent)))
		f.got.Add(1)
		f.last.Store(now.UnixNano())
	}
}

// frame reads one event into what buf has room for: a line of JSON, or a length and so many bytes of protobuf. When it fails, buf
// is as it was.
func (f *fan) frame(in *bufio.Reader, buf []byte) ([]byte, error) {
	if f.r.content != "protobuf" {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		return append(buf[:0], line...), nil
	}
	head, err := in.Peek(4)
	if err != nil {
		return nil, err
	}
	k := 4 + int(binary.BigEndian.Uint32(head))
	if k > in.Size() {
		return nil, fmt.Errorf("an event of %d bytes", k)
	}
	whole, err := in.Peek(k)
	if err != nil {
		return nil, err
	}
	buf = append(buf[:0], whole[4:]...)
	_, err = in.Discard(k)
	return buf, err
}

// versionOf returns the resource version of the object in an event, "" when there was none. An event that says that the version
// is too old is an error.
func versionOf(frame []byte, content string) (string, error) {
	if len(frame) == 0 {
		return "", nil
	}
	var e metav1.WatchEvent
	if content != "protobuf" {
		if err := json.Unmarshal(frame, &e); err != nil {
			return "", err
		}
		var o metav1.PartialObjectMetadata
		err := json.Unmarshal(e.Object.Raw, &o)
		if err == nil && e.Type == string(watch.Error) {
			err = fmt.Errorf("watch: %s", e.Object.Raw)
		}
		return o.ResourceVersion, err
	}
	if err := e.Unmarshal(frame); err != nil {
		return "", err
	}
	var u runtime.Unknown
	if len(e.Object.Raw) < 4 {
		return "", fmt.Errorf("an event without an object")
	}
	if err := u.Unmarshal(e.Object.Raw[4:]); err != nil { // behind the magic number
		return "", err
	}
	if e.Type == string(watch.Error) {
		return "", fmt.Errorf("watch: %q", u.Raw)
	}
	var m corev1.ConfigMap
	err := m.Unmarshal(u.Raw)
	return m.ResourceVersion, err
}

// sentAt finds the time that update wrote into an object.
func sentAt(frame []byte) (time.Time, bool) {
	i := bytes.Index(frame, stamp)
	if i < 0 {
		return time.Time{}, false
	}
	var ns int64
	for _, c := range frame[i+len(stamp):] {
		if c < '0' || c > '9' {
			break
		}
		ns = ns*10 + int64(c-'0')
	}
	return time.Unix(0, ns), true
}

// close ends every watch and returns all lags.
func (f *fan) close() []float64 {
	if f.cancel == nil {
		return nil
	}
	f.cancel()
	f.wg.Wait()
	var all []float64
	for _, l := range f.lags {
		all = append(all, l...)
	}
	return all
}
