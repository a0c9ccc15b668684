package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/store"

	corev1 "k8s.io/api/core/v1"
)

// Masters is what API servers that share a store keep there of which of them live, under upstream's keys and in its form: a key for
// each address that vanishes when it is not renewed.
type Masters struct{ Store store.Store }

const (
	masterKeys = "/registry/masterleases/"
	masterTTL  = 15 // seconds that a server may be silent for
)

// Renew says that the server at an address lives.
func (m Masters) Renew(ctx context.Context, ip netip.Addr) error {
	key := masterKeys + ip.String()
	for {
		have, _, err := m.Store.Get(ctx, key)
		fresh := errors.Is(err, store.ErrNotFound)
		if err != nil && !fresh {
			return fmt.Errorf("renew %s: %w", key, err)
		}
		e := &corev1.Endpoints{}
		if !fresh {
			if _, err := api.DecodeStored(have.Value, e); err != nil {
				e = &corev1.Endpoints{}
			}
		}
		e.Subsets = []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: ip.String()}}}}
		e.Generation++
		value, err := api.EncodeStored(e)
		if err != nil {
			return err
		}
		if fresh {
			_, err = m.Store.Create(ctx, key, value, masterTTL)
		} else {
			_, err = m.Store.Update(ctx, key, value, have.Revision, masterTTL)
		}
		if !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
}

// Leave takes an address out: its server ends.
func (m Masters) Leave(ctx context.Context, ip netip.Addr) error {
	key := masterKeys + ip.String()
	have, _, err := m.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		_, err = m.Store.Delete(ctx, key, have.Revision)
	}
	return err
}

// Live are the addresses of the servers that live, in order.
func (m Masters) Live(ctx context.Context) ([]netip.Addr, error) {
	l, err := m.Store.List(ctx, store.Page{Prefix: masterKeys})
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, kv := range l.KVs {
		e := &corev1.Endpoints{}
		if _, err := api.DecodeStored(kv.Value, e); err != nil || len(e.Subsets) == 0 || len(e.Subsets[0].Addresses) == 0 {
			continue
		}
		if ip, err := netip.ParseAddr(e.Subsets[0].Addresses[0].IP); err == nil {
			out = append(out, ip)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// renewEvery is when a server that shares its store says again that it lives.
const renewEvery = 10 * time.Second

// live renews what says that this server lives, and returns the addresses of all that do.
func (c *Config) live(ctx context.Context) ([]netip.Addr, error) {
	own := c.Advertise.Addr().Unmap()
	if c.Masters == nil {
		return []netip.Addr{own}, nil
	}
	if err := c.Masters.Renew(ctx, own); err != nil {
		return nil, err
	}
	all, err := c.Masters.Live(ctx)
	if err == nil && len(all) == 0 {
		err = errors.New("no API server IP addresses were listed in storage, refusing to erase all endpoints for the kubernetes Service")
	}
	return all, err
}
