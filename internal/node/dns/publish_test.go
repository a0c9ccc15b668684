package dns

import (
	"io"
	"log/slog"
	"testing"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func emptySlices(t *testing.T) *cache.Informer[*discoveryv1.EndpointSlice] {
	t.Helper()
	return cache.New[*discoveryv1.EndpointSlice](nil, client.EndpointSlices, cache.Options{}, quiet)
}

func emptyNodes(t *testing.T) *cache.Informer[*corev1.Node] {
	t.Helper()
	return cache.New[*corev1.Node](nil, client.Nodes, cache.Options{}, quiet)
}
