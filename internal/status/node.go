package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Component is one of the three that a node has: kubelet, container runtime and kube-proxy.
type Component struct {
	Name    string `json:"name"`
	Health  string `json:"health"` // "ok", or why not
	Version string `json:"version,omitempty"`
}

const fine = "ok"

// Well reports whether nothing is wrong with it.
func (c Component) Well() bool { return c.Health == fine }

// AskNode asks how the components of a node are: the kubelet by way of the API server, the runtime by what the kubelet says of it, the
// proxy by what its process says, where that is on this machine, else at its health port. Fails when there is no such node.
func (s *Status) AskNode(ctx context.Context, name string) ([]Component, error) {
	kubeconfig := pathsOf(s.DataDir).Kubeconfig
	if _, err := os.Stat(kubeconfig); err != nil {
		return nil, errors.New("of nodes, the data directory of the control plane knows")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = patience
	door, err := remote.New(cfg)
	if err != nil {
		return nil, err
	}
	node, err := client.Get[*corev1.Node](ctx, door, client.Nodes, "", name)
	if err != nil {
		return nil, err
	}
	info := node.Status.NodeInfo
	return []Component{
		{"kubelet", healthAt(ctx, cfg, "/api/v1/nodes/"+name+"/proxy/healthz"), info.KubeletVersion},
		{"container runtime", runtimeHealth(node), info.ContainerRuntimeVersion},
		{"kube-proxy", s.proxyHealth(ctx, cfg, name), info.KubeletVersion},
	}, nil
}

// runtimeHealth is how the container runtime is by what its kubelet last said: of a node that is not ready it has the reason.
func runtimeHealth(n *corev1.Node) string {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return c.Message
		}
	}
	return fine
}

// proxyHealth is how a node's proxy is.
func (s *Status) proxyHealth(ctx context.Context, cfg *rest.Config, node string) string {
	first, _ := os.ReadFile(filepath.Join(s.DataDir, "node-name"))
	for _, p := range s.Parts {
		if p.Name == node || p.Name == "proxy" && strings.TrimSpace(string(first)) == node {
			if p.Running {
				return fine
			}
			return p.Error
		}
	}
	return healthAt(ctx, cfg, "/api/v1/nodes/http:"+node+":10256/proxy/healthz")
}

// healthAt is "ok" where a path of the API server answers with 200.
func healthAt(ctx context.Context, cfg *rest.Config, path string) string {
	text, code, err := Raw(ctx, cfg, path)
	switch {
	case err != nil:
		return err.Error()
	case code != http.StatusOK:
		return strings.TrimSpace(text)
	}
	return fine
}

// WriteComponents lays a node's components out for a person.
func WriteComponents(w io.Writer, all []Component) error {
	out := &strings.Builder{}
	table(out, "COMPONENT\tHEALTH\tVERSION", len(all), func(i int) []string {
		return []string{all[i].Name, all[i].Health, or(all[i].Version, "-")}
	})
	_, err := fmt.Fprint(w, strings.TrimLeft(out.String(), "\n"))
	return err
}
