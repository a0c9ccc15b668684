package csi

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// timed is a connection to a driver that tells how long each call took, and how it ended: the name of a gRPC status, "OK" where all went
// well.
type timed struct {
	*grpc.ClientConn
	driver string
	took   func(driver, method, code string, d time.Duration)
}

// Invoke implements grpc.ClientConnInterface. All that a node asks of a driver is asked by it; there are no streams.
func (t timed) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	begun := time.Now()
	err := t.ClientConn.Invoke(ctx, method, in, out, opts...)
	if t.took != nil {
		t.took(t.driver, method, ending(err), time.Since(begun))
	}
	return err
}

// ending names how a call ended. What is no status ended before the driver was asked.
func ending(err error) string {
	if err == nil {
		return codes.OK.String()
	}
	st, ok := status.FromError(err)
	if !ok {
		return "unknown-non-grpc"
	}
	return st.Code().String()
}
