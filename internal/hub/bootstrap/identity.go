package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"os"
	"strings"
	"time"

	"sampan.dev/internal/client"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// identityLabel is of the Leases by which API servers tell others that they are there.
const identityLabel = "apiserver.kubernetes.io/identity"

// identityTerm is how long such a Lease is good for without being renewed.
const identityTerm = time.Hour

// Identity is a server's: its Lease's name is of the host, as upstream's is, and its holder of this process.
type Identity struct{ name, host, holder string }

// NewIdentity makes one that nobody else has.
func NewIdentity() *Identity {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	sum := sha256.Sum256([]byte(host))
	name := "apiserver-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
	return &Identity{name, host, name + "_" + string(uuid.NewUUID())}
}

// Name is the name of the Lease.
func (id *Identity) Name() string { return id.name }

// renew makes or renews the Lease, and takes away those of servers that have not renewed theirs.
func (id *Identity) renew(ctx context.Context, door client.Interface) error {
	now := metav1.NowMicro()
	seconds := int32(identityTerm / time.Second)
	lease, err := client.Get[*coordinationv1.Lease](ctx, door, client.Leases, metav1.NamespaceSystem, id.name)
	switch {
	case apierrors.IsNotFound(err):
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: id.name}}
		id.put(lease, seconds, now)
		_, err = client.Create(ctx, door, client.Leases, lease)
	case err == nil:
		lease = lease.DeepCopy()
		id.put(lease, seconds, now)
		_, err = client.Update(ctx, door, client.Leases, lease)
	}
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
		return err
	}
	all, err := client.ListAll[*coordinationv1.Lease](ctx, door, client.Leases, metav1.NamespaceSystem, metav1.ListOptions{LabelSelector: identityLabel + "=kube-apiserver", ResourceVersion: "0"})
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.Name != id.name && expired(l, now.Time) {
			if err := client.Delete(ctx, door, client.Leases, l.Namespace, l.Name, l.UID); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return err
			}
		}
	}
	return nil
}

func (id *Identity) put(lease *coordinationv1.Lease, seconds int32, now metav1.MicroTime) {
	if lease.Labels == nil {
		lease.Labels = map[string]string{}
	}
	lease.Labels[identityLabel], lease.Labels[corev1.LabelHostname] = "kube-apiserver", id.host
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &id.holder, &seconds, &now
}

// expired reports whether a Lease's holder has not renewed it in time.
func expired(l *coordinationv1.Lease, now time.Time) bool {
	s := l.Spec
	return s.RenewTime == nil || s.LeaseDurationSeconds == nil || s.RenewTime.Add(time.Duration(*s.LeaseDurationSeconds)*time.Second).Before(now)
}
