//go:build e2e

package e2e

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netlink"
)

// inFilter names the rule set that this process, in a network namespace of its own, is to run the scripts with.
const inFilter = "SAMPAN_E2E_FILTER"

// TestNeighbours runs scripts of testdata beside the packet filters that machines have: the whole cluster, with its test, is in
// a network namespace whose rules are those, so that the machine's own are never touched. The rule sets are those of
// internal/node/firewall; nft and iptables load them.
//
//	go test -tags e2e -run TestNeighbours ./e2e/
func TestNeighbours(t *testing.T) {
	if file := os.Getenv(inFilter); file != "" {
		besideFilter(t, file)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("real containers need root")
	}
	for _, file := range []string{"forward-drop.iptables", "docker.iptables", "ufw.iptables", "ufw-reject.iptables", "firewalld.nft", "strict.nft", "ufw.legacy"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel() // no two see each other's rules
			tool := filterTool(file)
			if _, err := exec.LookPath(tool[0]); err != nil {
				t.Skipf("%s is not installed (packages nftables, iptables)", tool[0])
			}
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestNeighbours$", "-test.v")
			cmd.Env = append(os.Environ(), inFilter+"="+file)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "PASS") || strings.Contains(string(out), "--- SKIP") {
				t.Errorf("it did not run:\n%s", out)
			}
		})
	}
}

func filterTool(file string) []string {
	switch filepath.Ext(file) {
	case ".iptables":
		return []string{"iptables-nft-restore"}
	case ".legacy":
		return []string{"iptables-legacy-restore"}
	}
	return []string{"nft", "-f", "-"}
}

func besideFilter(t *testing.T, file string) {
	makeUplink(t)
	rules, err := os.Open(filepath.Join("..", "internal", "node", "firewall", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	defer rules.Close()
	tool := filterTool(file)
	load := exec.Command(tool[0], tool[1:]...)
	load.Stdin = rules
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", tool, err, out)
	}
	before := foreignRules(t)
	c := start(t)
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Files: []string{"testdata/workload.txtar", "testdata/services.txtar", "testdata/streams.txtar"},
			Setup: c.setup,
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"eventually": eventually,
				"background": background,
			},
		})
	})
	if out := c.kubectl(t, "get", "events", "--field-selector", "reason=PacketFilterOpened,involvedObject.kind=Node", "-o", "jsonpath={.items[*].message}"); !strings.Contains(out, "table ") || !strings.Contains(out, "chain ") {
		t.Errorf("no event tells of the rules: %q", out)
	}
	if out := c.kubectl(t, "get", "nodes", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="NetworkUnavailable")].status}`); out != "False" {
		t.Errorf("NetworkUnavailable: %q", out)
	}
	c.down(t)
	if after := foreignRules(t); after != before {
		t.Errorf("down left rules behind:\n%s\nbefore:\n%s", after, before)
	}
}

// makeUplink gives a fresh namespace loopback and a link to a world in which nobody answers.
func makeUplink(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags = "eth0", net.FlagUp
	err = errors.Join(netlink.LinkSetUp(lo), netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	if err != nil {
		t.Fatal(err)
	}
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParsePrefix("192.0.2.10/24")
	err = errors.Join(
		netlink.AddrAdd(eth0, &netlink.Addr{IPNet: &net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), 32)}}),
		netlink.LinkSetUp(eth0),
		netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.IPv4(192, 0, 2, 1)}))
	if err != nil {
		t.Fatal(err)
	}
}

// foreignRules are the rules of this namespace without counters and without the tables of clusters.
func foreignRules(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, tool := range [][]string{{"iptables-nft", "-S"}, {"iptables-legacy", "-S"}, {"nft", "-s", "list", "ruleset", "inet"}} {
		if _, err := exec.LookPath(tool[0]); err != nil {
			continue
		}
		list, err := exec.Command(tool[0], tool[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", tool, err)
		}
		out.Write(list)
	}
	return out.String()
}
