package health

import (
	"net/http"
	"net/http/pprof"
	"strings"
)

// Profile serves what `go tool pprof` reads, where upstream serves it too. Who may is decided by authorization, as for every
// path; the process profiled is the whole cluster's.
func Profile(w http.ResponseWriter, r *http.Request) error {
	switch name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/debug/pprof"), "/"); name {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
	return nil
}
