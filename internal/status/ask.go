package status

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/manifests"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is how long one question to the API server may take.
const patience = 4 * time.Second

const healthy = "ready"

// ask asks the API server how it is and which nodes there are, as the administrator.
func (s *Status) ask(ctx context.Context, kubeconfig string) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		s.Health = err.Error()
		return
	}
	s.Server, cfg.Timeout = cfg.Host, patience
	text, code, err := Raw(ctx, cfg, "/readyz?verbose")
	switch {
	case err != nil:
		s.Health = err.Error()
	case code != http.StatusOK:
		s.Health = failing(text)
	default:
		s.Health = healthy
	}
	if s.Health == healthy || code != 0 {
		s.askNodes(ctx, cfg)
	}
}

func (s *Status) askNodes(ctx context.Context, cfg *rest.Config) {
	door, err := remote.New(cfg)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
		return
	}
	nodes, err := client.ListAll[*corev1.Node](ctx, door, client.Nodes, "", metav1.ListOptions{})
	if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("list nodes: %v", err))
		return
	}
	s.kubelets = map[uint16]string{}
	for _, n := range nodes {
		s.Nodes = append(s.Nodes, nodeOf(n))
		s.kubelets[uint16(n.Status.DaemonEndpoints.KubeletEndpoint.Port)] = "kubelet"
	}
	slices.SortFunc(s.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	s.askManifests(ctx, door)
}

// askManifests asks what the files of the folder of manifests have come to.
func (s *Status) askManifests(ctx context.Context, door client.Reader) {
	record, err := client.Get[*corev1.ConfigMap](ctx, door, client.ConfigMaps, manifests.Namespace, manifests.Name)
	if apierrors.IsNotFound(err) {
		return
	}
	if err == nil {
		s.Manifests, err = manifests.Entries(record)
	}
	if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("manifests: %v", err))
	}
	for _, m := range s.Manifests {
		for _, e := range m.Errors {
			s.Problems = append(s.Problems, fmt.Sprintf("manifest %s: %s", m.File, e))
		}
	}
}

// Raw gets a path of an API server and returns the body and the status code.
func Raw(ctx context.Context, cfg *rest.Config, path string) (string, int, error) {
	c, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return "", 0, err
	}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(cfg.Host, "/")+path, nil)
	if err != nil {
		return "", 0, err
	}
	r, err := c.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	return string(body), r.StatusCode, err
}

// failing are the checks that /readyz?verbose marks as failed, "[-]etcd failed: reason withheld".
func failing(verbose string) string {
	var bad []string
	for _, line := range strings.Split(verbose, "\n") {
		if name, ok := strings.CutPrefix(line, "[-]"); ok {
			bad = append(bad, name)
		}
	}
	if len(bad) == 0 {
		return strings.TrimSpace(verbose)
	}
	return strings.Join(bad, "; ")
}

// rolePrefix is how labels say a node's roles, as kubectl reads them.
const rolePrefix = "node-role.kubernetes.io/"

// nodeOf is a node as kubectl's table has it.
func nodeOf(n *corev1.Node) Node {
	out := Node{Name: n.Name, Status: "Unknown", Version: n.Status.NodeInfo.KubeletVersion, Since: n.CreationTimestamp.Time}
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		out.Since = c.LastTransitionTime.Time
		if c.Status == corev1.ConditionTrue {
			out.Status = "Ready"
		} else {
			out.Status = "NotReady"
		}
	}
	if n.Spec.Unschedulable {
		out.Status += ",SchedulingDisabled"
	}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && out.Address == "" {
			out.Address = a.Address
		}
	}
	var roles []string
	for label := range n.Labels {
		if role, ok := strings.CutPrefix(label, rolePrefix); ok && role != "" {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	out.Roles = strings.Join(roles, ",")
	return out
}

// serverOf is the API server that a kubeconfig is for; "" when it does not say.
func serverOf(kubeconfig string) string {
	c, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return ""
	}
	if ctx := c.Contexts[c.CurrentContext]; ctx != nil && c.Clusters[ctx.Cluster] != nil {
		return c.Clusters[ctx.Cluster].Server
	}
	return ""
}

// portOf is the port of a URL or of ADDRESS:PORT; 0 when there is none.
func portOf(at string) uint16 {
	if u, err := url.Parse(at); err == nil && u.Host != "" {
		at = u.Host
	}
	ap, err := netip.ParseAddrPort(at)
	if err != nil {
		return 0
	}
	return ap.Port()
}
