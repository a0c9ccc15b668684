package runtime

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Offer names images that lie in archives on this machine. When one of them is to be pulled and its archive is there, it is imported
// instead, so that neither a registry nor a start pays for it. It is set before the first call.
func (c *CRI) Offer(endpoint string, images map[string]string) {
	c.endpoint, c.offers = endpoint, images
}

// offered imports an image that lies in an archive, and returns its reference; "" when none does.
func (c *CRI) offered(ctx context.Context, ref string) (string, error) {
	path := c.offers[ref]
	if path == "" {
		return "", nil
	}
	if img, err := c.Image(ctx, ref); err == nil && img != nil {
		return img.ID, nil // another pod has asked for it meanwhile
	}
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := ImportImage(ctx, c.endpoint, "k8s.io", f); err != nil {
		return "", fmt.Errorf("import %s: %w", path, err)
	}
	return c.awaitImage(ctx, ref)
}

// shownIn bounds the time until the CRI shows what was imported beside it: it learns of that by an event of containerd's own.
const shownIn = 5 * time.Second

func (c *CRI) awaitImage(ctx context.Context, ref string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shownIn)
	defer cancel()
	for {
		if img, err := c.Image(ctx, ref); err == nil && img != nil {
			return img.ID, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%s was imported and is not there: %w", ref, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
