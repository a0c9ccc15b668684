package source

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	urlEvery = 20 * time.Second // upstream's httpCheckFrequency
	urlMax   = 10 << 20         // a longer manifest is refused rather than cut
)

// fetch gets what a URL serves, of urlMax bytes at most.
func fetch(ctx context.Context, url string) ([]byte, error) {
	hc := &http.Client{Timeout: 10 * time.Second}
	defer hc.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, urlMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > urlMax:
		return nil, fmt.Errorf("%s: more than %d bytes", url, urlMax)
	case len(data) == 0:
		return nil, fmt.Errorf("zero-length data received from %s", url)
	}
	return data, nil
}
