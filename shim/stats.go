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

// numbersOf finds the cgroup that a process is in. It can be asked for its numbers as long as it is there.
func numbersOf(pid int) (func() (any, error), error) {
	if cgroups.Mode() == cgroups.Unified {
		path, err := cgroup2.PidGroupPath(pid)
		if err != nil {
			return nil, err
		}
		cg, err := cgroup2.Load(path)
		if err != nil {
			return nil, err
		}
		return func() (any, error) { return cg.Stat() }, nil
	}
	cg, err := cgroup1.Load(cgroup1.PidPath(pid))
	if err != nil {
		return nil, err
	}
	return func() (any, error) { return cg.Stat(cgroup1.IgnoreNotExist) }, nil
}

// findCgroup notes the cgroup of the first process, for as long as the container is there: its numbers count to the end.
func (c *container) findCgroup() (err error) {
	c.numbers, err = numbersOf(int(c.first.pid.Load()))
	return err
}

// stats reads the numbers of the container's cgroup.
func (c *container) stats() (*anypb.Any, error) {
	if _, err := c.created(); err != nil || c.numbers == nil {
		return nil, fmt.Errorf("cgroup does not exist: %w", errdefs.ErrNotFound)
	}
	return measure(c.numbers)
}

func measure(numbers func() (any, error)) (*anypb.Any, error) {
	n, err := numbers()
	if err != nil {
		return nil, err
	}
	return typeurl.MarshalAnyToProto(n)
}
