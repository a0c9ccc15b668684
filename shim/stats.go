package main

import (
	"fmt"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
)

// findCgroup notes the cgroup of the first process, for as long as the container is there: its numbers count to the end.
func (c *container) findCgroup() error {
	if cgroups.Mode() == cgroups.Unified {
		path, err := cgroup2.PidGroupPath(int(c.first.pid.Load()))
		if err != nil {
			return err
		}
		cg, err := cgroup2.Load(path)
		if err != nil {
			return err
		}
		c.numbers = func() (any, error) { return cg.Stat() }
		return nil
	}
	cg, err := cgroup1.Load(cgroup1.PidPath(int(c.first.pid.Load())))
	if err != nil {
		return err
	}
	c.numbers = func() (any, error) { return cg.Stat(cgroup1.IgnoreNotExist) }
	return nil
}

// stats reads the numbers of the container's cgroup.
func (c *container) stats() (*anypb.Any, error) {
	if _, err := c.created(); err != nil || c.numbers == nil {
		return nil, fmt.Errorf("cgroup does not exist: %w", errdefs.ErrNotFound)
	}
	n, err := c.numbers()
	if err != nil {
		return nil, err
	}
	return typeurl.MarshalAnyToProto(n)
}
