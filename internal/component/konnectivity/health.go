package konnectivity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// health serves whether a program is well.
type health struct {
	at      string
	ready   func() bool
	numbers func() map[string]int // metrics, by upstream's names
}

func (h health) run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	ready := func(w http.ResponseWriter, _ *http.Request) {
		if !h.ready() {
			http.Error(w, "not connected", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "ok")
	}
	mux.HandleFunc("/ready", ready)
	mux.HandleFunc("/readyz", ready)
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		numbers := h.numbers()
		for _, name := range slices.Sorted(maps.Keys(numbers)) {
			fmt.Fprintf(w, "# TYPE %s gauge\n%s %d\n", name, name, numbers[name])
		}
	})
	srv := &http.Server{Addr: h.at, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("health port: %w", err)
	}
	return nil
}
