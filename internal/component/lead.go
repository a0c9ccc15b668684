package component

import (
	"context"
	"log/slog"
	"os"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/lease"

	"k8s.io/apimachinery/pkg/util/uuid"
)

// Lead runs a component while it holds its lease, or at once where leader election is off. Unlike upstream's it does not end
// when the lease is lost: it stands by, and leads again when it can.
func (e *Election) Lead(ctx context.Context, door client.Interface, log *slog.Logger, run func(context.Context) error) error {
	if !e.Elect {
		return run(ctx)
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	return lease.Run(ctx, lease.Config{
		Door: door, Namespace: e.Namespace, Name: e.Name, Identity: host + "_" + string(uuid.NewUUID()),
		Duration: e.Duration, Deadline: e.Deadline, Retry: e.Retry, Log: log,
	}, run)
}
