package hub

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/audit"

	"golang.org/x/net/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// socket opens a watch as a browser does; change may be nil.
func socket(t *testing.T, addr, path string, change func(*websocket.Config)) (*websocket.Conn, error) {
	t.Helper()
	cfg, err := websocket.NewConfig("wss://"+addr+path, "https://console.example")
	if err != nil {
		t.Fatal(err)
	}
	cfg.TlsConfig = insecure
	if change != nil {
		change(cfg)
	}
	ws, err := websocket.DialConfig(cfg)
	if err == nil {
		t.Cleanup(func() { ws.Close() })
	}
	return ws, err
}

// message is the next message and what kind of frame it came in.
func message(t *testing.T, ws *websocket.Conn) (data []byte, kind byte) {
	t.Helper()
	codec := websocket.Codec{Unmarshal: func(p []byte, k byte, v any) error { data, kind = p, k; return nil }}
	if err := codec.Receive(ws, nil); err != nil {
		t.Fatal(err)
	}
	return data, kind
}

func heard(t *testing.T, ws *websocket.Conn) map[string]any {
	t.Helper()
	data, kind := message(t, ws)
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil || kind != websocket.TextFrame || data[len(data)-1] != '\n' {
		t.Fatalf("frame of kind %d: %q %v", kind, data, err)
	}
	return m
}

func say(t *testing.T, c *http.Client, method, url, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/merge-patch+json")
	if method == "POST" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode > 201 {
		t.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
}

// Every way to watch works over a WebSocket: a message per event, in the order of a plain watch.
func TestWatchOverWebSocket(t *testing.T) {
	addr, _ := served(t)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure}}
	say(t, c, "POST", "https://"+addr+cms, `{"metadata":{"name":"a"},"data":{"k":"v"}}`)
	for name, path := range map[string]string{
		"namespace":            cms + "?watch=1&fieldSelector=metadata.name!=kube-root-ca.crt",
		"old path":             "/api/v1/watch/namespaces/default/configmaps?fieldSelector=metadata.name!=kube-root-ca.crt",
		"old path, all":        "/api/v1/watch/configmaps?fieldSelector=metadata.namespace=default,metadata.name!=kube-root-ca.crt",
		"one object":           cms + "?watch=1&fieldSelector=metadata.name=a",
		"old path, one object": "/api/v1/watch/namespaces/default/configmaps/a",
		"initial events":       cms + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name=a",
	} {
		t.Run(name, func(t *testing.T) {
			ws, err := socket(t, addr, path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if ev := heard(t, ws); ev["type"] != "ADDED" || dig(ev, "object.metadata.name") != "a" {
				t.Errorf("%v", ev)
			}
			if name == "initial events" {
				if ev := heard(t, ws); ev["type"] != "BOOKMARK" || dig(ev, "object.metadata.annotations") == nil {
					t.Errorf("%v", ev)
				}
			}
			// What the client says does not matter, nor does it end the watch.
			if err := websocket.Message.Send(ws, "hello"); err != nil {
				t.Fatal(err)
			}
			say(t, c, "PATCH", "https://"+addr+cms+"/a", fmt.Sprintf(`{"data":{"k":%q}}`, name))
			if ev := heard(t, ws); ev["type"] != "MODIFIED" || dig(ev, "object.data.k") != name {
				t.Errorf("%v", ev)
			}
		})
	}
	t.Run("table", func(t *testing.T) {
		ws, err := socket(t, addr, cms+"?watch=1&fieldSelector=metadata.name=a", func(cfg *websocket.Config) {
			cfg.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
		})
		if err != nil {
			t.Fatal(err)
		}
		if ev := heard(t, ws); dig(ev, "object.kind") != "Table" || dig(ev, "object.columnDefinitions") == nil {
			t.Errorf("%v", ev)
		}
	})
	t.Run("protobuf", func(t *testing.T) {
		ws, err := socket(t, addr, cms+"?watch=1&fieldSelector=metadata.name=a", func(cfg *websocket.Config) {
			cfg.Header.Set("Accept", "application/vnd.kubernetes.protobuf;stream=watch")
		})
		if err != nil {
			t.Fatal(err)
		}
		data, kind := message(t, ws)
		var ev metav1.WatchEvent
		if _, _, err := protobuf.NewRawSerializer(api.Scheme, api.Scheme).Decode(data, nil, &ev); err != nil || kind != websocket.BinaryFrame || ev.Type != "ADDED" {
			t.Fatalf("frame of kind %d: %v %+v", kind, err, ev)
		}
		obj, _, err := protobuf.NewSerializer(api.Scheme, api.Scheme).Decode(ev.Object.Raw, nil, nil)
		if err != nil || obj.(*corev1.ConfigMap).Name != "a" {
			t.Errorf("%v %v", err, obj)
		}
	})
	t.Run("error", func(t *testing.T) {
		ws, err := socket(t, addr, cms+"?watch=1&resourceVersion=1&fieldSelector=metadata.name=a&timeoutSeconds=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, ws); err != nil { // the server ends it in the way of the protocol
			t.Error(err)
		}
	})
}

// The end of a watch is that of its client, and of its time.
func TestWatchOverWebSocketEnds(t *testing.T) {
	ended := make(watchEnds, 10)
	addr, _ := served(t, ended)
	for _, path := range []string{cms + "?watch=1&ends=1", cms + "?watch=1&ends=1&timeoutSeconds=1"} {
		ws, err := socket(t, addr, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(path, "timeout") {
			if _, err := io.Copy(io.Discard, ws); err != nil {
				t.Error(err)
			}
		} else {
			ws.Close()
		}
		if code := <-ended; code != 101 {
			t.Errorf("%s: %d", path, code)
		}
	}
}

type watchEnds chan int32

// Record implements audit.Sink.
func (e watchEnds) Record(ev *audit.Event) bool {
	if strings.Contains(ev.URI, "ends=1") {
		e <- ev.Status.Code
	}
	return true
}

// Handshakes end as upstream's do.
func TestWebSocketHandshakes(t *testing.T) {
	addr, _ := served(t)
	for _, row := range []struct {
		name, path string
		headers    []string
		want       string // status, and the subprotocol that was chosen
	}{
		{"plain", cms + "?watch=1", []string{"Origin: https://a"}, "101 "},
		{"without origin", cms + "?watch=1", nil, "403 "},
		{"a broken origin", cms + "?watch=1", []string{"Origin: :"}, "403 "},
		{"a subprotocol", cms + "?watch=1", []string{"Origin: https://a", "Sec-WebSocket-Protocol: base64.binary.k8s.io"}, "101 base64.binary.k8s.io"},
		{"any subprotocol", cms + "?watch=1", []string{"Origin: https://a", "Sec-WebSocket-Protocol: whatever"}, "101 whatever"},
		{"two subprotocols", cms + "?watch=1", []string{"Origin: https://a", "Sec-WebSocket-Protocol: a, b"}, "400 "},
		{"another version", cms + "?watch=1", []string{"Origin: https://a", "Sec-WebSocket-Version: 8"}, "400 "},
		{"no key", cms + "?watch=1", []string{"Origin: https://a", "Sec-WebSocket-Key: "}, "400 "},
		{"a bad selector", cms + "?watch=1&fieldSelector=a.b=c", []string{"Origin: https://a"}, "400 "},
		{"yaml", cms + "?watch=1", []string{"Origin: https://a", "Accept: application/yaml"}, "406 "},
		{"not allowed", cms + "?watch=1", []string{"Origin: https://a", "X-User: ann"}, "403 "},
		{"nobody", cms + "?watch=1", []string{"Origin: https://a", "X-User: nobody"}, "401 "},
		{"no watch", cms, []string{"Origin: https://a"}, "200 "},
		{"no upgrade", cms + "?watch=1&timeoutSeconds=1", []string{"Connection: keep-alive"}, "200 "},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr+row.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range append([]string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"}, row.headers...) {
			k, v, _ := strings.Cut(line, ": ")
			req.Header.Set(k, v)
		}
		tr := &http.Transport{TLSClientConfig: insecure}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		resp.Body.Close()
		tr.CloseIdleConnections()
		if got := fmt.Sprintf("%d %s", resp.StatusCode, resp.Header.Get("Sec-Websocket-Protocol")); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

// The paths from before the watch parameter are those of upstream: they watch, whatever the parameter says, and nothing else.
func TestOldWatchPaths(t *testing.T) {
	h := start(t, nil)
	for _, row := range []struct {
		method, path string
		code         int
		first        string // of what the watch tells
	}{
		{"GET", "/api/v1/watch/namespaces/default", 200, "ADDED default"},
		{"GET", "/api/v1/watch/namespaces/default?watch=false", 200, "ADDED default"},
		{"GET", "/api/v1/watch/services?fieldSelector=metadata.namespace=default", 200, "ADDED kubernetes"},
		{"GET", "/api/v1/watch/namespaces/default/services/kubernetes", 200, "ADDED kubernetes"},
		{"GET", "/apis/rbac.authorization.k8s.io/v1/watch/clusterroles/cluster-admin", 200, "ADDED cluster-admin"},
		{"GET", "/apis/scheduling.k8s.io/v1/watch/priorityclasses/system-node-critical", 200, "ADDED system-node-critical"},
		{"GET", "/api/v1/watch/namespaces/default/services/kubernetes?fieldSelector=metadata.name=other", 400, ""},
		{"GET", "/api/v1/watch/namespaces/default/services/kubernetes/status", 404, ""},
		{"GET", "/api/v1/watch/nothings", 404, ""},
		{"POST", "/api/v1/watch/namespaces/default/services", 405, ""},
		{"PUT", "/api/v1/watch/namespaces/default/services/kubernetes", 405, ""},
		{"DELETE", "/api/v1/watch/namespaces/default/services/kubernetes", 405, ""},
		{"HEAD", "/api/v1/watch/services", 405, ""},
	} {
		if row.code == 200 {
			w := startWatch(t, h, row.path)
			if got := w.next(); w.code != 200 || got != row.first {
				t.Errorf("%s: %d %s, want %s", row.path, w.code, got, row.first)
			}
			w.stop()
			continue
		}
		if a := do(h, row.method, row.path, ""); a.code != row.code {
			t.Errorf("%s %s: %d %s, want %d", row.method, row.path, a.code, a.body, row.code)
		}
	}
}
