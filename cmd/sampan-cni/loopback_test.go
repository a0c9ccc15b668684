package main

import (
	"encoding/json"
	"runtime"
	"testing"

	"sampan.dev/internal/node/netnstest"

	"github.com/vishvananda/netlink"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// Under the name loopback the plugin is what runtimes expect of it, in the words of every version that they speak.
func TestLoopback(t *testing.T) {
	netnstest.Need(t)
	for program, want := range map[string]bool{"/opt/cni/bin/loopback": true, "loopback": true, "/opt/cni/bin/sampan-cni": false, "/loopback/sampan-cni": false} {
		if isLoopback(program) != want {
			t.Errorf("%s: %v", program, !want)
		}
	}
	for version, ipVersion := range map[string]string{"0.3.1": "4", "0.4.0": "4", "1.0.0": "", "1.1.0": ""} {
		ns := netnstest.New(t)
		t.Setenv("CNI_NETNS", ns)
		type answer struct {
			out  []byte
			fail *failure
		}
		got := make(chan answer)
		go func() {
			runtime.LockOSThread() // and never unlocked: it ends in the other namespace
			out, fail := loopback("ADD", []byte(`{"cniVersion":"`+version+`","name":"cni-loopback","type":"loopback"}`))
			got <- answer{out, fail}
		}()
		a := <-got
		if a.fail != nil {
			t.Fatalf("%+v", a.fail)
		}
		var res struct {
			CNIVersion string
			Interfaces []struct{ Name, Sandbox string }
			IPs        []struct {
				Version, Address string
				Interface        int
			}
		}
		if err := json.Unmarshal(a.out, &res); err != nil || res.CNIVersion != version || len(res.IPs) != 2 || res.IPs[0].Address != "127.0.0.1/8" ||
			res.IPs[0].Version != ipVersion || len(res.Interfaces) != 1 || res.Interfaces[0].Name != "lo" || res.Interfaces[0].Sandbox != ns {
			t.Errorf("%s: %s, %v", version, a.out, err)
		}
		netnstest.In(t, ns, func() error {
			lo, err := netlink.LinkByName("lo")
			if err == nil && lo.Attrs().RawFlags&1 == 0 {
				t.Error("lo is down")
			}
			return err
		})
	}
	for _, command := range []string{"DEL", "CHECK", "STATUS"} {
		if out, fail := loopback(command, []byte(`{"cniVersion":"1.0.0"}`)); fail != nil || len(out) > 0 {
			t.Errorf("%s: %s, %+v", command, out, fail)
		}
	}
	t.Setenv("CNI_NETNS", "/nowhere")
	if _, fail := loopback("ADD", []byte(`{"cniVersion":"1.0.0"}`)); fail == nil {
		t.Error("no such namespace, and no error")
	}
}
