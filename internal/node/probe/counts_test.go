package probe

import (
	"strings"
	"testing"
)

func TestCounts(t *testing.T) {
	var c Counts
	var b strings.Builder
	if c.Write(&b); b.Len() != 0 {
		t.Errorf("nothing was counted: %s", b.String())
	}
	one := Counted{Kind: Readiness, Result: Success, Namespace: "ns", Pod: "p", Container: "c", UID: "u"}
	other := one
	other.UID, other.Result = "v", Failure
	c.Add(one)
	c.Add(one)
	c.Add(other)
	c.Forget("v")
	c.Write(&b)
	want := `prober_probe_total{container="c",namespace="ns",pod="p",pod_uid="u",probe_type="Readiness",result="successful"} 2`
	if got := b.String(); !strings.Contains(got, want) || strings.Contains(got, "failed") {
		t.Error(got)
	}
}
