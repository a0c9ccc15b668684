package arch

import (
	"os"
	"path/filepath"
	"testing"
)

// budget is the most that the stripped binary may weigh: on these kernels most of the file is resident memory. CEL is 6 MB of it,
// the types of all groups 5, the controllers, the plugins of the scheduler and what the kubelet does beyond running pods 5, CSI, devices by
// claims and logind's bus 2.
const budget = 71_000_000

func TestBinaryKeepsToItsBudget(t *testing.T) {
	info, err := os.Stat(filepath.Join(root(t), "bin", "sampan"))
	if err != nil {
		t.Skipf("no binary to weigh (%v); 'make build' makes it, and 'make test' builds first", err)
	}
	if info.Size() > budget {
		t.Errorf("bin/sampan is %d bytes, budget %d; is text/template reachable? (go list -deps ./cmd/sampan)", info.Size(), budget)
	}
	t.Logf("bin/sampan is %d of %d bytes", info.Size(), budget)
}
