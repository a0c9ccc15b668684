package firewall

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/node/netnstest"

	"github.com/google/nftables"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

var node = Sample{Links: []string{"smp-"}, Node: netip.MustParseAddr("10.244.3.1"), Pod: netip.MustParseAddr("10.244.3.2"), Uplink: "eth0"}

func testConfig() Config {
	return Config{Mark: "sampan-network", Ours: func(t string) bool { return t == "kube-proxy" }}
}

// load gives this namespace a rule set of testdata with the tool that its name ends with, and takes it away in the end.
func load(t *testing.T, file string) {
	t.Helper()
	netnstest.Need(t)
	flush(t)
	t.Cleanup(func() { flush(t) })
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	tool, args := "nft", []string{"-f", "-"}
	switch filepath.Ext(file) {
	case ".iptables":
		tool, args = "iptables-nft-restore", nil
	case ".legacy":
		tool, args = "iptables-legacy-restore", nil
	}
	runTool(t, data, tool, args...)
}

func runTool(t *testing.T, input []byte, tool string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("%s is not installed (packages nftables, iptables)", tool)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", tool, args, err, out)
	}
	return string(out)
}

func flush(t *testing.T) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	conn.FlushRuleset()
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if tool := legacyTool(); tool != "" && hasLegacy() {
		for _, args := range [][]string{{"-P", "FORWARD", "ACCEPT"}, {"-P", "INPUT", "ACCEPT"}, {"-P", "OUTPUT", "ACCEPT"}, {"-F"}, {"-X"}} {
			if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
				t.Fatalf("%s %v: %v\n%s", tool, args, err, out)
			}
		}
	}
}

// rules are all rules of this namespace, those with our mark apart.
func rules(t *testing.T) (all, marked []string) {
	t.Helper()
	tables, err := read(func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := readLegacy()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range append(tables, legacy...) {
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				line := table.Name + " " + c.Name + " " + r.Text
				all = append(all, line)
				if r.Comment == testConfig().Mark {
					marked = append(marked, line)
				}
			}
		}
	}
	slices.Sort(all)
	return all, marked
}

// Whatever the rule set: pods get through, nothing is left of it afterwards, and what drops nothing is left alone.
func TestRuleSets(t *testing.T) {
	for _, test := range []struct {
		file  string
		hooks string // of the chains that rules of ours are needed in
	}{
		{"clean.nft", ""},
		{"forward-drop.iptables", "FORWARD"},
		{"forward-drop.legacy", "FORWARD"},
		{"all-drop.legacy", "FORWARD INPUT OUTPUT"},
		{"docker.iptables", "FORWARD"},
		{"docker.legacy", "FORWARD"},
		{"ufw.iptables", "FORWARD INPUT"},
		{"ufw-reject.iptables", "FORWARD INPUT"},
		{"ufw.legacy", "FORWARD INPUT"},
		{"oracle.iptables", "FORWARD INPUT"},
		{"firewalld.nft", "filter_FORWARD filter_INPUT"},
		{"workstation.nft", "forward input"},
		{"router.nft", "forward forward input"},
		{"strict.nft", "forward input output"},
		{"prerouting.nft", "pre"},
		{"named.nft", ""},
	} {
		t.Run(test.file, func(t *testing.T) {
			load(t, test.file)
			before, _ := rules(t)
			rep, err := Open(testConfig(), node)
			if err != nil || rep.Err != nil || len(rep.Blocked) > 0 {
				t.Fatalf("open: %v, %v, still blocked: %v", err, rep.Err, rep.Blocked)
			}
			var chains []string
			for _, d := range rep.Opened {
				chains = append(chains, d.By.Chain.Name)
			}
			_, marked := rules(t)
			for _, name := range strings.Fields(test.hooks) {
				if !slices.ContainsFunc(marked, func(s string) bool { return strings.Contains(s, " "+name+" ") }) {
					t.Errorf("no rule in %s; ours are %q, opened %q", name, marked, chains)
				}
			}
			if n := len(marked); (n > 0) != (test.hooks != "") || n > 2*len(strings.Fields(test.hooks)) {
				t.Errorf("our rules: %q", marked)
			}
			again, err := Open(testConfig(), node)
			if err != nil || len(again.Opened)+len(again.Blocked) > 0 {
				t.Errorf("a second look: %v, %+v", err, again)
			}
			if err := Cleanup(testConfig()); err != nil {
				t.Error(err)
			}
			if after, _ := rules(t); !slices.Equal(before, after) {
				t.Errorf("left behind: %q, before %q", after, before)
			}
		})
	}
}

// What iptables saves and restores is still ours.
func TestSavedAndRestored(t *testing.T) {
	for _, test := range []struct{ file, save, restore string }{
		{"docker.iptables", "iptables-nft-save", "iptables-nft-restore"},
		{"docker.legacy", "iptables-legacy-save", "iptables-legacy-restore"},
	} {
		t.Run(test.file, func(t *testing.T) {
			load(t, test.file)
			before, _ := rules(t)
			if rep, err := Open(testConfig(), node); err != nil || len(rep.Opened) == 0 {
				t.Fatalf("open: %v, %+v", err, rep)
			}
			saved := runTool(t, nil, test.save)
			if n := strings.Count(saved, "--comment sampan-network"); n != 2 {
				t.Errorf("%s shows %d rules of ours:\n%s", test.save, n, saved)
			}
			runTool(t, []byte(saved), test.restore)
			if rep, err := Open(testConfig(), node); err != nil || len(rep.Opened)+len(rep.Blocked) > 0 {
				t.Errorf("after a restore: %v, %+v", err, rep)
			}
			if err := Cleanup(testConfig()); err != nil {
				t.Error(err)
			}
			if after, _ := rules(t); !slices.Equal(before, after) {
				t.Errorf("left behind: %q, before %q", after, before)
			}
		})
	}
}

// Rules of ours go behind what an administrator drops by name, come before what drops all, move when that moves, and go
// when nothing drops any more.
func TestPositions(t *testing.T) {
	load(t, "clean.nft")
	nft := func(script string) { runTool(t, []byte(script), "nft", "-f", "-") }
	open := func() Report {
		rep, err := Open(testConfig(), node)
		if err != nil || rep.Err != nil || len(rep.Blocked) > 0 {
			t.Fatalf("%v, %+v", err, rep)
		}
		return rep
	}
	order := func() string {
		tables, err := read(testConfig().Ours)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, table := range tables {
			if table.Name == "ip a" {
				for _, r := range table.Chains["f"].Rules {
					out = append(out, r.Comment)
				}
			}
		}
		return strings.Join(out, " ")
	}
	nft(`table ip a { chain f { type filter hook forward priority 0; policy drop; ip daddr 169.254.169.254 drop comment "named"; }; }`)
	open()
	if got := order(); got != "named sampan-network sampan-network" {
		t.Errorf("policy: %s", got)
	}
	nft(`insert rule ip a f drop comment "all"`)
	if rep := open(); len(rep.Opened) == 0 || !strings.Contains(rep.Opened[0].By.String(), "table ip a, chain f, rule ") {
		t.Errorf("%+v", rep)
	}
	if got := order(); got != "sampan-network sampan-network all named" {
		t.Errorf("a rule before ours: %s", got)
	}
	nft(`flush chain ip a f; add chain ip a f { policy accept; }; add rule ip a f ip daddr 169.254.169.254 drop comment "named"`)
	nft(`add rule ip a f iifname "smp-*" accept comment "sampan-network"`)
	open()
	if got := order(); got != "named" {
		t.Errorf("nothing drops: %s", got)
	}
}

// A table that its owner lets nobody change is named.
func TestOwnedTable(t *testing.T) {
	load(t, "clean.nft")
	netnstest.OwnedTable(t, "kept")
	if _, marked := rules(t); len(marked) > 0 {
		t.Fatal(marked)
	}
	rep, err := Open(testConfig(), node)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Err == nil || len(rep.Blocked) == 0 || rep.Blocked[0].By.String() != "table inet kept, chain forward: policy drop" {
		t.Errorf("%+v", rep)
	}
}
