package devices

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sampan.dev/internal/node/socket"

	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/util/validation"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Serve listens for plugins until ctx ends. It costs one goroutine that waits, until the first plugin comes.
func (m *Manager) Serve(ctx context.Context) error {
	defer m.wait.Wait()
	if err := removeSockets(m.cfg.Dir); err != nil {
		return fmt.Errorf("device plugins: %w", err)
	}
	return socket.Serve(ctx, filepath.Join(m.cfg.Dir, filepath.Base(pluginapi.KubeletSocket)), func(s *grpc.Server) {
		pluginapi.RegisterRegistrationServer(s, &registration{m: m, ctx: ctx})
	})
}

// removeSockets removes the sockets of plugins: a plugin that sees its own go registers again with the new kubelet.
func removeSockets(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.Type()&os.ModeSocket != 0 {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// registration is the service that plugins register with.
type registration struct {
	pluginapi.UnimplementedRegistrationServer
	m   *Manager
	ctx context.Context //nolint:containedctx // of Serve: a plugin outlives the call that registers it
}

// Register implements the service. It answers when the plugin has been reached.
func (r *registration) Register(ctx context.Context, req *pluginapi.RegisterRequest) (*pluginapi.Empty, error) {
	switch {
	case !slices.Contains(pluginapi.SupportedVersions[:], req.Version):
		return nil, fmt.Errorf("requested API version %q is not supported by kubelet. Supported version is %q", req.Version, pluginapi.SupportedVersions)
	case !extended(req.ResourceName):
		return nil, fmt.Errorf("the ResourceName %q is invalid", req.ResourceName)
	}
	if err := r.m.connect(ctx, r.ctx, req.ResourceName, filepath.Join(r.m.cfg.Dir, req.Endpoint)); err != nil {
		return nil, err
	}
	return &pluginapi.Empty{}, nil
}

// extended reports whether a name is that of a resource which is not Kubernetes' own.
func extended(name string) bool {
	domain, _, ok := strings.Cut(name, "/")
	return ok && !strings.Contains(domain, "kubernetes.io") && !strings.HasPrefix(name, "requests.") &&
		len(validation.IsQualifiedName("requests."+name)) == 0
}
