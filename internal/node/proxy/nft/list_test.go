package nft

import (
	"os/exec"
	"strings"
	"testing"
)

// People look at the rules with nft; what we make must be something it can print. Chains with affinity are not yet: nft
// 1.0.6 aborts on data that comes from one map and goes into another (see affine).
func TestNftPrintsTheTable(t *testing.T) {
	path, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("nft is not installed")
	}
	r := newRig(t)
	list := func() string {
		t.Helper()
		out, err := exec.Command(path, "list", "table", "ip", tableName("0a1b2c3d")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	r.set("ns/s", service(podA, podB))
	if out := list(); !strings.Contains(out, "10.96.0.10 . tcp . 80 : goto cluster-2") {
		t.Error(out)
	}
}
