package load

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	watchSpace = "bench-watch"
	watched    = 100 // ConfigMaps that the updates go round
)

var stamp = []byte("bench-at=")

// watch opens the watchers, writes n updates and measures when each watcher has read each. A watch that the server ends is not
// opened again; how much has arrived is told.
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
		r.notes = append(r.notes, fmt.Sprintf("%d of %d watches were ended by the server", k, r.watchers))
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
	ended atomic.Int64 // watches that the server ended
	wg    sync.WaitGroup

	bodies []io.ReadCloser
	lags   [][]float64 // by watch
	closed atomic.Bool
}

// open starts every watch from a resource version.
func (f *fan) open(at string) error {
	clients := make([]*http.Client, f.r.conns)
	var host string
	for i := range clients {
		var err error
		if clients[i], host, err = f.r.raw(); err != nil {
			return err
		}
	}
	accept := "application/json"
	if f.r.content == "protobuf" {
		accept = protobuf + ";stream=watch"
	}
	f.bodies = make([]io.ReadCloser, f.r.watchers)
	f.lags = make([][]float64, f.r.watchers)
	err := each(f.r.watchers, 4*f.r.conns, func(_, i int) error {
		req, err := http.NewRequestWithContext(f.r.ctx, http.MethodGet,
			host+"/api/v1/namespaces/"+watchSpace+"/configmaps?watch=1&allowWatchBookmarks=false&resourceVersion="+at, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Accept", accept)
		resp, err := clients[i%len(clients)].Do(req)
		if err != nil {
			return err
		}
		f.bodies[i] = resp.Body
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("watch: %s", resp.Status)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range f.bodies {
		f.wg.Go(func() { f.lags[i] = f.read(f.bodies[i]) })
	}
	return nil
}

// read reads frames until the end and returns how old each update was, in milliseconds.
func (f *fan) read(body io.Reader) []float64 {
	lags := make([]float64, 0, f.r.n)
	in := bufio.NewReaderSize(body, 8<<10)
	var buf []byte
	for {
		frame, err := f.frame(in, &buf)
		if err != nil {
			if !f.closed.Load() {
				f.ended.Add(1)
			}
			return lags
		}
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

// frame reads one event: a line of JSON, or a length and so many bytes of protobuf.
func (f *fan) frame(in *bufio.Reader, buf *[]byte) ([]byte, error) {
	if f.r.content != "protobuf" {
		return in.ReadSlice('\n')
	}
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	k := int(binary.BigEndian.Uint32(head[:]))
	if k > cap(*buf) {
		*buf = make([]byte, k)
	}
	_, err := io.ReadFull(in, (*buf)[:k])
	return (*buf)[:k], err
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
	f.closed.Store(true)
	for _, b := range f.bodies {
		if b != nil {
			b.Close()
		}
	}
	f.wg.Wait()
	var all []float64
	for _, l := range f.lags {
		all = append(all, l...)
	}
	return all
}
