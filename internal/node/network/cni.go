package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// request is what cmd/sampan-cni sends, one per connection, as one line of JSON; response is the answer. Both mirror the
// plugin's side, which shares no code with this one to stay small.
type request struct {
	Command     string          `json:"command"`
	ContainerID string          `json:"containerID"`
	NetNS       string          `json:"netns"`
	IfName      string          `json:"ifName"`
	Args        string          `json:"args"`
	Config      json.RawMessage `json:"config"`
}

type response struct {
	Result any       `json:"result,omitempty"`
	Error  *cniError `json:"error,omitempty"`
}

// cniError is an error as the CNI specification (1.1, section 5) prints it.
type cniError struct {
	Code    int    `json:"code"`
	Msg     string `json:"msg"`
	Details string `json:"details,omitempty"`
}

// Error codes of the specification.
const (
	codeBadEnvironment = 4
	codeIO             = 5
	codeBadConfig      = 7
	codeTryAgain       = 11
	codeNotReady       = 50
	codeInternal       = 999
)

func (e *cniError) Error() string { return e.Msg }

// netConf is the part of the plugin's configuration that matters here.
type netConf struct {
	CNIVersion    string `json:"cniVersion"`
	RuntimeConfig struct {
		PortMappings []hostPort `json:"portMappings"`
	} `json:"runtimeConfig"`
	Valid []attachment `json:"cni.dev/valid-attachments"`
}

type attachment struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

// result is the specification's answer to ADD.
type result struct {
	CNIVersion string            `json:"cniVersion"`
	Interfaces []resultInterface `json:"interfaces"`
	IPs        []resultIP        `json:"ips"`
	Routes     []resultRoute     `json:"routes"`
	DNS        struct{}          `json:"dns"`
}

type resultInterface struct {
	Name    string `json:"name"`
	Mac     string `json:"mac"`
	MTU     int    `json:"mtu,omitempty"`
	Sandbox string `json:"sandbox,omitempty"`
}

type resultIP struct {
	Version   string `json:"version,omitempty"` // before 1.0.0
	Interface int    `json:"interface"`
	Address   string `json:"address"`
	Gateway   string `json:"gateway"`
}

type resultRoute struct {
	Dst string `json:"dst"`
	GW  string `json:"gw"`
}

// Socket is where the plugin asks, below the run directory.
func Socket(runDir string) string { return filepath.Join(runDir, "cni.sock") }

// listen replaces the socket that a former process left.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for CNI: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// serveConn answers one request.
func (n *Network) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var req request
	if err := json.NewDecoder(conn).Decode(&req); err != nil {
		n.log.Warn("unreadable cni request", "err", err)
		return
	}
	start := time.Now()
	res, err := n.handle(ctx, &req)
	out := response{Result: res}
	if err != nil {
		ce := &cniError{Code: codeInternal, Msg: err.Error()}
		_ = errors.As(err, &ce)
		out = response{Error: ce}
		n.log.Warn("cni request failed", "command", req.Command, "container", req.ContainerID, "args", req.Args, "err", err)
	}
	n.log.Debug("cni request", "command", req.Command, "container", req.ContainerID, "took", time.Since(start))
	_ = json.NewEncoder(conn).Encode(out)
}

func (n *Network) handle(ctx context.Context, req *request) (any, error) {
	var conf netConf
	if err := json.Unmarshal(req.Config, &conf); err != nil {
		return nil, &cniError{Code: codeBadConfig, Msg: "network configuration does not parse", Details: err.Error()}
	}
	switch req.Command {
	case "ADD":
		if req.ContainerID == "" || req.NetNS == "" || req.IfName == "" {
			return nil, &cniError{Code: codeBadEnvironment, Msg: "CNI_CONTAINERID, CNI_NETNS and CNI_IFNAME must be set"}
		}
		return n.add(ctx, req, &conf)
	case "DEL":
		return nil, n.del(req)
	case "CHECK":
		le := n.leases.find(req.ContainerID, req.IfName)
		if le == nil {
			return nil, &cniError{Code: codeInternal, Msg: "container " + req.ContainerID + " has no address"}
		}
		return nil, check(n.h, le)
	case "GC":
		n.keepOnly(conf.Valid)
		return nil, nil
	case "STATUS":
		if !n.isReady() {
			return nil, &cniError{Code: codeNotReady, Msg: "the node has no pod range yet"}
		}
		return nil, nil
	}
	return nil, &cniError{Code: codeBadEnvironment, Msg: "unknown CNI_COMMAND " + req.Command}
}

func (n *Network) add(ctx context.Context, req *request, conf *netConf) (any, error) {
	select {
	case <-n.ready:
	case <-ctx.Done():
		return nil, &cniError{Code: codeTryAgain, Msg: "the node is shutting down"}
	case <-time.After(10 * time.Second):
		return nil, &cniError{Code: codeTryAgain, Msg: "the node has no pod range yet"}
	}
	want := lease{ContainerID: req.ContainerID, IfName: req.IfName, NetNS: req.NetNS, Ports: conf.RuntimeConfig.PortMappings}
	want.Namespace, want.Pod = podArgs(req.Args)
	for i := range want.Ports {
		want.Ports[i].Protocol = strings.ToLower(want.Ports[i].Protocol)
	}
	le, err := n.leases.take(want, n.names.pod)
	if errors.Is(err, errNoAddress) {
		n.sweep() // perhaps pods went without a word
		le, err = n.leases.take(want, n.names.pod)
	}
	if err != nil {
		return nil, err
	}
	cidr, mtu := n.current()
	if err := attach(n.h, le, Gateway(cidr), n.names.metric(), mtu); err != nil {
		n.discard(le)
		return nil, err
	}
	if len(le.Ports) > 0 {
		// For connections to a host port from this host's own 127.0.0.1; guarded by a rule (rules.install).
		_ = sysctl("net/ipv4/conf/"+le.Link+"/route_localnet", "1")
	}
	if err := n.rules.expose(le); err != nil {
		n.discard(le)
		return nil, err
	}
	n.forgetFlows(le)
	return makeResult(conf.CNIVersion, le, mtu), nil
}

func makeResult(version string, le *lease, mtu int) *result {
	r := &result{
		CNIVersion: version,
		Interfaces: []resultInterface{
			{Name: le.Link, Mac: hostMAC.String()},
			{Name: le.IfName, Mac: podMAC(le.Address).String(), Sandbox: le.NetNS},
		},
		IPs:    []resultIP{{Interface: 1, Address: netip.PrefixFrom(le.Address, 32).String(), Gateway: podGateway.String()}},
		Routes: []resultRoute{{Dst: "0.0.0.0/0", GW: podGateway.String()}},
	}
	if strings.HasPrefix(version, "0.") {
		r.IPs[0].Version = "4"
	}
	if version >= "1.1" {
		r.Interfaces[0].MTU, r.Interfaces[1].MTU = mtu, mtu
	}
	return r
}

// del stops a pod's traffic and leaves the slow part, removing its link, to the remover. What is not there is not an error.
func (n *Network) del(req *request) error {
	if le := n.leases.find(req.ContainerID, req.IfName); le != nil {
		return n.detach(le)
	}
	return nil
}

func (n *Network) detach(le *lease) error {
	err := n.rules.hide(le)
	unroute(n.h, le, n.names.metric())
	n.forgetFlows(le)
	n.remover.add(le)
	return err
}

// discard undoes an ADD that failed half way.
func (n *Network) discard(le *lease) {
	if err := errors.Join(delLink(n.h, le.Link), n.leases.release(le)); err != nil {
		n.log.Warn("cannot undo an attachment", "address", le.Address, "err", err)
	}
}

// keepOnly frees what is not among the runtime's valid attachments (CNI's GC).
func (n *Network) keepOnly(valid []attachment) {
	keep := map[string]bool{}
	for _, v := range valid {
		keep[v.ContainerID+"/"+v.IfName] = true
	}
	for _, le := range n.leases.all() {
		if !keep[le.key()] {
			n.log.Info("collecting an attachment the runtime does not know", "address", le.Address, "container", le.ContainerID)
			if err := n.detach(le); err != nil {
				n.log.Warn("cannot collect an attachment", "address", le.Address, "err", err)
			}
		}
	}
}

func podArgs(args string) (namespace, name string) {
	for kv := range strings.SplitSeq(args, ";") {
		switch k, v, _ := strings.Cut(kv, "="); k {
		case "K8S_POD_NAMESPACE":
			namespace = v
		case "K8S_POD_NAME":
			name = v
		}
	}
	return namespace, name
}
