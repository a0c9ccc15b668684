//go:build e2e

package e2e

import (
	"crypto/sha256"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// segment is a network of its own: a bridge of this machine with an address on it, and machines in namespaces at its ports.
type segment struct {
	t      *testing.T
	bridge string
	prefix string // of its addresses: "198.19.7."
	here   string
	ports  int
}

func newSegment(t *testing.T) *segment {
	t.Helper()
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Skip("nsenter is not installed")
	}
	sum := sha256.Sum256([]byte(t.TempDir())) // differs for each test of each process
	s := &segment{t: t, bridge: fmt.Sprintf("e2ec%x", sum[:4]), prefix: fmt.Sprintf("198.19.%d.", sum[0])}
	s.here = s.prefix + "1"
	run(t, "ip", "link", "add", s.bridge, "type", "bridge")
	t.Cleanup(func() { run(t, "ip", "link", "del", s.bridge) })
	run(t, "ip", "addr", "add", s.here+"/24", "dev", s.bridge)
	run(t, "ip", "link", "set", s.bridge, "up")
	return s
}

// machine adds one with an address and a default route, and says its namespace and the address of its link.
func (s *segment) machine(host int) (netns, addr, mac string) {
	s.t.Helper()
	s.ports++
	netns, addr = fmt.Sprintf("%s-%d", s.bridge, s.ports), fmt.Sprintf("%s%d", s.prefix, host)
	port := fmt.Sprintf("%s%d", strings.Replace(s.bridge, "e2ec", "e2ed", 1), s.ports)
	run(s.t, "ip", "netns", "add", netns)
	s.t.Cleanup(func() { run(s.t, "ip", "netns", "del", netns) })
	run(s.t, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", netns)
	run(s.t, "ip", "link", "set", port, "master", s.bridge, "up")
	for _, args := range []string{"addr add " + addr + "/24 dev eth0", "link set eth0 up", "link set lo up", "route add default via " + s.here} {
		run(s.t, "ip", append([]string{"-n", netns}, strings.Fields(args)...)...)
	}
	out, err := exec.Command("ip", "-n", netns, "-o", "link", "show", "eth0").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(out), "link/ether ")
	return netns, addr, strings.Fields(rest)[0]
}

// asks is what a machine hears that sends a request to an address.
func asks(netns, url string) (string, error) {
	out, err := exec.Command("nsenter", "--net=/run/netns/"+netns, "wget", "-q", "-T", "2", "-t", "1", "-O", "-", url).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// holder is the hardware address that a machine's kernel has found out for an address.
func holder(netns, addr string) string {
	out, _ := exec.Command("ip", "-n", netns, "neigh", "show", addr).Output()
	_, rest, _ := strings.Cut(string(out), "lladdr ")
	if f := strings.Fields(rest); len(f) > 0 {
		return f[0]
	}
	return strings.TrimSpace(string(out))
}

// TestBalancerRange has Services of type LoadBalancer get addresses of a range, which a machine beside the nodes finds by ARP, and whose pods
// see that machine's address. When the node that announces one ends, the other takes it over.
func TestBalancerRange(t *testing.T) {
	t.Parallel()
	s := newSegment(t)
	server := newCluster(t, "--no-node", "--tls-san", s.here, "--load-balancer-range", s.prefix+"100-"+s.prefix+"101", "--node-monitor-grace-period=20s")
	server.up(t)
	nodes, macs := map[string]*cluster{}, map[string]string{}
	for i, name := range []string{"one", "two"} {
		netns, addr, mac := s.machine(i + 2)
		n := newCluster(t)
		n.netns = netns
		n.agent(t, append(append(server.join(t, s.here), "--data-dir", n.dir, "--hostname-override", name, "--node-ip", addr), server.flags[5:9]...))
		nodes[name], macs[mac] = n, name
	}
	client, clientIP, _ := s.machine(9)
	for name, n := range nodes {
		until(t, 60*time.Second, "node "+name+" joined", func() error {
			_, err := exec.Command(filepath.Join(server.bin, "kubectl"), "--kubeconfig", server.kubeconfig, "get", "node", name).CombinedOutput()
			return err
		})
		server.kubectl(t, "wait", "node/"+name, "--for=condition=Ready", "--timeout=300s")
		n.images(t)
	}
	server.kubectlIn(t, strings.ReplaceAll(balancerApps, "ADDRESS", s.prefix+"101"), "apply", "-f", "-")
	server.kubectl(t, "rollout", "status", "daemonset/each", "--timeout=300s")
	server.kubectl(t, "rollout", "status", "deployment/single", "--timeout=300s")
	c := &cloud{cluster: server, t: t}
	const ip = "jsonpath={.status.loadBalancer.ingress[0].ip} {.status.loadBalancer.ingress[0].ipMode}"
	c.until(s.prefix+"101 VIP", "get", "service", "each", "-o", ip) // as its annotation wishes
	c.until(s.prefix+"100 VIP", "get", "service", "single", "-o", ip)

	// Both policies show the pods who their client is; with Cluster since the node of the only pod announces the address.
	answers := func(addr string) {
		t.Helper()
		until(t, 60*time.Second, addr+" answers", func() error {
			got, err := asks(client, "http://"+addr+"/cgi-bin/who")
			if err == nil && got != "client "+clientIP {
				err = fmt.Errorf("%q", got)
			}
			return err
		})
	}
	answers(s.prefix + "101")
	answers(s.prefix + "100")
	first := macs[holder(client, s.prefix+"101")]
	if first == "" {
		t.Fatalf("%s101 is at %q, which is neither node: %v", s.prefix, holder(client, s.prefix+"101"), macs)
	}
	c.until(fmt.Sprintf(`announcing from node "%s" with protocol "layer2"`, first), "get", "events", "--field-selector", "reason=nodeAssigned,involvedObject.name=each", "-o", "jsonpath={.items[*].message}")
	if _, err := asks(client, "http://"+s.prefix+"102/cgi-bin/who"); err == nil {
		t.Errorf("%s102 answers, which nobody has", s.prefix)
	}

	// The range is exhausted: a third waits, says why, and has the address of the first that goes.
	server.kubectl(t, "create", "service", "loadbalancer", "third", "--tcp=80:8080")
	c.until(`AllocationFailed: Failed to allocate IP for "default/third": no available IPs`, "get", "events", "--field-selector", "involvedObject.name=third", "-o", "jsonpath={range .items[*]}{.reason}: {.message}{\"\\n\"}{end}")
	server.kubectl(t, "delete", "service", "single", "--timeout=300s")
	c.until(s.prefix+"100 VIP", "get", "service", "third", "-o", ip)

	// The node that announces ends.
	other := map[string]string{"one": "two", "two": "one"}[first]
	began := time.Now()
	if err := nodes[first].process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, 2*time.Minute, "the other node has taken over", func() error {
		got, err := asks(client, "http://"+s.prefix+"101/cgi-bin/who")
		switch at := macs[holder(client, s.prefix+"101")]; {
		case at != other:
			return fmt.Errorf("it is at %q", at)
		case err == nil && got != "client "+clientIP:
			return fmt.Errorf("%q", got)
		}
		return err
	})
	t.Logf("%v after %s was killed, %s answers", time.Since(began).Round(100*time.Millisecond), first, other)
	server.kubectl(t, "delete", "service", "each", "--timeout=300s")
	until(t, 30*time.Second, "nobody answers", func() error {
		if got, err := asks(client, "http://"+s.prefix+"101/cgi-bin/who"); err == nil {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
}

const balancerApps = `
apiVersion: v1
kind: ConfigMap
metadata: {name: who}
data:
  who: |
    #!/bin/sh
    echo
    echo "client $(echo "${REMOTE_ADDR##*:}" | tr -d ])"
  run: |
    mkdir -p /www/cgi-bin
    cp /who/who /www/cgi-bin/who
    chmod +x /www/cgi-bin/who
    exec httpd -f -p 8080 -h /www
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: each}
spec:
  selector: {matchLabels: {app: each}}
  template:
    metadata: {labels: {app: each}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: sampan.dev/busybox:1
        command: [sh, /who/run]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: who, mountPath: /who}]
      volumes: [{name: who, configMap: {name: who}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: single}
spec:
  selector: {matchLabels: {app: single}}
  template:
    metadata: {labels: {app: single}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: sampan.dev/busybox:1
        command: [sh, /who/run]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: who, mountPath: /who}]
      volumes: [{name: who, configMap: {name: who}}]
---
apiVersion: v1
kind: Service
metadata: {name: each, annotations: {sampan.dev/load-balancer-ips: ADDRESS}}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {app: each}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: single}
spec:
  type: LoadBalancer
  selector: {app: single}
  ports: [{port: 80, targetPort: 8080}]
`
