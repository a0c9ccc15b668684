package connect

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxRead is how much of a kubelet's answer is read, in bytes.
const maxRead = 32 << 20

// Read returns what the kubelet of a node serves at a path.
func (c *Connector) Read(ctx context.Context, node, path string) ([]byte, error) {
	host, err := c.kubelet(ctx, node)
	if err != nil {
		return nil, err
	}
	at := &url.URL{Scheme: "https", Host: host, Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.kubelets.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s of node %s: %w", path, node, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s of node %s: %s", path, node, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxRead))
}
