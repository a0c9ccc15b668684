package plane

import (
	"context"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// LabelControlPlane marks the node that runs beside the control plane, which kubectl shows as its role. A kubelet may not
// say that of itself, so it is said for it. A node that was not registered goes without.
func (p *Plane) LabelControlPlane(ctx context.Context) error {
	name, err := p.cfg.Node()
	if err != nil {
		return err
	}
	door := p.Door(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "sampan")
	_, err = client.MergePatch(ctx, door, client.Ref{Resource: client.Nodes, Name: name},
		map[string]any{"metadata": map[string]any{"labels": map[string]any{controlPlaneLabel: ""}}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("role of node %s: %w", name, err)
	}
	return nil
}
