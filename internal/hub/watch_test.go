package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
)

// watching is a watch over a pipe: no network, so that it works in virtual time.
type watching struct {
	t     *testing.T
	lines chan map[string]any
	code  int
	stop  func()
}

// pipeWriter hands lines on as they are flushed.
type pipeWriter struct {
	header http.Header
	code   chan int
	lines  chan map[string]any
	buf    []byte
}

func (p *pipeWriter) Header() http.Header { return p.header }
func (p *pipeWriter) WriteHeader(c int)   { p.code <- c }
func (p *pipeWriter) Flush()              {}
func (p *pipeWriter) Write(b []byte) (int, error) {
	p.buf = append(p.buf, b...)
	for {
		i := slices.Index(p.buf, '\n')
		if i < 0 {
			return len(b), nil
		}
		var m map[string]any
		if err := json.Unmarshal(p.buf[:i], &m); err != nil {
			return 0, err
		}
		p.buf = p.buf[i+1:]
		p.lines <- m
	}
}

func startWatch(t *testing.T, h *Hub, path string, headers ...string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &pipeWriter{header: http.Header{}, code: make(chan int, 4), lines: make(chan map[string]any, 1000)}
	r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.lines)
		h.ServeHTTP(p, r)
	}()
	w := &watching{t: t, lines: p.lines, code: <-p.code, stop: func() { cancel(); <-done }}
	t.Cleanup(w.stop)
	return w
}

// next returns "TYPE name" of the next event, "end" when there is none.
func (w *watching) next() string {
	w.t.Helper()
	select {
	case m, ok := <-w.lines:
		if !ok {
			return "end"
		}
		name := dig(m, "object.metadata.name")
		if name == nil {
			name = dig(m, "object.reason")
		}
		if name == nil {
			name = ""
		}
		if end := dig(m, "object.metadata.annotations"); end != nil && m["type"] == "BOOKMARK" {
			name = fmt.Sprint(end)
		}
		return fmt.Sprintf("%v %v", m["type"], name)
	case <-time.After(time.Hour):
		return "nothing"
	}
}

func (w *watching) expect(want ...string) {
	w.t.Helper()
	for _, e := range want {
		if got := w.next(); got != e {
			w.t.Fatalf("got %q, want %q", got, e)
		}
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil)
		makeMaps(t, h, 2)
		_, meta := names(t, do(h, "GET", cms, ""))
		patch := func(name, body string) {
			t.Helper()
			if a := do(h, "PATCH", cms+"/"+name, body, "Content-Type: application/merge-patch+json"); a.code != 200 {
				t.Fatalf("%d %s", a.code, a.body)
			}
		}
		from := startWatch(t, h, cms+"?watch=1&resourceVersion="+meta.ResourceVersion)
		unset := startWatch(t, h, cms+"?watch=true")
		zero := startWatch(t, h, "/api/v1/watch/namespaces/default/configmaps?resourceVersion=0")
		odd := startWatch(t, h, cms+"?watch&labelSelector=odd%3Dtrue&resourceVersion="+meta.ResourceVersion)
		one := startWatch(t, h, cms+"?watch=1&fieldSelector=metadata.name%3Dm01&resourceVersion="+meta.ResourceVersion)
		oldOne := startWatch(t, h, "/api/v1/watch/namespaces/default/configmaps/m00")
		stream := startWatch(t, h, cms+"?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
		none := startWatch(t, h, cms+"?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan")

		unset.expect("ADDED m00", "ADDED m01")
		zero.expect("ADDED m00", "ADDED m01")
		oldOne.expect("ADDED m00")
		stream.expect("ADDED m00", "ADDED m01", "BOOKMARK map[k8s.io/initial-events-end:true]")

		patch("m00", `{"metadata":{"labels":{"odd":"true"}}}`)
		patch("m01", `{"data":{"x":"y"}}`)
		patch("m01", `{"metadata":{"labels":{"odd":"false"}}}`)
		do(h, "POST", cms, `{"metadata":{"name":"m02"}}`)
		do(h, "DELETE", cms+"/m01", "")

		all := []string{"MODIFIED m00", "MODIFIED m01", "MODIFIED m01", "ADDED m02", "DELETED m01"}
		for _, w := range []*watching{from, unset, zero, stream, none} {
			w.expect(all...)
		}
		odd.expect("ADDED m00", "MODIFIED m01", "DELETED m01")
		one.expect("MODIFIED m01", "MODIFIED m01", "DELETED m01")
		oldOne.expect("MODIFIED m00")

		// Bookmarks come when others write, about every minute, and a watch ends by itself.
		mark := startWatch(t, h, cms+"?watch=1&allowWatchBookmarks=true&timeoutSeconds=600&resourceVersion="+meta.ResourceVersion)
		mark.expect(all...)
		do(h, "POST", "/api/v1/namespaces/kube-system/configmaps", `{"metadata":{"name":"else"}}`)
		began := time.Now()
		mark.expect("BOOKMARK ")
		if took := time.Since(began); took > 70*time.Second {
			t.Errorf("bookmark after %v", took)
		}
		mark.expect("end")
		if took := time.Since(began); took > 10*time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestWatchTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil)
		makeMaps(t, h, 2)
		w := startWatch(t, h, cms+"?watch=1", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
		for i := range 2 {
			m := <-w.lines
			cols, _ := dig(m, "object.columnDefinitions").([]any)
			rows, _ := dig(m, "object.rows").([]any)
			if dig(m, "object.kind") != "Table" || len(rows) != 1 || (len(cols) > 0) != (i == 0) {
				t.Errorf("%v", m)
			}
		}
	})
}

// TestWatchProtobuf reads frames over a real HTTP/2 connection, with the decoders clients use.
func TestWatchProtobuf(t *testing.T) {
	h := start(t, nil)
	makeMaps(t, h, 2)
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL+cms+"?watch=1&timeoutSeconds=1", nil)
	req.Header.Set("Accept", "application/vnd.kubernetes.protobuf;stream=watch")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.Header.Get("Content-Type") != "application/vnd.kubernetes.protobuf;stream=watch" {
		t.Errorf("%s %v", resp.Proto, resp.Header)
	}
	frames := protobuf.LengthDelimitedFramer.NewFrameReader(resp.Body)
	raw, codec := protobuf.NewRawSerializer(api.Scheme, api.Scheme), protobuf.NewSerializer(api.Scheme, api.Scheme)
	buf := make([]byte, 64<<10)
	for i := range 2 {
		n, err := frames.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var ev metav1.WatchEvent
		if _, _, err := raw.Decode(buf[:n], nil, &ev); err != nil || ev.Type != string(watch.Added) {
			t.Fatalf("%v %+v", err, ev)
		}
		obj, _, err := codec.Decode(ev.Object.Raw, nil, nil)
		if err != nil || obj.(*corev1.ConfigMap).Name != fmt.Sprintf("m%02d", i) {
			t.Fatalf("%v %v", err, obj)
		}
	}
}
