package connect

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"sampan.dev/internal/client"
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

// kubelet is the address of a node's kubelet: the preferred kind of address that it has (upstream's default order begins
// with Hostname, which needs a resolver that knows nodes; we begin with InternalIP) and the port that it announced.
func (c *Connector) kubelet(ctx context.Context, node string) (string, error) {
	n, err := client.Get[*corev1.Node](ctx, c.cfg.Door(), client.Nodes, "", node)
	if err != nil {
		return "", err
	}
	port := n.Status.DaemonEndpoints.KubeletEndpoint.Port
	if port == 0 {
		port = 10250
	}
	host, err := address(n)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), nil
}

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
