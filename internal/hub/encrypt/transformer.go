package encrypt

import (
	"bytes"
	"context"
	"errors"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
)

// transformer encrypts and decrypts values. about is what the ciphertext is bound to: the key under which the store has it. Values
// that were handed in are not changed, and what comes out may share their memory.
type transformer interface {
	seal(ctx context.Context, value, about []byte) ([]byte, error)
	// open says beside the value whether seal would store it otherwise now.
	open(ctx context.Context, stored, about []byte) (value []byte, stale bool, err error)
}

// prefixed is a transformer for stored values that begin with a prefix, which it neither sees nor writes.
type prefixed struct {
	prefix string
	transformer
}

// chain writes with its first member and reads with the first that can.
type chain struct {
	of   []prefixed
	none error // when no prefix matches
}

func (c *chain) seal(ctx context.Context, value, about []byte) ([]byte, error) {
	first := c.of[0]
	out, err := first.seal(ctx, value, about)
	if err != nil || first.prefix == "" {
		return out, err
	}
	return append([]byte(first.prefix), out...), nil
}

// open tries every member whose prefix matches: keys of one provider may be spread over several members.
func (c *chain) open(ctx context.Context, stored, about []byte) ([]byte, bool, error) {
	var errs []error
	for i, t := range c.of {
		if !bytes.HasPrefix(stored, []byte(t.prefix)) {
			continue
		}
		value, stale, err := t.open(ctx, stored[len(t.prefix):], about)
		if err == nil {
			return value, stale || i != 0, nil
		}
		if t.prefix != "" { // what identity does not know is for the others
			errs = append(errs, err)
		}
	}
	if err := utilerrors.Reduce(utilerrors.NewAggregate(errs)); err != nil {
		return nil, false, err
	}
	return nil, false, c.none
}

// identity keeps values as they are, and refuses to take what somebody encrypted for a plain value.
type identity struct{}

var errEncrypted = errors.New("identity transformer tried to read encrypted data")

func (identity) seal(_ context.Context, value, _ []byte) ([]byte, error) { return value, nil }

func (identity) open(_ context.Context, stored, _ []byte) ([]byte, bool, error) {
	if bytes.HasPrefix(stored, []byte("k8s:enc:")) {
		return nil, false, errEncrypted
	}
	return stored, false, nil
}
