//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// tunnelProgram is a Konnectivity server or agent: the original's, or ours.
type tunnelProgram struct {
	name string
	argv []string
}

// egressFor is an EgressSelectorConfiguration for one way to ask a server.
func egressFor(mode, socket, at, pki string) string {
	how := map[string]string{
		"grpc over uds":          "{proxyProtocol: GRPC, transport: {uds: {udsName: " + socket + "}}}",
		"http-connect over uds":  "{proxyProtocol: HTTPConnect, transport: {uds: {udsName: " + socket + "}}}",
		"http-connect over mtls": "{proxyProtocol: HTTPConnect, transport: {tcp: {url: https://" + at + ", tlsConfig: {caBundle: " + pki + "/ca.crt, clientCert: " + pki + "/apiserver-kubelet-client.crt, clientKey: " + pki + "/apiserver-kubelet-client.key}}}}",
	}[mode]
	return "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n- name: cluster\n  connection: " + how + "\n"
}

// TestTunnelSwap puts the original's server and agent in the places of ours, each with each, for every way in which an API server
// can ask. SAMPAN_KONNECTIVITY names the folder of the original's programs; e2e/tunnel-swap.sh makes it. Without, ours alone run.
func TestTunnelSwap(t *testing.T) {
	m := newOtherMachine(t)
	file := filepath.Join(t.TempDir(), "egress.yaml")
	server := newCluster(t, "--no-node", "--tls-san", m.here, "--egress-selector-config-file", file)
	socket, frontend, agents := filepath.Join(t.TempDir(), "k"), freePort(t), freePort(t)
	pki := filepath.Join(server.dir, "pki")
	write(t, file, egressFor("grpc over uds", socket, "", pki))
	server.up(t)
	node := newCluster(t)
	node.netns = m.netns
	node.agent(t, append(server.join(t, m.here), "--data-dir", node.dir, "--hostname-override", "joined", "--node-ip", m.addr, "--cluster-cidr", server.flags[6], "--service-cidr", server.flags[8]))
	until(t, 60*time.Second, "node joined", func() error { return server.try("get", "node", "joined") })
	server.kubectl(t, "wait", "node/joined", "--for=condition=Ready", "--timeout=300s")
	node.images(t)
	server.kubectlIn(t, tunnelPods, "apply", "-f", "-")
	server.kubectl(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=300s")
	server.kubectl(t, "create", "serviceaccount", "konnectivity-agent", "-n", "kube-system")
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, server.kubectl(t, "create", "token", "konnectivity-agent", "-n", "kube-system", "--audience=system:konnectivity-server"))

	ours := filepath.Join(server.bin, "sampan")
	servers := []tunnelProgram{{"ours", []string{ours, "konnectivity-server"}}}
	agentPrograms := []tunnelProgram{{"ours", []string{ours, "konnectivity-agent"}}}
	if dir := os.Getenv("SAMPAN_KONNECTIVITY"); dir != "" {
		servers = append(servers, tunnelProgram{"stock", []string{filepath.Join(dir, "server")}})
		agentPrograms = append(agentPrograms, tunnelProgram{"stock", []string{filepath.Join(dir, "agent")}})
	} else {
		t.Log("SAMPAN_KONNECTIVITY is not set: the original's programs are not tried")
	}
	var table bytes.Buffer
	tab := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "asked by\tserver\tagent\tlogs, exec, proxies\t10 execs of true\t64 MiB through exec")
	for _, mode := range []string{"grpc over uds", "http-connect over uds", "http-connect over mtls"} {
		write(t, file, egressFor(mode, socket, "127.0.0.1:"+frontend, pki))
		server.down(t)
		server.up(t)
		for _, s := range servers {
			args := []string{"--agent-port", agents, "--cluster-cert", pki + "/apiserver.crt", "--cluster-key", pki + "/apiserver.key", "--health-port", freePort(t), "--admin-port", freePort(t),
				"--agent-namespace", "kube-system", "--agent-service-account", "konnectivity-agent", "--authentication-audience", "system:konnectivity-server",
				"--kubeconfig", server.kubeconfig, "--mode", strings.Fields(mode)[0]}
			if strings.HasSuffix(mode, "uds") {
				args = append(args, "--uds-name", socket, "--server-port", "0")
			} else {
				args = append(args, "--server-port", frontend, "--server-cert", pki+"/apiserver.crt", "--server-key", pki+"/apiserver.key", "--server-ca-cert", pki+"/ca.crt")
			}
			stopServer := daemonize(t, append(s.argv, args...))
			for _, a := range agentPrograms {
				stopAgent := daemonize(t, append(append([]string{"nsenter", "--net=/run/netns/" + m.netns}, a.argv...), "--proxy-server-host", m.here, "--proxy-server-port", agents, "--ca-cert", pki+"/ca.crt",
					"--service-account-token-path", token, "--agent-identifiers", "ipv4="+m.addr, "--health-server-port", freePort(t), "--admin-server-port", freePort(t)))
				until(t, 30*time.Second, mode+": "+s.name+" server, "+a.name+" agent", func() error { return server.try("exec", "web", "--", "true") })
				ok := t.Run(mode+"/"+s.name+"-"+a.name, func(t *testing.T) { server.allOfANode(t) })
				begun := time.Now()
				for range 10 {
					server.kubectl(t, "exec", "web", "--", "true")
				}
				execs := time.Since(begun)
				begun = time.Now()
				if n := len(server.kubectl(t, "exec", "web", "--", "sh", "-c", "head -c 67108864 /dev/zero")); n != 64<<20 {
					t.Errorf("%d bytes of 64 MiB", n)
				}
				fmt.Fprintf(tab, "%s\t%s\t%s\t%v\t%v\t%v\n", mode, s.name, a.name, map[bool]string{true: "pass", false: "FAIL"}[ok], execs.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
				stopAgent()
			}
			stopServer()
		}
	}
	tab.Flush()
	t.Logf("\n%s", table.String())
}

// try runs kubectl for its error.
func (c *cluster) try(args ...string) error {
	out, err := exec.Command(filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.kubeconfig}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return err
}

// daemonize runs a program until stop is called or the test ends, and shows what it said if the test has failed.
func daemonize(t *testing.T, argv []string) (stop func()) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Kill() }) // the original's agent drains at the first signal and stays
		_ = cmd.Wait()
		late.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(argv[0]), last(said.Bytes(), 4000))
		}
	}
	t.Cleanup(stop)
	return stop
}

func last(b []byte, n int) []byte { return b[max(len(b)-n, 0):] }
