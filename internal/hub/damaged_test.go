package hub

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
)

// TestDamagedObject stores what is no object, before the hub starts and while it runs, as a flipped bit or another program
// would. Lists go on without it and say so; who asks for it is told what is wrong, may delete it, and can make it again.
func TestDamagedObject(t *testing.T) {
	const prefix = "/registry/configmaps/default/"
	st := memory.New()
	garbage := map[string][]byte{
		"no-envelope": []byte("\x01\x02garbage"),
		"other-kind":  []byte(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"other-kind","namespace":"default"`),
		"empty":       {},
	}
	put := func(name string) {
		t.Helper()
		if _, err := st.Create(t.Context(), prefix+name, garbage[name], 0); err != nil {
			t.Fatal(err)
		}
	}
	put("no-envelope")
	h := start(t, func(c *Config) { c.Store = st })
	const path = "/api/v1/namespaces/default/configmaps"
	if a := do(h.Handler(), "POST", path, `{"metadata":{"name":"good"}}`); a.code != http.StatusCreated {
		t.Fatalf("%d %s", a.code, a.body)
	}
	put("other-kind")
	put("empty")
	for name := range garbage {
		for _, accept := range []string{"application/json", "application/vnd.kubernetes.protobuf", "application/json;as=Table;g=meta.k8s.io;v=v1"} {
			for _, query := range []string{"", "?labelSelector=a!=b", "?limit=1", "?resourceVersion=0"} {
				a := do(h.Handler(), "GET", path+query, "", "Accept: "+accept)
				if a.code != http.StatusOK || !strings.Contains(string(a.body), "good") || strings.Contains(string(a.body), name) {
					t.Errorf("list %s as %s: %d %q", query, accept, a.code, a.body)
				}
				if w := a.header.Get("Warning"); !strings.Contains(w, "3 stored objects cannot be read") || !strings.Contains(w, prefix) {
					t.Errorf("list %s: the warning is %q", query, w)
				}
			}
		}
		a := do(h.Handler(), "GET", path+"/"+name, "")
		if a.code != http.StatusInternalServerError || a.status(t).Reason != "StorageReadError" || !strings.Contains(a.status(t).Message, prefix+name+" at revision ") {
			t.Errorf("get: %d %s", a.code, a.body)
		}
		if a := do(h.Handler(), "PUT", path+"/"+name, `{"metadata":{"name":"`+name+`"}}`); a.code != http.StatusInternalServerError {
			t.Errorf("update: %d %s", a.code, a.body)
		}
	}
	if a := do(h.Handler(), "GET", "/metrics", ""); !strings.Contains(string(a.body), `apiserver_storage_corrupt_objects{resource="configmaps"} 3`) {
		t.Error("the metric does not count them")
	}
	for name := range garbage {
		if a := do(h.Handler(), "DELETE", path+"/"+name, ""); a.code != http.StatusOK {
			t.Errorf("delete: %d %s", a.code, a.body)
		}
		if a := do(h.Handler(), "GET", path+"/"+name, ""); a.code != http.StatusNotFound {
			t.Errorf("after the deletion: %d %s", a.code, a.body)
		}
		if a := do(h.Handler(), "POST", path, `{"metadata":{"name":"`+name+`"}}`); a.code != http.StatusCreated {
			t.Errorf("made again: %d %s", a.code, a.body)
		}
	}
	if w := do(h.Handler(), "GET", path, "").header.Get("Warning"); w != "" {
		t.Errorf("nothing is damaged any more, and the warning is %q", w)
	}
}

// fullStore has no room for values.
type fullStore struct {
	*memory.Store
	full atomic.Bool
}

// Writable implements store.Gauge.
func (s *fullStore) Writable() error {
	if s.full.Load() {
		return fmt.Errorf("no room: %w", store.ErrFull)
	}
	return nil
}

func (s *fullStore) Update(ctx context.Context, key string, value []byte, expect, ttl int64) (int64, error) {
	if err := s.Writable(); err != nil && !store.IsVital(ctx) {
		return 0, err
	}
	return s.Store.Update(ctx, key, value, expect, ttl)
}

func (s *fullStore) Create(ctx context.Context, key string, value []byte, ttl int64) (int64, error) {
	if err := s.Writable(); err != nil && !store.IsVital(ctx) {
		return 0, err
	}
	return s.Store.Create(ctx, key, value, ttl)
}

// TestFullStore writes to a store without room: clients are told to try again, and what leads to a deletion goes through.
func TestFullStore(t *testing.T) {
	st := &fullStore{Store: memory.New()}
	h := start(t, func(c *Config) { c.Store = st })
	const path = "/api/v1/namespaces/default/configmaps"
	for _, body := range []string{`{"metadata":{"name":"plain"}}`, `{"metadata":{"name":"held","finalizers":["example.com/a","example.com/b"]}}`} {
		if a := do(h.Handler(), "POST", path, body); a.code != http.StatusCreated {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	st.full.Store(true)
	for _, a := range []answer{
		do(h.Handler(), "POST", path, `{"metadata":{"name":"more"}}`),
		do(h.Handler(), "PUT", path+"/plain", `{"metadata":{"name":"plain"},"data":{"a":"b"}}`),
		do(h.Handler(), "PATCH", path+"/plain", `{"data":{"a":"b"}}`, "Content-Type: application/merge-patch+json"),
	} {
		if a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1" || a.status(t).Reason != "ServiceUnavailable" || !strings.Contains(a.status(t).Message, "no room") {
			t.Errorf("%d %v %s", a.code, a.header, a.body)
		}
	}
	for _, a := range []answer{
		do(h.Handler(), "GET", path, ""),
		do(h.Handler(), "DELETE", path+"/plain", ""),
		do(h.Handler(), "DELETE", path+"/held", ""),
		do(h.Handler(), "PATCH", path+"/held", `{"metadata":{"finalizers":["example.com/b"]}}`, "Content-Type: application/merge-patch+json"),
		do(h.Handler(), "PATCH", path+"/held", `{"metadata":{"finalizers":null}}`, "Content-Type: application/merge-patch+json"),
	} {
		if a.code != http.StatusOK {
			t.Errorf("%d %s", a.code, a.body)
		}
	}
	for _, name := range []string{"plain", "held"} {
		if a := do(h.Handler(), "GET", path+"/"+name, ""); a.code != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, a.code, a.body)
		}
	}
}
