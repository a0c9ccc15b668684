package connect

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/verb"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func (c *Connector) pod(ctx context.Context, req *verb.Request) (*corev1.Pod, error) {
	return client.Get[*corev1.Pod](ctx, c.cfg.Door(), client.Pods, req.Ref.Namespace, req.Ref.Name)
}

// container resolves which container of a pod is meant; upstream's words.
func container(pod *corev1.Pod, name string) (string, error) {
	var all []string
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			all = append(all, list[i].Name)
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		all = append(all, pod.Spec.EphemeralContainers[i].Name)
	}
	switch {
	case name != "" && slices.Contains(all, name):
		return name, nil
	case name != "":
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	case len(pod.Spec.Containers) == 1:
		return pod.Spec.Containers[0].Name, nil
	}
	return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: %s", pod.Name, all))
}

// kubelet is where a URL says that a node's kubelet is: the node's name and its kubelet's port, or its address where
// certificates name that. The name is not looked up anywhere; dialKubelet knows what it stands for.
func (c *Connector) kubelet(ctx context.Context, node string) (string, error) {
	n, err := client.Get[*corev1.Node](ctx, c.cfg.Door(), client.Nodes, "", node)
	if err != nil {
		return "", err
	}
	port := strconv.Itoa(int(kubeletPort(n)))
	host, err := address(n)
	if err != nil {
		return "", err
	}
	if err := c.check(node, net.JoinHostPort(host, port)); err != nil {
		return "", err
	}
	if c.cfg.ByAddress {
		return net.JoinHostPort(host, port), nil
	}
	return net.JoinHostPort(node, port), nil
}

// check refuses a node whose address leads where nobody is to be led, before anything is sent or upgraded.
func (c *Connector) check(node, to string) error {
	if local, _ := c.cfg.Local(); local != "" && local == node {
		return nil
	}
	if err := c.cfg.Egress.Refused(to); err != nil {
		return c.refused(to, err)
	}
	return nil
}

// refused is the answer to who asks for something at an address that is not allowed. Why it is not is for the log: it tells
// of the machine.
func (c *Connector) refused(to string, err error) error {
	c.cfg.Log.Warn("not connecting", "to", to, "error", err)
	return apierrors.NewBadRequest(egress.ErrNotAllowed.Error())
}

// dialKubelet connects to the kubelet of the node that the address names, at the address that the node has now.
func (c *Connector) dialKubelet(ctx context.Context, network, addr string) (net.Conn, error) {
	node, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if c.cfg.ByAddress {
		return c.cfg.Egress.DialContext(ctx, network, addr)
	}
	if local, at := c.cfg.Local(); local != "" && local == node {
		return (&net.Dialer{}).DialContext(ctx, network, at.String())
	}
	n, err := client.Get[*corev1.Node](ctx, c.cfg.Door(), client.Nodes, "", node)
	if err != nil {
		return nil, err
	}
	host, err := address(n)
	if err != nil {
		return nil, err
	}
	return c.cfg.Egress.DialNode(ctx, node, network, net.JoinHostPort(host, strconv.Itoa(int(kubeletPort(n)))))
}

func kubeletPort(n *corev1.Node) int32 {
	if port := n.Status.DaemonEndpoints.KubeletEndpoint.Port; port != 0 {
		return port
	}
	return 10250
}

// address is the preferred kind of address that a node has. Upstream's default order begins with Hostname, which needs a
// resolver that knows nodes; ours begins with InternalIP.
func address(n *corev1.Node) (string, error) {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeInternalDNS, corev1.NodeExternalDNS, corev1.NodeHostName} {
		for _, a := range n.Status.Addresses {
			if a.Type == kind {
				return a.Address, nil
			}
		}
	}
	return "", apierrors.NewInternalError(fmt.Errorf("no preferred addresses found; known addresses: %v", n.Status.Addresses))
}
