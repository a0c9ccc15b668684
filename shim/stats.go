package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/moby/sys/mountinfo"
	"google.golang.org/protobuf/types/known/anypb"
)

// numbersOf notes the cgroup that a process is in. It can be asked for its numbers as long as it is there; what that takes is
// found out when somebody asks first.
func numbersOf(pid int) (func() (any, error), error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	groups, unified, err := cgroups.ParseCgroupFromReaderUnified(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if cgroups.Mode() == cgroups.Unified {
		load := sync.OnceValues(func() (*cgroup2.Manager, error) { return cgroup2.Load(unified) })
		return func() (any, error) {
			cg, err := load()
			if err != nil {
				return nil, err
			}
			return cg.Stat()
		}, nil
	}
	load := sync.OnceValues(func() (cgroup1.Cgroup, error) {
		roots, err := hierarchies()
		if err != nil {
			return nil, err
		}
		return cgroup1.Load(func(name cgroup1.Name) (string, error) {
			group, ok := groups[string(name)]
			if !ok {
				if group, ok = groups["name="+string(name)]; !ok {
					return "", cgroup1.ErrControllerNotActive
				}
			}
			rel, err := filepath.Rel(roots[string(name)], group)
			return filepath.Join("/", rel), err
		})
	})
	return func() (any, error) {
		cg, err := load()
		if err != nil {
			return nil, err
		}
		return cg.Stat(cgroup1.IgnoreNotExist)
	}, nil
}

// hierarchies are the cgroups of version 1 that are the roots of what is mounted, by controller: "/" but in a container.
var hierarchies = sync.OnceValues(func() (map[string]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, m := range mounts {
		for option := range strings.SplitSeq(m.VFSOptions, ",") {
			out[strings.TrimPrefix(option, "name=")] = m.Root
		}
	}
	return out, nil
})

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
