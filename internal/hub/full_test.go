package hub

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api/all"
	"sampan.dev/internal/hub/store/memory"
)

// A hub that is started on a store that takes no values serves what is there, deletes, and refuses; when there is room it writes
// what belongs to the system and is missing. On one that is empty it does not come up.
func TestStartOnAFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const configMaps, role = "/api/v1/namespaces/default/configmaps", "/apis/rbac.authorization.k8s.io/v1/clusterroles/edit"
		st := &fullStore{Store: memory.New()}
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

	st := &fullStore{Store: memory.New()}
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
type open struct{ *fullStore }

func (open) Close() error { return nil }
