package alloc

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"sampan.dev/internal/hub/store"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/net"
)

// portRecord is which node ports are taken, for all API servers that share a store: upstream's RangeAllocation, under its key and in its
// form, so that upstream's API servers may be among them. It is changed by compare-and-swap.
type portRecord struct {
	store       store.Store
	first, last int32
}

// portKey is where it is; upstream has no resource of that name.
const portKey = "/registry/ranges/servicenodeports"

// take takes one port for everybody; errPortTaken when somebody has it.
func (r *portRecord) take(ctx context.Context, port int32) error {
	return r.change(ctx, func(bits *big.Int) error {
		i := int(port - r.first)
		if bits.Bit(i) == 1 {
			return errPortTaken
		}
		bits.SetBit(bits, i, 1)
		return nil
	})
}

// give gives ports back.
func (r *portRecord) give(ctx context.Context, ports []int32) error {
	return r.change(ctx, func(bits *big.Int) error {
		for _, p := range ports {
			if p >= r.first && p <= r.last {
				bits.SetBit(bits, int(p-r.first), 0)
			}
		}
		return nil
	})
}

// add makes the record say that these ports are taken too.
func (r *portRecord) add(ctx context.Context, ports []int32) error {
	return r.change(ctx, func(bits *big.Int) error {
		for _, p := range ports {
			if p >= r.first && p <= r.last {
				bits.SetBit(bits, int(p-r.first), 1)
			}
		}
		return nil
	})
}

// change reads the record, changes it and stores it, again until nobody else has changed it between.
func (r *portRecord) change(ctx context.Context, fn func(bits *big.Int) error) error {
	for {
		have, _, err := r.store.Get(ctx, portKey)
		fresh := errors.Is(err, store.ErrNotFound)
		if err != nil && !fresh {
			return fmt.Errorf("node ports: %w", err)
		}
		record := &corev1.RangeAllocation{}
		if !fresh {
			if _, err := api.DecodeStored(have.Value, record); err != nil {
				return fmt.Errorf("node ports: %w", err)
			}
		}
		bits := new(big.Int)
		if was := portRange(record.Range); was == r.first {
			bits.SetBytes(record.Data)
		}
		before := bits.String()
		if err := fn(bits); err != nil {
			return err
		}
		spec := net.PortRange{Base: int(r.first), Size: int(r.last-r.first) + 1}.String()
		if !fresh && bits.String() == before && record.Range == spec {
			return nil
		}
		record.Range, record.Data = spec, bits.Bytes()
		record.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("RangeAllocation"))
		value, err := api.EncodeStored(record)
		if err != nil {
			return fmt.Errorf("node ports: %w", err)
		}
		if fresh {
			_, err = r.store.Create(ctx, portKey, value, 0)
		} else {
			_, err = r.store.Update(ctx, portKey, value, have.Revision, 0)
		}
		if !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
}

// portRange is the first port of a range as the record has it; -1 for none.
func portRange(text string) int32 {
	var first, last int32
	if n, err := fmt.Sscanf(strings.TrimSpace(text), "%d-%d", &first, &last); err != nil || n != 2 {
		return -1
	}
	return first
}
