package hub

import (
	"hash/maphash"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/store/relaxed"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// Relaxed are the kinds that a lone server may keep in a store of relaxed durability: these and no others. Of a lease all
// must last but the time of its renewal; of an event nothing.
func Relaxed(kinds *api.Kinds) []relaxed.Prefix {
	leases, events := kinds.Resource(client.Leases), kinds.Resource(client.Events)
	return []relaxed.Prefix{
		{Path: leases.StoragePrefix(), TTLSeconds: leases.TTLSeconds, Lasting: lastingLease},
		{Path: events.StoragePrefix(), TTLSeconds: events.TTLSeconds},
	}
}

// digests is random, so that nobody can make two leases look alike.
var digests = maphash.MakeSeed()

// lastingLease is a digest of a stored lease without the time of its renewal, and without the times of managed fields.
func lastingLease(stored []byte) uint64 {
	o, err := api.DecodeStored(stored, &coordinationv1.Lease{})
	if err != nil {
		return maphash.Bytes(digests, stored) // whatever it is, all of it lasts
	}
	l, ok := o.(*coordinationv1.Lease)
	if !ok {
		return maphash.Bytes(digests, stored)
	}
	l.Spec.RenewTime, l.ManagedFields = nil, nil
	b, err := l.Marshal()
	if err != nil {
		return maphash.Bytes(digests, stored)
	}
	return maphash.Bytes(digests, b)
}
