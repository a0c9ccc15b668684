package main

import (
	"context"

	"github.com/containerd/ttrpc"
)

// key names a container or a sandbox: containerd's ids are unique within one of its namespaces only.
type key struct{ namespace, id string }

// keyOf returns the key of what a request calls id. A request carries its namespace in the metadata of ttrpc.
func keyOf(ctx context.Context, id string) key {
	if md, ok := ttrpc.GetMetadata(ctx); ok {
		if v, ok := md.Get("containerd-namespace-ttrpc"); ok && len(v) > 0 {
			return key{v[0], id}
		}
	}
	return key{"default", id}
}
