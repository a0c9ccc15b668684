package authz

import (
	"context"
	"strconv"
	"time"

	"sampan.dev/internal/client"
	informers "sampan.dev/internal/client/cache"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Told reports whether the authorizer that reads through set knows every role and binding that is stored now. It learns of
// them a moment after they are written.
func Told(ctx context.Context, set *informers.Set, door client.Reader) (bool, error) {
	none := informers.Options{}
	for _, k := range []struct {
		ref  client.Ref
		told func() string
	}{
		{client.Ref{Resource: client.Roles}, informers.For[*rbacv1.Role](set, client.Roles, none).Told},
		{client.Ref{Resource: client.RoleBindings}, informers.For[*rbacv1.RoleBinding](set, client.RoleBindings, none).Told},
		{client.Ref{Resource: client.ClusterRoles}, informers.For[*rbacv1.ClusterRole](set, client.ClusterRoles, none).Told},
		{client.Ref{Resource: client.ClusterRoleBindings}, informers.For[*rbacv1.ClusterRoleBinding](set, client.ClusterRoleBindings, none).Told},
	} {
		l, err := door.List(ctx, k.ref, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		told, _ := strconv.ParseInt(k.told(), 10, 64) // "" before the first list
		for _, o := range l.Items {
			if rv, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64); err != nil || rv > told {
				return false, nil
			}
		}
	}
	return true, nil
}

// WaitTold waits until Told, or ctx ends.
func WaitTold(ctx context.Context, set *informers.Set, door client.Reader) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for {
		if ok, err := Told(ctx, set, door); ok || err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
