//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFalseServer lets an agent join servers that are not what its token pins. It must refuse each before it has sent
// anything beyond the handshake, least of all the token.
func TestFalseServer(t *testing.T) {
	real, realKey := authority(t)
	other, otherKey := authority(t)
	sum := sha256.Sum256(real.RawSubjectPublicKeyInfo)
	token := fmt.Sprintf("sha256:%x::abcdef.0123456789abcdef", sum)
	for _, c := range []struct {
		name  string
		chain [][]byte
		key   *ecdsa.PrivateKey
		want  string
	}{
		{"another authority", [][]byte{leaf(t, other, otherKey, otherKey), other.Raw}, otherKey, "does not belong to the cluster"},
		{"the authority's certificate over another's", [][]byte{leaf(t, other, otherKey, otherKey), real.Raw}, otherKey, "certificate signed by unknown authority"},
		{"a certificate for another address", [][]byte{leafFor(t, real, realKey, otherKey, net.IPv4(192, 0, 2, 7)), real.Raw}, otherKey, "certificate is valid for 192.0.2.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newCluster(t)
			address, received := listen(t, tls.Certificate{Certificate: c.chain, PrivateKey: c.key})
			out, err := a.sampan("agent", "--data-dir", a.dir, "--server", "https://"+address, "--token", token)
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v: want %q:\n%s", err, c.want, out)
			}
			if got := <-received; len(got) > 0 {
				t.Errorf("the agent sent %q", got)
			}
			if kept, _ := filepath.Glob(a.dir + "/pki/*"); len(kept) > 0 {
				t.Errorf("the agent keeps %v", kept)
			}
		})
	}
}

// TestAgent joins a node to a control plane with what `sampan token` prints, and starts it again without the token.
func TestAgent(t *testing.T) {
	server := newCluster(t, "--no-node")
	server.up(t)
	printed, err := server.sampan("token", "--data-dir", server.dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	join := strings.Fields(strings.ReplaceAll(printed, "ADDRESS", "127.0.0.1"))[1:]
	node := newCluster(t)
	join = append(join, "--data-dir", node.dir, "--hostname-override", "joined")
	join = append(join, server.flags[4+1:9]...) // the ranges
	stop := node.agent(t, join)
	until(t, 30*time.Second, "node joined", func() error {
		_, err := exec.Command(filepath.Join(server.bin, "kubectl"), "--kubeconfig", server.kubeconfig, "get", "node", "joined").CombinedOutput()
		return err
	})
	server.kubectl(t, "wait", "node/joined", "--for=condition=Ready", "--timeout=300s")
	node.images(t)
	server.kubectl(t, "run", "web", "--image=sampan.dev/busybox:1", "--restart=Never", "--", "sleep", "1000")
	server.kubectl(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=300s")
	server.bootstrapped(t)
	server.onlyPeer(t, node.process.Pid)
	stop()

	again := []string{"agent", "--data-dir", node.dir, "--hostname-override", "joined"}
	stop = node.agent(t, append(again, server.flags[5:9]...))
	started := server.kubectl(t, "get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
	server.kubectl(t, "delete", "pod", "web", "--grace-period=1", "--timeout=300s") // only a running kubelet lets it go
	if started == "" {
		t.Error("the pod has no container")
	}
	stop()
}

// bootstrapped waits until the node has asked for its certificates and been given them without anybody's help. That of its server comes
// after some seconds: it asks for its addresses first, which nobody has vouched for.
func (c *cluster) bootstrapped(t *testing.T) {
	t.Helper()
	until(t, time.Minute, "the node has its certificates", func() error {
		got := c.kubectl(t, "get", "csr", "-o", `jsonpath={range .items[*]}{.spec.signerName} {.status.conditions[0].type} {.status.conditions[0].reason}{"\n"}{end}`)
		for _, want := range []string{"kubernetes.io/kube-apiserver-client-kubelet Approved AutoApproved", "kubernetes.io/kubelet-serving Approved "} {
			if !strings.Contains(got, want) {
				return fmt.Errorf("no request %q among\n%s", want, got)
			}
		}
		return nil
	})
}

// onlyPeer checks that a process of a node has connections to the API server alone, but for those that it has with itself and that others have
// opened to its kubelet.
func (c *cluster) onlyPeer(t *testing.T, pid int) {
	t.Helper()
	out, err := exec.Command("ss", "-Htnp", "state", "established").Output()
	if err != nil {
		t.Fatal(err)
	}
	kubelet := ":" + c.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].status.daemonEndpoints.kubeletEndpoint.Port}")
	to := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // received, sent, here, there, process
		switch {
		case !strings.Contains(line, fmt.Sprintf("pid=%d,", pid)), strings.HasSuffix(f[2], kubelet):
		case strings.HasSuffix(f[3], ":"+c.port):
			to++
		default:
			t.Errorf("a connection to something else: %s", line)
		}
	}
	if to == 0 {
		t.Errorf("no connection to the API server among\n%s", out)
	}
}

// agent runs an agent until stop is called or the test ends.
func (c *cluster) agent(t *testing.T, args []string) (stop func()) {
	t.Helper()
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(c.dir, "sampan.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.bin, "sampan"), args...)
	if c.netns != "" { // nsenter becomes what it is to run
		cmd = exec.Command("nsenter", append([]string{"--net=/run/netns/" + c.netns, filepath.Join(c.bin, "sampan")}, args...)...)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.process = cmd.Process
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGCONT) // it may have been paused
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience * 20 * time.Second):
			t.Error("the agent does not end")
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	t.Cleanup(stop)
	return stop
}

// listen serves one TLS connection and tells what the client sent in it.
func listen(t *testing.T, cert tls.Certificate) (address string, received <-chan []byte) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			out <- nil
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf) // the handshake, then what the client has to say
		if certs := conn.(*tls.Conn).ConnectionState().PeerCertificates; len(certs) > 0 {
			buf, n = certs[0].Raw, len(certs[0].Raw)
		}
		out <- buf[:n]
	}()
	return l.Addr().String(), out
}

func authority(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func leaf(t *testing.T, ca *x509.Certificate, caKey, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	return leafFor(t, ca, caKey, key, net.IPv4(127, 0, 0, 1))
}

func leafFor(t *testing.T, ca *x509.Certificate, caKey, key *ecdsa.PrivateKey, ip net.IP) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{ip}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
