package source

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// urlMax is how long a manifest may be; a longer one is refused rather than cut.
const urlMax = 10 << 20

// fetch gets what a URL serves to a request with this header, of urlMax bytes at most. A Host in the header is the virtual host
// that is asked, as everywhere else in HTTP.
func fetch(ctx context.Context, url string, header http.Header) ([]byte, error) {
	hc := &http.Client{Timeout: 10 * time.Second}
	defer hc.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	if host := header.Get("Host"); host != "" {
		req.Host = host
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
