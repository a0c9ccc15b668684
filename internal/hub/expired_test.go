package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// keptStore outlives the hub that closes it.
type keptStore struct{ store.Store }

func (keptStore) Close() error { return nil }

// restart starts a hub on st, which has seen another.
func restart(t *testing.T, st store.Store) *Hub {
	return start(t, func(c *Config) { c.Store = keptStore{st} })
}

// afterRestart is a hub that is not the first on its store, and a revision that the first one's clients have seen; there were
// writes since. The first may go on for all the second knows.
func afterRestart(t *testing.T) (h *Hub, seen int64) {
	t.Helper()
	st := memory.New()
	first := restart(t, st)
	makeMaps(t, first, 3)
	_, meta := names(t, do(first, "GET", cms, ""))
	seen, _ = strconv.ParseInt(meta.ResourceVersion, 10, 64)
	do(first, "POST", cms, `{"metadata":{"name":"unseen"}}`)
	return restart(t, st), seen
}

// whole reads a watch to its end, which it must reach by itself.
func whole(t *testing.T, h *Hub, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if ctx.Err() != nil {
		t.Errorf("%s: still open after %v: %s", path, 10*time.Second, w.Body)
	}
	return w
}

// event is the one that a JSON watch consists of.
func event(t *testing.T, w *httptest.ResponseRecorder) metav1.Status {
	t.Helper()
	var ev struct {
		Type   string        `json:"type"`
		Object metav1.Status `json:"object"`
	}
	if w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &ev) != nil || ev.Type != "ERROR" || ev.Object.Kind != "Status" || ev.Object.APIVersion != "v1" {
		t.Fatalf("%d %q, want 200 and one ERROR event", w.Code, w.Body)
	}
	return ev.Object
}

// TestWatchTooOld begins before what the hub remembers, in every way there is: the stream is one event that says so.
func TestWatchTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, seen := afterRestart(t)
		const ns, pods, ev = "/api/v1/namespaces/default", "/api/v1/pods", "/apis/events.k8s.io/v1/events"
		for _, path := range []string{
			cms + "?watch=1", cms + "?watch=true&allowWatchBookmarks=true", cms + "?watch=1&timeoutSeconds=600",
			"/api/v1/configmaps?watch=1", "/api/v1/watch/configmaps?", "/api/v1/watch/namespaces/default/configmaps?",
			"/api/v1/watch/namespaces/default/configmaps/m00?", cms + "?watch=1&fieldSelector=metadata.name%3Dm00",
			cms + "?watch=1&fieldSelector=metadata.name%3Dnone", cms + "?watch=1&labelSelector=a%3Db",
			cms + "?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", cms + "?watch=1&limit=1",
			pods + "?watch=1&fieldSelector=spec.nodeName%3Dn", pods + "?watch=1&fieldSelector=spec.nodeName%3D",
			ns + "/pods?watch=1&fieldSelector=spec.nodeName%3Dn,status.phase%3DRunning",
			"/api/v1/nodes?watch=1", "/api/v1/events?watch=1", ev + "?watch=1", "/apis/coordination.k8s.io/v1/leases?watch=1",
			"/api/v1/secrets?watch=1", "/apis/apps/v1/deployments?watch=1",
		} {
			for _, rev := range []int64{1, 2, seen} {
				st := event(t, whole(t, h, fmt.Sprintf("%s&resourceVersion=%d", path, rev)))
				if st.Code != 410 || st.Reason != metav1.StatusReasonExpired || st.Status != metav1.StatusFailure {
					t.Errorf("%s from %d: %+v", path, rev, st)
				}
				var asked, floor int64
				if n, _ := fmt.Sscanf(st.Message, "too old resource version: %d (%d)", &asked, &floor); n != 2 || asked != rev || floor <= seen {
					t.Errorf("%s from %d: %q", path, rev, st.Message)
				}
			}
		}
	})
}

// TestWatchTooOldInEveryForm is the same in the forms that an answer can take.
func TestWatchTooOldInEveryForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := afterRestart(t)
		const path = cms + "?watch=1&resourceVersion=1"
		for _, accept := range []string{
			"application/json", "application/json;stream=watch", "application/json;as=Table;v=v1;g=meta.k8s.io",
			"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
		} {
			if st := event(t, whole(t, h, path, "Accept", accept)); st.Code != 410 {
				t.Errorf("%s: %+v", accept, st)
			}
		}
		for _, accept := range []string{
			"application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf;stream=watch",
			"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
		} {
			w := whole(t, h, path, "Accept", accept)
			var ev metav1.WatchEvent
			n := copyFrame(w.Body.Bytes())
			if _, _, err := protobuf.NewRawSerializer(api.Scheme, api.Scheme).Decode(n, nil, &ev); err != nil || ev.Type != "ERROR" {
				t.Fatalf("%s: %v %+v", accept, err, ev)
			}
			obj, _, err := protobuf.NewSerializer(api.Scheme, api.Scheme).Decode(ev.Object.Raw, nil, nil)
			if st, ok := obj.(*metav1.Status); err != nil || !ok || st.Code != 410 || st.Reason != metav1.StatusReasonExpired {
				t.Errorf("%s: %v %+v", accept, err, obj)
			}
		}
	})
}

// copyFrame is the first length-delimited message of data.
func copyFrame(data []byte) []byte {
	r := protobuf.LengthDelimitedFramer.NewFrameReader(readCloser{bytes.NewReader(data)})
	buf := make([]byte, len(data))
	n, _ := r.Read(buf)
	return buf[:n]
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// TestWatchResumesAcrossRestart: who has seen the last state before a restart misses nothing, and nothing is told twice.
func TestWatchResumesAcrossRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := afterRestart(t)
		_, meta := names(t, do(h, "GET", cms, ""))
		w := startWatch(t, h, cms+"?watch=1&resourceVersion="+meta.ResourceVersion)
		do(h, "POST", cms, `{"metadata":{"name":"new"}}`)
		w.expect("ADDED new")
	})
}

// TestWatchFromTheFuture: initial events of a state to come are waited for a little and then refused, in the stream; a plain
// watch waits for as long as it takes.
func TestWatchFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil)
		makeMaps(t, h, 2)
		_, meta := names(t, do(h, "GET", cms, ""))
		now, _ := strconv.ParseInt(meta.ResourceVersion, 10, 64)
		for _, more := range []string{"", "&allowWatchBookmarks=true", "&fieldSelector=metadata.name%3Dm00"} {
			began := time.Now()
			st := event(t, whole(t, h, fmt.Sprintf("%s?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=%d%s", cms, now+1000, more)))
			if took := time.Since(began); took != 3*time.Second {
				t.Errorf("answered after %v", took)
			}
			if st.Code != 504 || st.Reason != metav1.StatusReasonTimeout || st.Details == nil || st.Details.RetryAfterSeconds != 1 ||
				len(st.Details.Causes) != 1 || st.Details.Causes[0].Type != metav1.CauseTypeResourceVersionTooLarge {
				t.Errorf("%+v", st)
			}
		}
		for _, more := range []string{"", "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", "&fieldSelector=metadata.name%3Dlater"} {
			_, meta := names(t, do(h, "GET", cms, "")) // the hub renews leases of its own meanwhile
			now, _ := strconv.ParseInt(meta.ResourceVersion, 10, 64)
			w := startWatch(t, h, fmt.Sprintf("%s?watch=1&resourceVersion=%d%s", cms, now+1, more))
			do(h, "POST", cms, `{"metadata":{"name":"sooner"}}`)
			do(h, "POST", cms, `{"metadata":{"name":"later"}}`)
			w.expect("ADDED later")
			do(h, "DELETE", cms+"/sooner", "")
			do(h, "DELETE", cms+"/later", "")
		}
	})
}

// TestWatchOlderThanTheLog has the log let go of what is old, under a hub that was never restarted: whoever comes from before is
// told so, and one who has been there all the time misses nothing.
func TestWatchOlderThanTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil)
		makeMaps(t, h, 1)
		_, meta := names(t, do(h, "GET", cms, ""))
		there := startWatch(t, h, cms+"?watch=1&timeoutSeconds=3000&resourceVersion="+meta.ResourceVersion)
		const changes = 400
		for i := range changes {
			if a := do(h, "PATCH", cms+"/m00", fmt.Sprintf(`{"data":{"n":"%d"}}`, i), "Content-Type: application/merge-patch+json"); a.code != 200 {
				t.Fatalf("%d %s", a.code, a.body)
			}
		}
		time.Sleep(5 * time.Minute)
		for range changes {
			there.expect("MODIFIED m00")
		}
		for _, more := range []string{"", "&fieldSelector=metadata.name%3Dm00", "&allowWatchBookmarks=true"} {
			if st := event(t, whole(t, h, cms+"?watch=1&resourceVersion="+meta.ResourceVersion+more)); st.Code != 410 || st.Reason != metav1.StatusReasonExpired {
				t.Errorf("%s: %+v", more, st)
			}
		}
		_, meta = names(t, do(h, "GET", cms, ""))
		now := startWatch(t, h, cms+"?watch=1&resourceVersion="+meta.ResourceVersion)
		do(h, "DELETE", cms+"/m00", "")
		now.expect("DELETED m00")
		there.expect("DELETED m00")
	})
}

// The rest of a list is not shown for longer than history is kept, also of a kind that nobody writes meanwhile: the client is told so,
// and with the token of the refusal gets the rest as it is now.
func TestContinueAfterHistory(t *testing.T) {
	const cms = "/api/v1/namespaces/default/configmaps"
	synctest.Test(t, func(t *testing.T) {
		h := start(t, bare)
		for _, name := range []string{"a", "b"} {
			expect(t, h, "201 POST "+cms, `{"metadata":{"name":"`+name+`"}}`)
		}
		page := expect(t, h, "200 GET "+cms+"?limit=1", "").object(t)
		token := dig(page, "metadata.continue").(string)
		write := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Second) {
				expect(t, h, "200 PATCH /api/v1/namespaces/default/secrets/s?fieldManager=f", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","labels":{"a":"`+strconv.FormatInt(time.Now().Unix(), 10)+`"}}}`,
					"Content-Type: application/apply-patch+yaml")
			}
		}
		expect(t, h, "201 PATCH /api/v1/namespaces/default/secrets/s?fieldManager=f", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}`, "Content-Type: application/apply-patch+yaml")
		write(4 * time.Minute)
		expect(t, h, "200 GET "+cms+"?limit=1&continue="+token, "")
		write(8 * time.Minute)
		st := expect(t, h, "410 GET "+cms+"?limit=1&continue="+token, "").status(t)
		if st.Reason != metav1.StatusReasonExpired || st.Continue == "" {
			t.Fatalf("%+v", st)
		}
		rest := expect(t, h, "200 GET "+cms+"?limit=1&continue="+st.Continue, "").object(t)
		if items := rest["items"].([]any); len(items) != 1 || dig(items[0].(map[string]any), "metadata.name") != "b" {
			t.Errorf("%v", rest)
		}
	})
}
