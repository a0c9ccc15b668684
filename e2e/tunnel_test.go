//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// hidden is a machine behind a router that translates addresses and lets nothing in.
type hidden struct {
	router otherMachine
	netns  string
	addr   string
}

// newHidden makes one. Whatever is begun from this side is counted by the router and dropped, and counted by the machine itself.
func newHidden(t *testing.T) hidden {
	t.Helper()
	r := newOtherMachine(t)
	h := hidden{router: r, netns: r.netns + "-h", addr: "172.31.255.2"}
	run(t, "ip", "netns", "add", h.netns)
	t.Cleanup(func() { run(t, "ip", "netns", "del", h.netns) })
	run(t, "ip", "-n", r.netns, "link", "add", "inner", "type", "veth", "peer", "name", "eth0", "netns", h.netns)
	for _, args := range []string{r.netns + " addr add 172.31.255.1/30 dev inner", r.netns + " link set inner up",
		h.netns + " addr add 172.31.255.2/30 dev eth0", h.netns + " link set eth0 up", h.netns + " link set lo up", h.netns + " route add default via 172.31.255.1"} {
		run(t, "ip", append([]string{"-n"}, strings.Fields(args)...)...)
	}
	run(t, "nsenter", "--net=/run/netns/"+r.netns, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	nft(t, r.netns, `table ip e2e {
		counter begun { }
		chain post { type nat hook postrouting priority srcnat; iifname "inner" masquerade; }
		chain pre { type filter hook prerouting priority 0; iifname != "inner" ct state new counter name begun drop; }
	}`)
	nft(t, h.netns, `table ip e2e {
		counter begun { }
		chain pre { type filter hook prerouting priority -300; iifname "eth0" tcp flags & (syn | ack) == syn counter name begun; }
	}`)
	return h
}

func nft(t *testing.T, netns, rules string) {
	t.Helper()
	cmd := exec.Command("nsenter", "--net=/run/netns/"+netns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

// begun is how many packets have begun something towards the machine: at the router, and at the machine.
func (h hidden) begun(t *testing.T) int {
	t.Helper()
	return counted(t, h.router.netns, "begun") + counted(t, h.netns, "begun")
}

// counted is how many packets a counter of the test's table has seen.
func counted(t *testing.T, netns, counter string) (sum int) {
	t.Helper()
	out, err := exec.Command("nsenter", "--net=/run/netns/"+netns, "nft", "-j", "list", "counter", "ip", "e2e", counter).Output()
	if err != nil {
		t.Fatalf("nft: %v", err)
	}
	var got struct {
		Nftables []struct{ Counter *struct{ Packets int } }
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for _, o := range got.Nftables {
		if o.Counter != nil {
			sum += o.Counter.Packets
		}
	}
	return sum
}

// TestTunnel has a node behind a router that lets nothing in. Its agent keeps a connection to the control plane, and all that
// the control plane has to do with the node goes through it.
func TestTunnel(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	h := newHidden(t)
	tunnel := freePort(t)
	server := newCluster(t, "--no-node", "--tls-san", h.router.here, "--node-tunnel=konnectivity", "--tunnel-listen", "0.0.0.0:"+tunnel)
	server.up(t)
	node := newCluster(t)
	node.netns = h.netns
	node.agent(t, append(server.join(t, h.router.here), "--data-dir", node.dir, "--hostname-override", "joined", "--node-ip", h.addr,
		"--tunnel", "--tunnel-server", h.router.here+":"+tunnel, "--cluster-cidr", server.flags[6], "--service-cidr", server.flags[8]))
	until(t, 60*time.Second, "node joined", func() error {
		_, err := exec.Command(filepath.Join(server.bin, "kubectl"), "--kubeconfig", server.kubeconfig, "get", "node", "joined").CombinedOutput()
		return err
	})
	server.kubectl(t, "wait", "node/joined", "--for=condition=Ready", "--timeout=300s")
	before := h.begun(t)
	node.images(t)
	server.kubectlIn(t, tunnelPods, "apply", "-f", "-")
	server.kubectl(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=300s")
	until(t, 20*time.Second, "the kubelet has its certificate", func() error {
		_, err := exec.Command(filepath.Join(server.bin, "kubectl"), "--kubeconfig", server.kubeconfig, "logs", "web").CombinedOutput()
		return err
	})
	t.Run("everything goes through it", func(t *testing.T) { server.allOfANode(t) })

	server.kill(t)
	server.up(t)
	back := time.Now()
	until(t, 30*time.Second, "the agent is back", func() error {
		_, err := exec.Command(filepath.Join(server.bin, "kubectl"), "--kubeconfig", server.kubeconfig, "exec", "web", "--", "true").CombinedOutput()
		return err
	})
	t.Logf("%v after the server was ready again, an exec works", time.Since(back).Round(time.Millisecond))
	if n := h.begun(t) - before; n != 0 {
		t.Errorf("%d packets began something towards the node", n)
	}
}

const tunnelPods = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: sampan.dev/busybox:1
    command: [sh, -c, "echo begins; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"]
    ports: [{containerPort: 8080}]
    readinessProbe: {httpGet: {port: 8080, path: /index.html}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
`

// join is the command line of an agent that joins the cluster, whose API server is at the address.
func (c *cluster) join(t *testing.T, address string) []string {
	t.Helper()
	printed, err := c.sampan("token", "--data-dir", c.dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	join := strings.Fields(strings.ReplaceAll(printed, "ADDRESS", address))[1:]
	if i := slices.Index(join, "--server"); i >= 0 {
		join[i+1] = "https://" + address + ":" + c.port
	}
	return join
}

// allOfANode uses every way from the control plane to a node once.
func (c *cluster) allOfANode(t *testing.T) {
	for _, w := range []struct {
		what string
		args []string
		want string
	}{
		{"logs", []string{"logs", "web"}, "begins"},
		{"exec", []string{"exec", "web", "--", "cat", "/www/index.html"}, "hello"},
		{"node proxy", []string{"get", "--raw", "/api/v1/nodes/joined/proxy/healthz"}, "ok"},
		{"pod proxy", []string{"get", "--raw", "/api/v1/namespaces/default/pods/web:8080/proxy/index.html"}, "hello"},
	} {
		if got := c.kubectl(t, w.args...); !strings.Contains(got, w.want) {
			t.Errorf("%s: %q", w.what, got)
		}
	}
	until(t, 20*time.Second, "the service has an endpoint", func() error {
		out, err := exec.Command(filepath.Join(c.bin, "kubectl"), "--kubeconfig", c.kubeconfig, "get", "--raw", "/api/v1/namespaces/default/services/web:http/proxy/index.html").CombinedOutput()
		if err == nil && !strings.Contains(string(out), "hello") {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	big := string(bytes.Repeat([]byte("0123456789abcde\n"), 1<<16))
	if got := c.kubectlIn(t, big, "exec", "-i", "web", "--", "cat"); got != big {
		t.Errorf("exec -i: %d bytes come back of %d", len(got), len(big))
	}
	c.portForward(t)
}

func (c *cluster) portForward(t *testing.T) {
	t.Helper()
	port := freePort(t)
	cmd := exec.Command(filepath.Join(c.bin, "kubectl"), "--kubeconfig", c.kubeconfig, "port-forward", "pod/web", port+":8080")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}()
	until(t, 20*time.Second, "the forwarded port answers", func() error {
		res, err := http.Get("http://127.0.0.1:" + port + "/index.html")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && string(body) != "hello\n" {
			err = fmt.Errorf("%q", body)
		}
		return err
	})
}
