package load

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profile takes CPU profiles of ten seconds each, one after the other, until it is ended, and writes them to files whose names
// begin with -space. A server that does not answer, because it is not up yet or again, is asked later.
func (r *run) profile() error {
	for i := 0; r.ctx.Err() == nil; {
		data, err := r.oneProfile()
		if err != nil {
			r.pause(200 * time.Millisecond)
			continue
		}
		if err := os.WriteFile(fmt.Sprintf("%s-%03d.pprof", r.space, i), data, 0o644); err != nil {
			return err
		}
		i++
	}
	return nil
}

func (r *run) oneProfile() ([]byte, error) {
	hc, host, err := r.raw()
	if err != nil {
		return nil, err
	}
	defer hc.CloseIdleConnections()
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, host+"/debug/pprof/profile?seconds=10", nil)
	if err != nil {
		return nil, err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("profile: %s", resp.Status)
	}
	return io.ReadAll(resp.Body)
}
