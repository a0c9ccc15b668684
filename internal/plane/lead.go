package plane

import (
	"context"
	"crypto/sha256"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/lease"
	"sampan.dev/internal/config"

	"k8s.io/apimachinery/pkg/types"
)

// leading makes a part of the control plane run only while it holds its Lease in kube-system, where tools look for it. With
// an etcd of its own nobody else is there but by coming through our API server, so the lease costs one write at each start, and
// one whenever somebody looks; others may use an external one too, so there it is renewed all the time. A run takes over at once
// from an earlier one on the same data directory. When another holds the lease, the part stands by.
func (p *Plane) leading(user, name string, run func(ctx context.Context) error) func(ctx context.Context) error {
	host, _ := p.cfg.Node() // checked when the keys were opened
	sum := sha256.Sum256([]byte(p.cfg.DataDir))
	c := lease.Config{
		Door:     p.Door(api.User{Name: user, Groups: []string{api.GroupAuthenticated}}, name+"/"+config.Version+" leader-election"),
		Name:     name,
		Identity: fmt.Sprintf("%s_%s", host, uuidOf(sum)),
		Quiet:    len(p.cfg.API.EtcdServers) == 0,
		Audience: &p.leases,
		Log:      p.log,
	}
	return func(ctx context.Context) error { return lease.Run(ctx, c, run) }
}

// uuidOf writes a hash as a name-based UUID (RFC 9562, version 8).
func uuidOf(sum [32]byte) types.UID {
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}
