package runtime

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// driverTries is how often a runtime that may still be starting is asked, driverPause what lies between.
const (
	driverTries = 3
	driverPause = 2 * time.Second
)

// CgroupDriver is the driver that the runtime makes control groups by, "cgroupfs" or "systemd": the two must agree, so what the runtime says
// stands before what the settings say (asked). A runtime that does not say leaves it at that.
func (c *CRI) CgroupDriver(ctx context.Context, asked string) (string, error) {
	r, err := c.config(ctx)
	switch {
	case code(err) == codes.Unimplemented:
		c.log.Info("CRI implementation should be updated to support RuntimeConfig. Falling back to using cgroupDriver from kubelet config.")
		return asked, nil
	case err != nil:
		return "", err
	case r.GetLinux() == nil: // its driver would read as systemd
		return asked, nil
	}
	switch d := r.Linux.CgroupDriver; d {
	case cri.CgroupDriver_SYSTEMD:
		return "systemd", nil
	case cri.CgroupDriver_CGROUPFS:
		return "cgroupfs", nil
	default:
		return "", fmt.Errorf("runtime returned an unknown cgroup driver %d", d)
	}
}

// config asks for the runtime's configuration, again where the runtime does not answer yet.
func (c *CRI) config(ctx context.Context) (r *cri.RuntimeConfigResponse, err error) {
	for try := 1; ; try++ {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		r, err = c.rt.RuntimeConfig(call, &cri.RuntimeConfigRequest{})
		cancel()
		if err == nil || code(err) == codes.Unimplemented || try == driverTries {
			return r, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(driverPause):
		}
	}
}
