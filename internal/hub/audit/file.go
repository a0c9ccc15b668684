package audit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// FileConfig says how a log file is kept.
type FileConfig struct {
	Path       string // "-" is standard output
	MaxSize    int    // megabytes at which the file is turned over; 0: never
	MaxAge     int    // days that older files are kept; 0: any number
	MaxBackups int    // older files that are kept; 0: any number
	Compress   bool   // gzip older files
}

// Open opens the file, and makes it and its folder if need be.
func (c FileConfig) Open() (io.Writer, error) {
	if c.Path == "-" {
		return os.Stdout, nil
	}
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return nil, fmt.Errorf("ensureLogFile: %w", err)
	}
	f, err := os.OpenFile(c.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ensureLogFile: %w", err)
	}
	if c.MaxSize == 0 {
		return f, nil
	}
	f.Close()
	return &lumberjack.Logger{Filename: c.Path, MaxSize: c.MaxSize, MaxAge: c.MaxAge, MaxBackups: c.MaxBackups, Compress: c.Compress}, nil
}

// Lines writes an event a line, one Write for each, before Record returns.
type Lines struct {
	format func([]byte, *Event) []byte
	strict bool

	mu struct {
		sync.Mutex
		w   io.Writer
		buf []byte
	}
}

// NewLines writes JSON to w.
func NewLines(w io.Writer) *Lines {
	l := &Lines{format: func(b []byte, e *Event) []byte { return e.AppendJSON(b) }}
	l.mu.w = w
	return l
}

// Legacy has lines of upstream's older text format written.
func (l *Lines) Legacy() *Lines { l.format = appendLegacy; return l }

// Strict lets a request fail whose first event cannot be written; otherwise such an event is lost.
func (l *Lines) Strict() *Lines { l.strict = true; return l }

// Record implements Sink.
func (l *Lines) Record(e *Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.buf = append(l.format(l.mu.buf[:0], e), '\n')
	_, err := l.mu.w.Write(l.mu.buf)
	if cap(l.mu.buf) > gatherBytes {
		l.mu.buf = nil
	}
	return err == nil || !l.strict
}

// Gathered writes events a line each, a moment later and several at once: one write to the file costs as much as a dozen events do.
// What a crash of the process loses is that moment. There is a timer only while something waits.
type Gathered struct {
	mu struct {
		sync.Mutex
		w     io.Writer
		buf   []byte
		armed bool
	}
}

// How long events are gathered, and how many bytes of them.
const (
	gatherFor   = 100 * time.Millisecond
	gatherBytes = 64 << 10
)

// NewGathered writes JSON to w.
func NewGathered(w io.Writer) *Gathered {
	g := &Gathered{}
	g.mu.w = w
	return g
}

// Record implements Sink.
func (g *Gathered) Record(e *Event) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.buf = append(e.AppendJSON(g.mu.buf), '\n')
	switch {
	case len(g.mu.buf) >= gatherBytes:
		g.flushLocked()
	case !g.mu.armed:
		g.mu.armed = true
		time.AfterFunc(gatherFor, g.Flush)
	}
	return true
}

// Flush writes what has been gathered.
func (g *Gathered) Flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.armed = false
	g.flushLocked()
}

func (g *Gathered) flushLocked() {
	if len(g.mu.buf) > 0 {
		g.mu.w.Write(g.mu.buf) //nolint:errcheck // a disk that takes no log must not end the cluster
	}
	if g.mu.buf = g.mu.buf[:0]; cap(g.mu.buf) > 2*gatherBytes {
		g.mu.buf = nil
	}
}

// appendLegacy appends upstream's one line of text.
func appendLegacy(b []byte, e *Event) []byte {
	user, groups, as, asGroups := "<none>", "<none>", "<self>", "<lookup>"
	if e.User.Name != "" {
		user = e.User.Name
		if len(e.User.Groups) > 0 {
			groups = quoted(e.User.Groups)
		}
	}
	if e.Impersonated != nil {
		as = e.Impersonated.Name
		if e.Impersonated.Groups != nil {
			asGroups = quoted(e.Impersonated.Groups)
		}
	}
	namespace, response, ip := "<none>", "<deferred>", "<unknown>"
	if e.Object != nil && e.Object.Namespace != "" {
		namespace = e.Object.Namespace
	}
	if e.Status != nil {
		response = strconv.Itoa(int(e.Status.Code))
	}
	if len(e.SourceIPs) > 0 {
		ip = e.SourceIPs[0]
	}
	return fmt.Appendf(b, "%s AUDIT: id=%q stage=%q ip=%q method=%q user=%q groups=%q as=%q asgroups=%q user-agent=%q namespace=%q uri=%q response=\"%s\"",
		e.Received.Format(time.RFC3339Nano), e.ID, e.Stage, ip, e.Verb, user, groups, as, asGroups, e.UserAgent, namespace, e.URI, response)
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return strings.Join(out, ",")
}
