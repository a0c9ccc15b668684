//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/node/hostnet"

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

// TestProxyWithoutNetAdmin runs a proxy of its own that lacks CAP_NET_ADMIN: it chooses userspace and says why, serves node
// ports, and ClusterIPs at their places in 127/8.
func TestProxyWithoutNetAdmin(t *testing.T) {
	c := newCluster(t, "--no-node")
	t.Logf("%s", c.up(t))
	host, err := hostnet.Address()
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.Listen("tcp4", host.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })}
	go func() { _ = srv.Serve(back) }()
	t.Cleanup(func() { _ = srv.Close() })
	_, port, _ := net.SplitHostPort(back.Addr().String())
	c.kubectlIn(t, fmt.Sprintf(handmade, port, port, host), "apply", "-f", "-")

	metrics := "127.0.0.1:" + freePort(t)
	proxy := exec.Command("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", filepath.Join(c.bin, "sampan"), "kube-proxy",
		"--kubeconfig", c.kubeconfig, "--hostname-override", "here", "--healthz-bind-address", "127.0.0.1:"+freePort(t), "--metrics-bind-address", metrics)
	log, err := os.Create(filepath.Join(t.TempDir(), "proxy.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	proxy.Stdout, proxy.Stderr = log, log
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = proxy.Process.Kill()
		_ = proxy.Wait()
		if out, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s", out)
		}
	})
	ip := c.kubectl(t, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	nodePort := c.kubectl(t, "get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
	_, rest, _ := strings.Cut(ip, ".")
	for url, want := range map[string]string{
		"http://" + metrics + "/proxyMode": "userspace",
		"http://127." + rest + ":80/":      "hello",
		"http://127.0.0.1:" + nodePort:     "hello",
	} {
		until(t, 30*time.Second, url, func() error {
			resp, err := http.Get(url)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); string(got) != want {
				return fmt.Errorf("%q, want %q: %v", got, want, err)
			}
			return nil
		})
	}
	until(t, 30*time.Second, "events", func() error {
		got := c.kubectl(t, "get", "events", "-o", "jsonpath={.items[*].reason}")
		if !strings.Contains(got, "ProxyInUserspace") || !strings.Contains(got, "ServiceAddressUnavailable") {
			return fmt.Errorf("only %q", got)
		}
		return nil
	})
}

// handmade is a Service whose endpoint is the test itself, at the host's address: an endpoint may not be on loopback.
const handmade = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ports: [{port: 80, targetPort: %s}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-1
  labels: {kubernetes.io/service-name: web}
addressType: IPv4
ports: [{name: "", port: %s, protocol: TCP}]
endpoints: [{addresses: [%s]}]
`
