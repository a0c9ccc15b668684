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
	"github.com/containerd/typeurl/v2"
	"github.com/moby/sys/mountinfo"
	"google.golang.org/protobuf/types/known/anypb"
)

// numbersOf finds the cgroup that a process is in and returns a function that reads its numbers, for as long as the cgroup exists.
// The cgroup is opened at the first call of that function: most are never asked.
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

// hierarchies returns, by controller, which cgroup of version 1 the mounted hierarchy begins at: "/" except inside a container.
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

// measure reads numbers and encodes them as containerd's metrics of version 1 or 2.
func measure(numbers func() (any, error)) (*anypb.Any, error) {
	n, err := numbers()
	if err != nil {
		return nil, err
	}
	return typeurl.MarshalAnyToProto(n)
}
