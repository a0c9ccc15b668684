//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// inHost says that this process is in a network namespace that is a machine of its own.
const inHost = "SAMPAN_E2E_HOST"

// TestHost gives a cluster a machine whose network the test may change: one that listens on loopback only, and one whose
// address, MTU and default route change while it runs.
func TestHost(t *testing.T) {
	if os.Getenv(inHost) == "" {
		if os.Geteuid() != 0 {
			t.Skip("real containers need root")
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestHost$", "-test.v")
		cmd.Env = append(os.Environ(), inHost+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestHost/another_address") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	makeUplink(t)
	t.Run("loopback", func(t *testing.T) { onLoopback(t, 1) })
	t.Run("loopback with two nodes", func(t *testing.T) { onLoopback(t, 2) })
	t.Run("another address", anotherAddress)
}

// client is a pod that asks the API server by its name and by its endpoint.
const client = `
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  containers: [{name: c, image: "sampan.dev/busybox:1", imagePullPolicy: Never, command: [sleep, "3600"]}]
  terminationGracePeriodSeconds: 0
`

func onLoopback(t *testing.T, nodes int) {
	c := newCluster(t, "--nodes", fmt.Sprint(nodes))
	c.flags = append(c.flags, "--listen", "127.0.0.1:"+c.port)
	out := c.up(t)
	c.images(t)
	endpoint := c.kubectl(t, "get", "endpoints", "kubernetes", "-o", "jsonpath={.subsets[0].addresses[0].ip}:{.subsets[0].ports[0].port}")
	if !strings.Contains(out, "https://"+endpoint) {
		t.Errorf("endpoint %s, but up says\n%s", endpoint, out)
	}
	conn, err := net.DialTimeout("tcp", endpoint, 10*time.Second)
	if err != nil {
		t.Fatalf("what is advertised: %v", err)
	}
	conn.Close()
	if conn, err := net.DialTimeout("tcp", "192.0.2.10:"+c.port, 10*time.Second); err == nil {
		conn.Close()
		t.Error("it listens on the address that others reach, too")
	}
	c.kubectlIn(t, client, "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/client", "--for=condition=Ready", "--timeout=300s")
	asksTheServer(t, c, "kubernetes.default.svc", endpoint)
}

// asksTheServer has the pod ask by names and addresses, verifying the certificate.
func asksTheServer(t *testing.T, c *cluster, where ...string) {
	t.Helper()
	for _, host := range where {
		until(t, 30*time.Second, "the API server at "+host+" from a pod", func() error {
			out, err := exec.Command(c.bin+"/kubectl", "--kubeconfig", c.kubeconfig, "exec", "client", "--",
				"env", "SSL_CERT_FILE=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "fetch", "https://"+host+"/version").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
}

func anotherAddress(t *testing.T) {
	c := start(t)
	c.kubectlIn(t, client, "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/client", "--for=condition=Ready", "--timeout=300s")
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	next := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(198, 51, 100, 7).To4(), Mask: net.CIDRMask(24, 32)}}
	last := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 10).To4(), Mask: net.CIDRMask(24, 32)}}
	err = errors.Join(
		netlink.AddrDel(eth0, last), // the default route goes with it
		netlink.AddrAdd(eth0, next),
		netlink.LinkSetMTU(eth0, 1380),
		netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.IPv4(198, 51, 100, 1)}))
	if err != nil {
		t.Fatal(err)
	}
	for what, args := range map[string][]string{
		"endpoints": {"get", "endpoints", "kubernetes", "-o", "jsonpath={.subsets[0].addresses[0].ip}"},
		"slice":     {"get", "endpointslice", "kubernetes", "-o", "jsonpath={.endpoints[0].addresses[0]}"},
		"node":      {"get", "node", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`},
	} {
		until(t, 20*time.Second, what, func() error {
			if got := c.kubectl(t, args...); got != "198.51.100.7" {
				return fmt.Errorf("%q", got)
			}
			return nil
		})
	}
	asksTheServer(t, c, "kubernetes.default.svc", "198.51.100.7:"+c.port)
	c.kubectlIn(t, strings.Replace(client, "client", "later", 1), "apply", "-f", "-")
	c.kubectl(t, "wait", "pod/later", "--for=condition=Ready", "--timeout=300s")
	if mtu := c.kubectl(t, "exec", "later", "--", "cat", "/sys/class/net/eth0/mtu"); strings.TrimSpace(mtu) != "1380" {
		t.Errorf("a new pod's MTU is %s", mtu)
	}
	// The kubelet's certificate and its address: what the hub asks a kubelet goes there.
	until(t, 30*time.Second, "logs", func() error {
		out, err := exec.Command(c.bin+"/kubectl", "--kubeconfig", c.kubeconfig, "logs", "later").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}
