package coordination

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
)

func TestLease(t *testing.T) {
	zero, minus := int32(0), int32(-1)
	strategy, holder := coordinationv1.CoordinatedLeaseStrategy("x"), "h"
	for _, c := range []struct {
		spec coordinationv1.LeaseSpec
		want string
	}{
		{coordinationv1.LeaseSpec{}, ``},
		{coordinationv1.LeaseSpec{LeaseDurationSeconds: &zero, LeaseTransitions: &minus}, `[spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0]`},
		{coordinationv1.LeaseSpec{Strategy: &strategy}, `spec.strategy.strategy: Unsupported value: "x": supported values: "OldestEmulationVersion"`},
		{coordinationv1.LeaseSpec{PreferredHolder: &holder}, "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"},
	} {
		got := ""
		if errs := Leases().Validate(&coordinationv1.Lease{Spec: c.spec}); len(errs) > 0 {
			got = errs.ToAggregate().Error()
		}
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	l := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{Strategy: &strategy, HolderIdentity: &holder}}
	Leases().PrepareCreate(l)
	if l.Spec.Strategy != nil {
		t.Error("the strategy is kept though its gate is off")
	}
	if row := Leases().Row(l); row[1] != "h" {
		t.Error(row)
	}
}
