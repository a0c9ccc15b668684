package side

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sampan.dev/bench/proc"
)

// Peer is real Kubernetes with etcd, by the scripts in its folder. They keep everything below a laboratory folder and use fixed
// ports and names, so that there is one on a machine.
type Peer struct {
	Scripts string // folder with lib.sh
	Lab     string // $SAMPAN_LAB
	Logs    string

	shape Shape
	lock  *os.File
}

// peerParts are the names of the processes, as the scripts name their pid files.
var peerParts = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}

// ErrNoPeer says that the peer is not built here.
var ErrNoPeer = errors.New("no peer")

// OpenPeer finds the scripts and their programs, and claims the laboratory.
func OpenPeer(scripts, lab, logs string) (*Peer, error) {
	scripts, err := filepath.Abs(scripts)
	if err != nil {
		return nil, err
	}
	p := &Peer{Scripts: scripts, Lab: lab, Logs: logs}
	if _, err := os.Stat(filepath.Join(scripts, "lib.sh")); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNoPeer, err)
	}
	for _, name := range append([]string{"../peer/images/pause.tar"}, peerParts...) {
		if _, err := os.Stat(filepath.Join(lab, "bin", name)); err != nil {
			return nil, fmt.Errorf("%w: %v (its build.sh makes it)", ErrNoPeer, err)
		}
	}
	if err := needs("nft", "openssl", "nsenter"); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNoPeer, err)
	}
	if p.lock, err = os.OpenFile(filepath.Join(lab, "bench.lock"), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(p.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("another bench uses the peer in %s", lab)
	}
	if own, runtime := p.Processes(); len(own)+len(runtime) > 0 {
		return nil, fmt.Errorf("the peer in %s runs already: %v%v; its down.sh stops it", lab, own, runtime)
	}
	return p, nil
}

// needs says which of some programs is not installed.
func needs(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("it needs %s (Debian: containerd runc containernetworking-plugins nftables)", name)
		}
	}
	return nil
}

func (p *Peer) run() string   { return filepath.Join(p.Lab, "peer/run") }
func (p *Peer) Name() string  { return "kubernetes" }
func (p *Peer) Image() string { return "registry.k8s.io/pause:3.10" }

func (p *Peer) Address() string {
	if p.shape.Proxy {
		return "10.200.0.1:16443" // from the node's network
	}
	return "127.0.0.1:16443"
}

func (p *Peer) Kubeconfig() string {
	if p.shape.Proxy {
		return filepath.Join(p.run(), "admin-netns.kubeconfig")
	}
	return filepath.Join(p.run(), "admin.kubeconfig")
}

// Assets is where the peer's programs are, which have the names that envtest looks for.
func (p *Peer) Assets(context.Context) (string, error) { return filepath.Join(p.Lab, "bin"), nil }

// sh runs lines of shell with the scripts' functions.
func (p *Peer) sh(ctx context.Context, lines string) error {
	log, err := os.OpenFile(filepath.Join(p.Logs, "peer.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "--- %s %s\n", time.Now().Format(time.RFC3339), lines)
	cmd := exec.CommandContext(ctx, "bash", "-c", `set -u; . "$PEER_SCRIPTS/lib.sh"; `+lines)
	cmd.Env = append(os.Environ(), "SAMPAN_LAB="+p.Lab, "PEER_SCRIPTS="+p.Scripts)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("peer: %s: %w; the end of %s:\n%s", lines, err, log.Name(), last(log.Name()))
	}
	return nil
}

// Prepare makes certificates, namespace and links, and starts the container runtime with the images in it.
func (p *Peer) Prepare(ctx context.Context, s Shape) error {
	p.shape = s
	lines := `dirs_up; mkdir -p "$RUN/out"; bash "$SRC/certs.sh" && net_up`
	if s.Node {
		if err := needs("containerd", "ctr", "runc"); err != nil {
			return fmt.Errorf("the peer's node: %w", err)
		}
		lines += `; cg_up; containerd_up; sleep 1`
	}
	return p.sh(ctx, lines)
}

func (p *Peer) Launch(ctx context.Context) (time.Time, error) {
	since := time.Now()
	join := ""
	if p.shape.Procs != "" {
		join = "echo $$ >" + p.shape.Procs + "; "
	}
	return since, p.sh(ctx, join+"etcd_up; apiserver_up")
}

func (p *Peer) Rest(ctx context.Context) error {
	fast := ""
	if p.shape.Fast {
		fast = " --kube-api-qps=5000 --kube-api-burst=10000"
	}
	var lines []string
	if p.shape.Controllers {
		controllers := ""
		if p.shape.Hollow {
			controllers = " '--controllers=*,-node-lifecycle-controller,-taint-eviction-controller'"
		}
		lines = append(lines, "kcm_up"+fast+controllers)
	}
	if p.shape.Scheduler {
		lines = append(lines, "scheduler_up"+fast)
	}
	if p.shape.Node {
		lines = append(lines, "kubelet_up; proxy_up; proxy_rbac") // the binding's kubectl is part of kubeadm's addons, not of the start
	}
	if p.shape.Proxy {
		lines = append(lines, `proxy_rbac; $K create -f - <<<'{"apiVersion":"v1","kind":"Node","metadata":{"name":"node1"}}' && `+
			`$K patch node node1 --subresource=status --type=merge -p '{"status":{"addresses":[{"type":"InternalIP","address":"'$NODEIP'"}]}}'`)
	}
	if len(lines) == 0 {
		return nil
	}
	return p.sh(ctx, strings.Join(lines, "; "))
}

func (p *Peer) Stop(ctx context.Context) error { return p.sh(ctx, `bash "$SRC/down.sh"`) }
func (p *Peer) Wipe(ctx context.Context) error { return p.sh(ctx, `bash "$SRC/down.sh" wipe`) }

// Processes reads the scripts' pid files; the runtime's shims name its socket.
func (p *Peer) Processes() (own, runtime proc.Set) {
	own, runtime = proc.Set{}, proc.Set{}
	for _, name := range append([]string{"containerd"}, peerParts...) {
		data, err := os.ReadFile(filepath.Join(p.run(), "pids", name+".pid"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil || !proc.Alive(pid) {
			continue
		}
		if name == "containerd" {
			runtime[name] = pid
		} else {
			own[name] = pid
		}
	}
	for _, pid := range proc.WithArgument(p.run() + "/") {
		if strings.HasPrefix(comm(pid), "containerd-shim") {
			runtime[fmt.Sprintf("shim-%d", pid)] = pid
		}
	}
	return own, runtime
}

func (p *Peer) Inside() []string {
	if !p.shape.Proxy {
		return nil
	}
	return []string{"nsenter", "--net=/run/netns/k8slab"}
}

func (p *Peer) Backends() string { return "10.200.0.2,10.200.0.3" }

func (p *Peer) LaunchProxy(ctx context.Context) (time.Time, error) {
	since := time.Now()
	return since, p.sh(ctx, "proxy_up")
}

func (p *Peer) StopProxy(ctx context.Context) error {
	return p.sh(ctx, "stopp kube-proxy; nsx nft delete table ip kube-proxy; nsx nft delete table ip6 kube-proxy; true")
}
