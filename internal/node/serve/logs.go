package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// logOptions is what a request for a log asks for. Negative numbers and zero times mean "not asked for".
type logOptions struct {
	follow, previous, timestamps bool
	since                        time.Time
	tail, limit                  int64
	stdout, stderr               bool
}

func parseLogOptions(q url.Values, now time.Time) (logOptions, int, error) {
	o := logOptions{tail: -1, limit: -1, stdout: true, stderr: true}
	bad := func() (logOptions, int, error) {
		return o, http.StatusBadRequest, fmt.Errorf(`{"message": "Unable to decode query."}`)
	}
	invalid := func() (logOptions, int, error) {
		return o, http.StatusUnprocessableEntity, fmt.Errorf(`{"message": "Invalid request."}`)
	}
	for name, to := range map[string]*bool{"follow": &o.follow, "previous": &o.previous, "timestamps": &o.timestamps} {
		if q.Has(name) {
			v, err := strconv.ParseBool(q.Get(name))
			if err != nil && q.Get(name) != "" {
				return bad()
			}
			*to = v || q.Get(name) == ""
		}
	}
	tail := q.Get("tailLines")
	if old := q.Get("tail"); old != "" { // before tailLines there was tail
		if tail = old; old == "all" {
			tail = ""
		}
	}
	var err error
	if tail != "" {
		if o.tail, err = strconv.ParseInt(tail, 10, 64); err != nil {
			return bad()
		}
		if o.tail < 0 {
			return invalid()
		}
	}
	if v := q.Get("limitBytes"); v != "" {
		if o.limit, err = strconv.ParseInt(v, 10, 64); err != nil {
			return bad()
		}
		if o.limit < 1 {
			return invalid()
		}
	}
	if v := q.Get("sinceSeconds"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return bad()
		}
		if n < 1 || q.Get("sinceTime") != "" {
			return invalid()
		}
		o.since = now.Add(-time.Duration(n) * time.Second)
	} else if v := q.Get("sinceTime"); v != "" {
		if o.since, err = time.Parse(time.RFC3339, v); err != nil {
			return bad()
		}
	}
	switch q.Get("stream") {
	case "", corev1.LogStreamAll:
	case corev1.LogStreamStdout:
		o.stderr = false
	case corev1.LogStreamStderr:
		o.stdout = false
	default:
		return invalid()
	}
	return o, 0, nil
}

// containerLogs serves the log of a container.
func (s *Server) containerLogs(w http.ResponseWriter, r *http.Request) {
	opts, code, err := parseLogOptions(r.URL.Query(), time.Now())
	if err != nil {
		plain(w, code, err.Error())
		return
	}
	name := r.PathValue("container")
	pod, ok := s.cfg.Host.Pod(r.PathValue("ns"), r.PathValue("pod"))
	if !ok {
		plain(w, http.StatusNotFound, fmt.Sprintf("pod %q does not exist", r.PathValue("pod")))
		return
	}
	if !hasContainer(pod, name) {
		plain(w, http.StatusNotFound, fmt.Sprintf("container %q not found in pod %q", name, pod.Name))
		return
	}
	id, err := runOf(pod, name, opts.previous)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	path, err := s.cfg.Host.LogPath(r.Context(), id)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.end, cancel)()
	out := &flusher{w: w, flush: opts.follow}
	l := &logReader{path: path, opts: opts, out: out, running: func() (bool, error) { return s.cfg.Host.Running(ctx, id) }}
	if err := l.open(); err != nil {
		plain(w, http.StatusInternalServerError, fmt.Sprintf("failed to try resolving symlinks in path %q: %v", path, err))
		return
	}
	defer l.close()
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	if opts.follow {
		out.Flush() // the client learns at once that it is connected, though the container may be silent
	}
	if err := l.run(ctx); err != nil && ctx.Err() == nil {
		s.log.Debug("reading a log ended early", "path", path, "err", err)
		fmt.Fprintf(out, "failed to watch file %q: %v\n", path, err)
	}
}

// flusher sends what is written at once when somebody is watching.
type flusher struct {
	w     http.ResponseWriter
	flush bool
}

// Write implements io.Writer.
func (f *flusher) Write(p []byte) (int, error) { return f.w.Write(p) }

// Flush sends what was written so far.
func (f *flusher) Flush() {
	if fl, ok := f.w.(http.Flusher); ok && f.flush {
		fl.Flush()
	}
}

var _ io.Writer = (*flusher)(nil)

func hasContainer(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return true
		}
	}
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return true
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			return true
		}
	}
	return false
}
