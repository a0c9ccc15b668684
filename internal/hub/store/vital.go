package store

import "context"

type vital struct{}

// Vital marks writes that a store with little room left must take all the same, from what it keeps free for them: those that
// lead to a deletion, and the few bytes without which nothing goes on.
func Vital(ctx context.Context) context.Context { return context.WithValue(ctx, vital{}, true) }

// IsVital reports whether ctx is marked so.
func IsVital(ctx context.Context) bool { return ctx.Value(vital{}) != nil }

// Gauge is a Store that knows when it takes no values.
type Gauge interface {
	Store
	// Writable says why values cannot be written for now: ErrFull, or ErrUnready when nothing can.
	Writable() error
}

// Writable is Gauge.Writable for any store; those that do not know take everything.
func Writable(s Store) error {
	if g, ok := s.(Gauge); ok {
		return g.Writable()
	}
	return nil
}

// Sized is a Store that knows how many bytes its database takes on the disk.
type Sized interface {
	Store
	Size(ctx context.Context) (int64, error)
}

// Size is Sized.Size for any store; ok is false for those that do not know.
func Size(ctx context.Context, s Store) (bytes int64, ok bool) {
	sized, ok := s.(Sized)
	if !ok {
		return 0, false
	}
	n, err := sized.Size(ctx)
	return n, err == nil
}
