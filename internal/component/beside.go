package component

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Beside runs main in this goroutine and others beside it until ctx ends or one of them does, which ends all. It returns why.
func Beside(ctx context.Context, main func(context.Context) error, others ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer func() { // also when main panics
		stop()
		_ = group.Wait()
	}()
	for _, run := range others {
		group.Go(func() error {
			defer stop()
			return run(ctx)
		})
	}
	if err := main(ctx); err != nil {
		return err
	}
	stop()
	return group.Wait()
}
