package authz

import (
	"context"
	"strconv"
	"time"

	"sampan.dev/internal/client"
	informers "sampan.dev/internal/client/cache"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Told reports whether the authorizer that reads through set knows every role and binding that is stored now. It learns of
// them a moment after they are written.
func Told(ctx context.Context, set *informers.Set, door client.Reader) (bool, error) {
	want, err := newest(ctx, door)
	return err == nil && want.told(set), err
}

// WaitTold waits until the authorizer knows what is stored now, or ctx ends.
func WaitTold(ctx context.Context, set *informers.Set, door client.Reader) error {
	want, err := newest(ctx, door)
	if err != nil {
		return err
	}
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for !want.told(set) {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// revisions are the newest of each kind that the authorizer reads.
type revisions struct{ roles, roleBindings, clusterRoles, clusterRoleBindings int64 }

func newest(ctx context.Context, door client.Reader) (r revisions, err error) {
	for res, most := range map[schema.GroupVersionResource]*int64{
		client.Roles: &r.roles, client.RoleBindings: &r.roleBindings, client.ClusterRoles: &r.clusterRoles, client.ClusterRoleBindings: &r.clusterRoleBindings,
	} {
		l, err := door.List(ctx, client.Ref{Resource: res, Metadata: true}, metav1.ListOptions{})
		if err != nil {
			return r, err
		}
		for _, o := range l.Items {
			*most = max(*most, revision(o.GetResourceVersion()))
		}
	}
	return r, nil
}

func (r revisions) told(set *informers.Set) bool {
	none := informers.Options{}
	return revision(informers.For[*rbacv1.Role](set, client.Roles, none).Told()) >= r.roles &&
		revision(informers.For[*rbacv1.RoleBinding](set, client.RoleBindings, none).Told()) >= r.roleBindings &&
		revision(informers.For[*rbacv1.ClusterRole](set, client.ClusterRoles, none).Told()) >= r.clusterRoles &&
		revision(informers.For[*rbacv1.ClusterRoleBinding](set, client.ClusterRoleBindings, none).Told()) >= r.clusterRoleBindings
}

// revision is a resource version as a number; 0 for "", which is before the first list.
func revision(rv string) int64 {
	n, _ := strconv.ParseInt(rv, 10, 64) // our own
	return n
}
