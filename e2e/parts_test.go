//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	kinds "sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/config"
	"sampan.dev/internal/node/dns"
	"sampan.dev/internal/node/hostnet"
	"sampan.dev/internal/node/network"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// parts is a cluster of upstream's five programs, each a process of its own that is started with upstream's flags: ours or, where
// stock says so, upstream's. The command lines are the same for both. What a cluster has beside them (etcd, a container runtime,
// a pod network, DNS) is as any cluster would have it: etcd is the stock one, the others are sampan's, run by the test.
type parts struct {
	*cluster
	stock    string          // folder of upstream's binaries
	theirs   map[string]bool // which programs are upstream's
	node     string
	host     net.IP
	pods     netip.Prefix
	services netip.Prefix
	paths    config.Paths
	pki      *pki.Store
	ports    map[string]string
	running  map[string]*exec.Cmd
	gone     map[string]chan struct{}
	beside   context.CancelFunc // ends the pod network and DNS
	ended    chan struct{}
}

// newParts makes keys, kubeconfigs and files of a cluster and starts etcd, the runtime and then the five programs.
func newParts(t *testing.T, stock string, theirs ...string) *parts {
	t.Helper()
	c := newCluster(t)
	p := &parts{cluster: c, stock: stock, theirs: map[string]bool{}, node: "node-1", running: map[string]*exec.Cmd{}, gone: map[string]chan struct{}{}, ports: map[string]string{}}
	for _, name := range theirs {
		p.theirs[name] = true
	}
	p.paths = (&config.Config{DataDir: c.dir}).Paths()
	c.kubeconfig = filepath.Join(c.dir, "admin.kubeconfig")
	pods, services := ranges(t, c.dir)
	p.pods, p.services = netip.MustParsePrefix(pods), netip.MustParsePrefix(services)
	for _, name := range []string{"etcd", "peer", "kube-controller-manager", "kube-scheduler", "kubelet", "proxy-health", "proxy-metrics"} {
		p.ports[name] = freePort(t)
	}
	var err error
	if p.host, err = hostnet.Address(); err != nil {
		t.Fatal(err)
	}
	p.keys(t)
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "cloud-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"} {
		// Our binary is any of them when a link of that name leads to it.
		if err := os.Symlink(filepath.Join(c.bin, "sampan"), p.file("links/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { p.stop(t) })
	if p.theirs["kubelet"] {
		p.cgroups(t)
	}
	p.start(t, "etcd")
	p.runtime(t)
	c.imagesInto(t, "--container-runtime-endpoint", p.socket())
	p.start(t, "kube-apiserver")
	until(t, 60*time.Second, "API server", func() error {
		out, err := exec.Command(filepath.Join(c.bin, "kubectl"), "--kubeconfig", c.kubeconfig, "get", "--raw", "/readyz").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s%s", err, out, p.tail("kube-apiserver"))
		}
		return nil
	})
	c.kubectlIn(t, fmt.Sprintf(kubeDNS, p.dnsIP()), "apply", "-f", "-")
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"} {
		p.start(t, name)
	}
	p.network(t)
	c.kubectl(t, "wait", "node/"+p.node, "--for=create", "--timeout=300s")
	c.kubectl(t, "wait", "node/"+p.node, "--for=condition=Ready", "--timeout=300s")
	return p
}

// kubeDNS is the Service that pods find the cluster's DNS by; an add-on in every cluster.
const kubeDNS = `
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: %s
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
`

func (p *parts) nth(n int) netip.Addr {
	a := p.services.Addr()
	for range n {
		a = a.Next()
	}
	return a
}

func (p *parts) dnsIP() netip.Addr { return p.nth(10) }
func (p *parts) server() string    { return "https://" + net.JoinHostPort(p.host.String(), p.port) }
func (p *parts) socket() string    { return filepath.Join(p.paths.Run, "containerd/containerd.sock") }
func (p *parts) file(name string) string {
	return filepath.Join(p.dir, name)
}

// keys makes what kubeadm would: authorities, certificates, and a kubeconfig for each program.
func (p *parts) keys(t *testing.T) {
	t.Helper()
	var err error
	if err = os.MkdirAll(p.file("links"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, p.file("sampan.pid"), "") // a directory that sampan knows for its own, so that purge takes it away
	if p.pki, err = pki.Open(pki.Config{Dir: p.paths.PKI, NodeName: p.node, ServiceIPs: []net.IP{p.nth(1).AsSlice()}, IPs: []net.IP{p.host}}); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]pki.Identity{"admin": pki.SuperAdmin, "kube-controller-manager": pki.ControllerManager,
		"kube-scheduler": pki.Scheduler, "kube-proxy": pki.Proxy, "kubelet": pki.KubeletIdentity(p.node)} {
		if err := p.pki.EnsureKubeconfig(p.file(name+".kubeconfig"), id, p.server(), "parts"); err != nil {
			t.Fatal(err)
		}
	}
	p.issue(t, "kubelet-client", pki.Request{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}, Client: true})
	p.issue(t, "kubelet", pki.Request{CommonName: "system:node:" + p.node, Organization: []string{"system:nodes"}, DNSNames: []string{p.node}, IPs: []net.IP{p.host}, Server: true})
	write(t, p.file("kubelet.yaml"), fmt.Sprintf(kubeletFile, p.paths.PKI, p.host, p.ports["kubelet"], p.paths.CgroupRoot, p.dnsIP(), p.socket(), p.paths.PodLogs, p.dir, p.dir))
	write(t, p.file("scheduler.yaml"), fmt.Sprintf(schedulerFile, p.file("kube-scheduler.kubeconfig")))
	write(t, p.file("proxy.yaml"), fmt.Sprintf(proxyFile, p.pods, p.node, p.file("kube-proxy.kubeconfig"), p.ports["proxy-health"], p.ports["proxy-metrics"]))
}

// issue makes a certificate of the cluster's authority, in two files.
func (p *parts) issue(t *testing.T, name string, r pki.Request) {
	t.Helper()
	made, err := p.pki.CA.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.NewPair(made).PEM()
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.file(name+".crt"), string(cert))
	write(t, p.file(name+".key"), string(key))
}

const kubeletFile = `
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %s/ca.crt}}
authorization: {mode: Webhook}
address: %s
port: %s
healthzPort: 0
cgroupDriver: cgroupfs
cgroupRoot: %s
failCgroupV1: false
failSwapOn: false
clusterDNS: [%s]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://%s
podLogsDir: %s
tlsCertFile: %s/kubelet.crt
tlsPrivateKeyFile: %s/kubelet.key
evictionHard: {memory.available: 100Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
`

const schedulerFile = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %s}
leaderElection: {leaderElect: true}
`

const proxyFile = `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: %s
hostnameOverride: %s
clientConnection: {kubeconfig: %s}
healthzBindAddress: 127.0.0.1:%s
metricsBindAddress: 127.0.0.1:%s
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
`

// flags is the command line of a program.
func (p *parts) flags(name string) []string {
	key := func(file string) string { return filepath.Join(p.paths.PKI, file) }
	kubeconfig := p.file(name + ".kubeconfig")
	etcd := "https://127.0.0.1:" + p.ports["etcd"]
	secure := func() []string {
		return []string{"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
			"--bind-address", "127.0.0.1", "--secure-port", p.ports[name]}
	}
	switch name {
	case "etcd":
		peer := "http://127.0.0.1:" + p.ports["peer"]
		return []string{"--data-dir", p.file("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer,
			"--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer, "--log-level", "warn", "--cert-file", key("etcd/server.crt"),
			"--key-file", key("etcd/server.key"), "--client-cert-auth", "--trusted-ca-file", key("etcd/ca.crt")}
	case "kube-apiserver":
		return []string{"--etcd-servers", etcd, "--etcd-cafile", key("etcd/ca.crt"), "--etcd-certfile", key("apiserver-etcd-client.crt"), "--etcd-keyfile", key("apiserver-etcd-client.key"),
			"--bind-address", "0.0.0.0", "--secure-port", p.port, "--advertise-address", p.host.String(), "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
			"--client-ca-file", key("ca.crt"), "--tls-cert-file", key("apiserver.crt"), "--tls-private-key-file", key("apiserver.key"),
			"--service-account-issuer", "https://kubernetes.default.svc.cluster.local", "--service-account-key-file", key("sa.pub"), "--service-account-signing-key-file", key("sa.key"),
			"--service-cluster-ip-range", p.services.String(), "--kubelet-client-certificate", p.kubeletClient(".crt"), "--kubelet-client-key", p.kubeletClient(".key"),
			"--kubelet-certificate-authority", key("ca.crt"), "--kubelet-preferred-address-types", "InternalIP", "--allow-privileged=true",
			"--requestheader-client-ca-file", key("front-proxy-ca.crt"), "--requestheader-allowed-names", "front-proxy-client", "--requestheader-extra-headers-prefix", "X-Remote-Extra-",
			"--requestheader-group-headers", "X-Remote-Group", "--requestheader-username-headers", "X-Remote-User"}
	case "kube-controller-manager":
		return append(secure(), "--root-ca-file", key("ca.crt"), "--service-account-private-key-file", key("sa.key"), "--cluster-signing-cert-file", key("ca.crt"), "--cluster-signing-key-file", key("ca.key"),
			"--use-service-account-credentials=true", "--allocate-node-cidrs=true", "--cluster-cidr", p.pods.String(), "--service-cluster-ip-range", p.services.String(), "--leader-elect=true")
	case "cloud-controller-manager":
		return []string{"--kubeconfig", p.file("admin.kubeconfig"), "--cloud-provider", "local", "--secure-port", "0"}
	case "kube-scheduler":
		return append([]string{"--config", p.file("scheduler.yaml")}, secure()[2:]...)
	case "kubelet":
		return []string{"--config", p.file("kubelet.yaml"), "--kubeconfig", kubeconfig, "--root-dir", p.paths.KubeletRoot, "--cert-dir", p.file("kubelet-pki"), "--hostname-override", p.node, "--node-ip", p.host.String()}
	case "kube-proxy":
		args := []string{"--config", p.file("proxy.yaml")}
		if !p.theirs[name] {
			args = append(args, "--instance", p.instance())
		}
		return args
	}
	panic(name)
}

// kubeletClient is what the API server shows to kubelets. A stock cluster knows no role for the name that ours has one for.
func (p *parts) kubeletClient(ext string) string {
	if p.theirs["kube-apiserver"] {
		return p.file("kubelet-client" + ext)
	}
	return filepath.Join(p.paths.PKI, "apiserver-kubelet-client"+ext)
}

// start starts a program, its output in a file of its name.
func (p *parts) start(t *testing.T, name string) {
	t.Helper()
	path := p.file("links/" + name)
	switch {
	case name == "etcd":
		path = filepath.Join(p.bin, "etcd")
	case p.theirs[name]:
		path = filepath.Join(p.stock, name)
	}
	log, err := os.OpenFile(p.file(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, p.flags(name)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	p.running[name], p.gone[name] = cmd, gone
}

// end ends a program and waits until it is gone.
func (p *parts) end(t *testing.T, name string) {
	t.Helper()
	cmd := p.running[name]
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone[name]:
	case <-time.After(patience * 90 * time.Second): // upstream's API server lets requests end for a minute
		t.Errorf("%s does not end", name)
		_ = cmd.Process.Kill()
		<-p.gone[name]
	}
	delete(p.running, name)
}

// swap puts the other maker's program in the place of one.
func (p *parts) swap(t *testing.T, name string, theirs bool) {
	t.Helper()
	p.end(t, name)
	p.theirs[name] = theirs
	p.start(t, name)
}

// log is all that a program has written so far; "" of one that was never started.
func (p *parts) log(name string) string {
	data, _ := os.ReadFile(p.file(name + ".log"))
	return string(data)
}

// tail is the end of a program's log, to be shown with an error.
func (p *parts) tail(name string) string {
	data := p.log(name)
	if len(data) > 3000 {
		data = data[len(data)-3000:]
	}
	return "\n" + name + ":\n" + data
}

func (p *parts) stop(t *testing.T) {
	if t.Failed() {
		for _, name := range []string{"kube-apiserver", "kube-controller-manager", "cloud-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"} {
			keep := "/tmp/" + filepath.Base(p.dir) + "-" + name + ".log"
			_ = exec.Command("cp", p.file(name+".log"), keep).Run()
			t.Logf("the log of %s is kept in %s", name, keep)
		}
	}
	for _, name := range []string{"kube-proxy", "kubelet", "kube-scheduler", "cloud-controller-manager", "kube-controller-manager", "kube-apiserver", "etcd"} {
		p.end(t, name)
	}
	if p.beside != nil {
		p.beside()
		<-p.ended
	}
}

// runtime starts sampan's containerd, as it would run for a cluster in this directory, so that purge finds it.
func (p *parts) runtime(t *testing.T) {
	t.Helper()
	c := &runtime.Containerd{
		Bin: filepath.Join(p.bin, "containerd"), Runc: filepath.Join(p.bin, "runc"), Root: filepath.Join(p.paths.Data, "containerd"), State: filepath.Join(p.paths.Run, "containerd"),
		PauseImage: "sampan.dev/pause:1", PauseTar: filepath.Join(p.bin, "pause.tar"), CNIBinDirs: []string{p.bin}, CNIConfDir: filepath.Join(p.paths.Run, "cni/net.d"),
		NetNSDir: true, KeepRunning: true, Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(context.Background())
	up, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Run(ctx, func() { close(up) }) }()
	select {
	case <-up:
	case err := <-done:
		cancel()
		t.Fatalf("containerd: %v", err)
	}
	cancel() // it runs on; purge ends it
	<-done
}

// cgroups makes the kubelet's root in every hierarchy: upstream's kubelet wants to find it.
func (p *parts) cgroups(t *testing.T) {
	t.Helper()
	hierarchies, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	for _, file := range hierarchies {
		dir := filepath.Join(filepath.Dir(file), p.paths.CgroupRoot)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			if above, err := os.ReadFile(filepath.Join(filepath.Dir(file), name)); err == nil {
				_ = os.WriteFile(filepath.Join(dir, name), above, 0o644)
			}
		}
	}
}

// network runs the pod network and DNS, as add-ons would.
func (p *parts) network(t *testing.T) {
	t.Helper()
	rc, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	door, err := remote.New(rc)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(p.file("network.log"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(file, nil))
	set := cache.NewSet(door, log)
	nodes := cache.For[*corev1.Node](set, kinds.Nodes, cache.Options{})
	n := network.New(network.Config{Instance: p.instance(), NodeName: p.node, DataDir: p.paths.Data, RunDir: p.paths.Run, ClusterCIDR: p.pods,
		ConfDir: filepath.Join(p.paths.Run, "cni/net.d"), Door: door, Nodes: nodes, Log: log})
	d := dns.New(dns.Config{NodeName: p.node, Domain: "cluster.local", Ranges: []netip.Prefix{p.pods, p.services}, DNSIP: p.dnsIP(), Ready: n.Ready(), Gateway: n.Gateway,
		Services: cache.For[*corev1.Service](set, kinds.Services, cache.Options{}), Slices: cache.For[*discoveryv1.EndpointSlice](set, kinds.EndpointSlices, cache.Options{}),
		Nodes: nodes, Door: door, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	p.beside, p.ended = cancel, make(chan struct{})
	results := make(chan error, 3)
	for _, run := range []func(context.Context) error{set.Run, n.Run, d.Run} {
		go func() { results <- run(ctx) }()
	}
	go func() {
		defer close(p.ended)
		defer file.Close()
		var errs []error
		for range 3 {
			errs = append(errs, <-results)
		}
		if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
			log.Error("network or DNS ended", "error", err)
		}
	}()
}
