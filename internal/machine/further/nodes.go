package further

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/engine"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/machine/place"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Node is one of the nodes beyond the first that `--nodes N` runs on this machine: an agent of its own in a network
// namespace of its own, with its own containerd, its own directories and its own address on a bridge that all nodes of the
// cluster share. It is to the cluster what another machine would be.
type Node struct {
	Parent config.Config
	Index  int // 2 for the second node
}

// All are those that have been made below the data directory.
func All(cfg config.Config) ([]Node, error) {
	entries, err := os.ReadDir(filepath.Join(cfg.DataDir, "nodes"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var nodes []Node
	for _, e := range entries {
		if i, err := strconv.Atoi(e.Name()); err == nil {
			nodes = append(nodes, Node{cfg, i})
		}
	}
	slices.SortFunc(nodes, func(a, b Node) int { return a.Index - b.Index })
	return nodes, nil
}

// config is the node's own configuration: a data directory below the cluster's, so that every name derives from it.
func (n Node) config() config.Config {
	c := n.Parent
	c.DataDir = config.Below(n.Parent.DataDir, n.Index)
	c.Nodes, c.NoNode, c.Detach = 1, false, false
	c.NodeIP = NodeAddr(n.Parent, n.Index).String()
	c.RuntimeEndpoint, c.StaticPodPath = "", ""
	return c
}

func (n Node) Paths() config.Paths {
	c := n.config()
	return c.Paths()
}

// machineID tells the node from the others on this machine, and stays the same: it derives from the directory and, so that
// copies of the directory elsewhere differ, from the machine's own.
func (n Node) machineID() string {
	own, _ := os.ReadFile("/etc/machine-id")
	sum := sha256.Sum256(append(own, n.config().DataDir...))
	return hex.EncodeToString(sum[:16])
}

func (n Node) netns() string {
	c := n.config()
	return "sampan-" + c.Instance()
}

// link is the host's end of the node's veth.
func (n Node) link() string {
	c := n.config()
	return "smpn" + c.Instance()
}

// nodeNet is the range of the nodes' addresses, for clusters of more than one node on this machine: a /24 of the shared
// address space (RFC 6598), chosen by the data directory so that clusters side by side do not meet.
func nodeNet(cfg config.Config) netip.Prefix {
	sum := sha256.Sum256([]byte(cfg.DataDir))
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + sum[0]%64, sum[1], 0}), 24)
}

// NodeAddr is the address of the index-th node; the first has the bridge's.
func NodeAddr(cfg config.Config, index int) netip.Addr {
	a := nodeNet(cfg).Addr().As4()
	a[3] = byte(index)
	return netip.AddrFrom4(a)
}

func bridgeName(cfg config.Config) string { return "smpb" + cfg.Instance() }

// SharedBridge is the bridge of a cluster that has one.
func SharedBridge(cfg config.Config) string {
	if cfg.Nodes > 1 {
		return bridgeName(cfg)
	}
	return ""
}

// MakeBridge makes the link that the nodes share and gives the host its address on it.
func MakeBridge(cfg config.Config) error {
	name := bridgeName(cfg)
	if _, err := netlink.LinkByName(name); err != nil {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("make bridge %s: %w", name, err)
		}
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: toIPNet(netip.PrefixFrom(NodeAddr(cfg, 1), 24))}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("address of %s: %w", name, err)
	}
	return netlink.LinkSetUp(link)
}

func removeBridge(cfg config.Config) error {
	link, err := netlink.LinkByName(bridgeName(cfg))
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

// Prepare makes the node's namespace, with its address and a way out through the bridge. What is there already is kept.
func (n Node) Prepare() error {
	if err := os.MkdirAll(n.config().DataDir, 0o700); err != nil {
		return err
	}
	return place.InNetns(n.netns(), true, func(host, own netns.NsHandle) error {
		outer, err := netlink.NewHandleAt(host)
		if err != nil {
			return err
		}
		defer outer.Close()
		inner, err := netlink.NewHandleAt(own)
		if err != nil {
			return err
		}
		defer inner.Close()
		if _, err := inner.LinkByName("eth0"); err == nil {
			return nil
		}
		bridge, err := outer.LinkByName(bridgeName(n.Parent))
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex, attrs.Flags = n.link(), bridge.Attrs().Index, 1 // up
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(own))}
		if err := outer.LinkAdd(veth); err != nil {
			return fmt.Errorf("make veth %s: %w", n.link(), err)
		}
		eth0, err := inner.LinkByName("eth0")
		if err != nil {
			return err
		}
		lo, err := inner.LinkByName("lo")
		if err != nil {
			return err
		}
		gateway := NodeAddr(n.Parent, 1)
		return errors.Join(
			inner.LinkSetUp(lo),
			inner.LinkSetUp(eth0),
			inner.AddrReplace(eth0, &netlink.Addr{IPNet: toIPNet(netip.PrefixFrom(NodeAddr(n.Parent, n.Index), 24))}),
			inner.RouteReplace(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gateway.AsSlice()}),
		)
	})
}

// Run starts the node's agent in its namespace and waits for it; the agent ends when ctx does. Its containers stay.
func (n Node) Run(ctx context.Context, args []string, token string, log *slog.Logger) error {
	c := n.config()
	paths := n.Paths()
	out, err := os.OpenFile(paths.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, append([]string{"agent", "--data-dir", c.DataDir, "--node-ip", c.NodeIP, "--machine-id", n.machineID(), "--token-fd", "3"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	secret, err := hold.SecretPipe(token)
	if err != nil {
		return err
	}
	defer secret.Close()
	cmd.ExtraFiles = []*os.File{secret} // descriptor 3
	// The agent is of our process group's making but must not outlive us unseen: a killed sampan takes it along, and the
	// next one starts it again over the same containers.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	done := make(chan error, 1)
	go func() {
		// Pdeathsig goes by the thread that forked, so this one stays until the agent has ended.
		runtime.LockOSThread()
		err := place.InNetns(n.netns(), false, func(_, own netns.NsHandle) error {
			if err := netns.Set(own); err != nil {
				return err
			}
			return cmd.Start()
		})
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
		// The thread is in a strange namespace: it ends with this goroutine because it is never unlocked.
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start node %d: %w", n.Index, err)
	}
	log.Info("node started", "node", n.Index, "pid", cmd.Process.Pid, "log", paths.Log)
	select {
	case err := <-done:
		return fmt.Errorf("node %d ended (%v); its log is %s", n.Index, err, paths.Log)
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		return nil
	}
}

// Down takes the node away: its pods and runtime inside its namespace, then the namespace with its link.
func (n Node) Down(ctx context.Context, log *slog.Logger) error {
	c := n.config()
	var errs []error
	if _, err := os.Stat(filepath.Join(place.NamedNamespaces, n.netns())); err == nil {
		errs = append(errs, hold.StopHolder(ctx, c.Paths()), engine.Take(ctx, c, log))
	}
	errs = append(errs, place.RemoveRunDir(c.Paths().Run))
	if link, err := netlink.LinkByName(n.link()); err == nil {
		errs = append(errs, netlink.LinkDel(link))
	}
	if err := place.DeleteNamed(n.netns()); err != nil {
		errs = append(errs, fmt.Errorf("remove namespace %s: %w", n.netns(), err))
	}
	errs = append(errs, removeBridge(n.Parent))
	return errors.Join(errs...)
}

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
