package hub

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api/all"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
)

// crammed takes no values while it is full, as one whose disk has no room does.
type crammed struct {
	store.Store
	full atomic.Bool
}

func (s *crammed) Writable() error {
	if s.full.Load() {
		return store.ErrFull
	}
	return nil
}

func (s *crammed) Create(ctx context.Context, key string, value []byte, ttl int64) (int64, error) {
	if err := s.Writable(); err != nil && !store.IsVital(ctx) {
		return 0, err
	}
	return s.Store.Create(ctx, key, value, ttl)
}

func (s *crammed) Update(ctx context.Context, key string, value []byte, expect, ttl int64) (int64, error) {
	if err := s.Writable(); err != nil && !store.IsVital(ctx) {
		return 0, err
	}
	return s.Store.Update(ctx, key, value, expect, ttl)
}

// A hub that is started on a store that takes no values serves what is there, deletes, and refuses; when there is room it writes
// what belongs to the system and is missing. On one that is empty it does not come up.
func TestStartOnAFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const configMaps, role = "/api/v1/namespaces/default/configmaps", "/apis/rbac.authorization.k8s.io/v1/clusterroles/edit"
		st := &crammed{Store: memory.New()}
		first := start(t, func(c *Config) { c.Store = open{st} })
		expect(t, first, "201 POST "+configMaps, `{"metadata":{"name":"there"}}`)
		expect(t, first, "200 DELETE "+role, "")
		st.full.Store(true)
		h := start(t, func(c *Config) { c.Store = open{st} })
		expect(t, h, "200 GET "+configMaps+"/there", "")
		expect(t, h, "404 GET "+role, "")
		if a := expect(t, h, "503 POST "+configMaps, `{"metadata":{"name":"more"}}`); !strings.Contains(a.status(t).Message, "takes no more values") {
			t.Errorf("%s", a.body)
		}
		expect(t, h, "200 DELETE "+configMaps+"/there", "")
		st.full.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, h, "200 GET "+role, "")
		expect(t, h, "201 POST "+configMaps, `{"metadata":{"name":"more"}}`)
	})

	st := &crammed{Store: memory.New()}
	st.full.Store(true)
	h, err := New(Config{
		Kinds: all.Kinds(), Store: st, Log: quiet(), Bootstrap: true, DNS: true,
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "takes no more values") {
		t.Errorf("on an empty store: %v", err)
	}
}

// open is a store that outlives the hub which it is given to.
type open struct{ *crammed }

func (open) Close() error { return nil }
