package bootstrap

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/hub/store/memory"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A server that renews is live, one that is silent or that leaves is not.
func TestMasters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := Masters{memory.New()}
		ctx := t.Context()
		a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
		renew := func(ips ...netip.Addr) {
			t.Helper()
			for _, ip := range ips {
				if err := m.Renew(ctx, ip); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := func(text string) {
			t.Helper()
			if live, err := m.Live(ctx); err != nil || fmt.Sprint(live) != text {
				t.Errorf("%v %v, want %s", live, err, text)
			}
		}
		renew(b, a, c)
		want("[192.0.2.1 192.0.2.2 192.0.2.3]")
		if err := m.Leave(ctx, c); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(renewEvery)
			renew(a)
		}
		want("[192.0.2.1]")
		if err := m.Leave(ctx, c); err != nil {
			t.Error(err)
		}
	})
}

func TestExpired(t *testing.T) {
	now := time.Now()
	lease := func(age time.Duration, seconds int32) *coordinationv1.Lease {
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: now.Add(-age)}, LeaseDurationSeconds: &seconds}}
	}
	for _, row := range []struct {
		l    *coordinationv1.Lease
		want bool
	}{{lease(time.Minute, 3600), false}, {lease(2*time.Hour, 3600), true}, {&coordinationv1.Lease{}, true}} {
		if got := expired(row.l, now); got != row.want {
			t.Errorf("%v: %v", row.l.Spec, got)
		}
	}
	if id := NewIdentity(); len(id.name) != len("apiserver-")+26 || id.holder[:len(id.name)+1] != id.name+"_" {
		t.Errorf("%+v", id)
	}
}
