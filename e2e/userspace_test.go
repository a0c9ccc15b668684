//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestUserspaceProxy runs the script about Services on a node whose proxy does without a packet filter: ClusterIPs and node ports
// from the host and from a pod. What it made of the machine goes with down.
func TestUserspaceProxy(t *testing.T) {
	c := start(t, "--proxy-mode=userspace")
	log, err := os.ReadFile(filepath.Join(c.dir, "sampan.log"))
	if err != nil || !strings.Contains(string(log), "services are forwarded in userspace") {
		t.Errorf("the log does not say how services are forwarded: %v", err)
	}
	services := strings.TrimSuffix(c.flags[len(c.flags)-2], "0.0/16") // of the service range; the mode is the last flag
	routes := func() int {
		out, err := exec.Command("ip", "-4", "route", "show", "table", "local", "proto", "83").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.Count(string(out), "local "+services)
	}
	if routes() < 2 { // of the API server and of DNS
		t.Errorf("%d ClusterIPs in %s… are the machine's own", routes(), services)
	}
	t.Run("script", func(t *testing.T) { // which runs beside its parent otherwise
		testscript.Run(t, testscript.Params{
			Files: []string{"testdata/services.txtar"},
			Setup: c.setup,
			Cmds:  map[string]func(*testscript.TestScript, bool, []string){"eventually": eventually, "background": background},
		})
	})
	c.down(t)
	if routes() != 0 {
		t.Errorf("%d ClusterIPs are left", routes())
	}
}
