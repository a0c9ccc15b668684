package apiserver

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/callout"
	"sampan.dev/internal/tunnel/konnectivity/selector"
)

// Audit is what is recorded of requests, and where to.
type Audit struct {
	Policy  string // file; "" is [audit.Default]
	Log     AuditLog
	Webhook AuditWebhook
}

// AuditLog is a file of events.
type AuditLog struct {
	audit.FileConfig
	Format, Version string
	Gather          bool // several events are written at once, a moment later
	auditStream
}

// AuditWebhook is a program elsewhere that events are sent to.
type AuditWebhook struct {
	File, Version string
	Backoff       time.Duration
	auditStream
}

// auditStream is how events go to either.
type auditStream struct {
	Mode     string
	Batch    audit.BatchConfig
	Throttle bool
	Truncate bool
	MaxBatch int
	MaxEvent int
}

func newAudit() Audit {
	return Audit{
		Log: AuditLog{
			FileConfig: audit.FileConfig{MaxSize: 100, MaxAge: 366, MaxBackups: 100}, Format: "json", Version: auditVersion,
			auditStream: auditStream{Mode: "blocking", Batch: audit.BatchConfig{BufferSize: 10000, MaxSize: 1}, MaxBatch: 10 << 20, MaxEvent: 100 << 10},
		},
		Webhook: AuditWebhook{
			Version: auditVersion, Backoff: 10 * time.Second,
			auditStream: auditStream{Mode: "batch", Throttle: true, MaxBatch: 10 << 20, MaxEvent: 100 << 10,
				Batch: audit.BatchConfig{BufferSize: 10000, MaxSize: 400, MaxWait: 30 * time.Second, QPS: 10, Burst: 15}},
		},
	}
}

const auditVersion = "audit.k8s.io/v1"

func (a *Audit) table() flag.Table {
	l, w := &a.Log, &a.Webhook
	return flag.Join(flag.Table{
		flag.Set("audit-policy-file", flag.String(&a.Policy), "Policy of audit.k8s.io/v1 (file): which requests are recorded and how much of them; default is writes and refusals at level Metadata"),
		flag.Set("audit-log-path", flag.String(&l.Path), "file that events are written to; '-' is standard output"),
		flag.Set("audit-log-maxsize", flag.Int(&l.MaxSize), "megabytes at which that file is turned over; 0: never"),
		flag.Set("audit-log-maxage", flag.Int(&l.MaxAge), "days that older files are kept; 0: any number"),
		flag.Set("audit-log-maxbackup", flag.Int(&l.MaxBackups), "older files that are kept; 0: any number"),
		flag.Set("audit-log-compress", flag.Bool(&l.Compress), "compress older files"),
		flag.Set("audit-log-format", flag.String(&l.Format), "json, or legacy: a line of text"),
		flag.Set("audit-log-version", flag.String(&l.Version), "version of the events in the file"),
		flag.Set("audit-webhook-config-file", flag.String(&w.File), "kubeconfig of a program that events are sent to"),
		flag.Set("audit-webhook-initial-backoff", flag.Duration(&w.Backoff), "how soon a batch that failed is sent again"),
		flag.Set("audit-webhook-version", flag.String(&w.Version), "version of the events that are sent"),
	}, l.auditStream.table("audit-log"), w.auditStream.table("audit-webhook"))
}

func (s *auditStream) table(name string) flag.Table {
	return flag.Table{
		flag.Set(name+"-mode", flag.String(&s.Mode), "batch: a request does not wait for its events; blocking: it does; blocking-strict: it fails without them"),
		flag.Set(name+"-batch-buffer-size", flag.Int(&s.Batch.BufferSize), "events that wait at most, in mode batch"),
		flag.Set(name+"-batch-max-size", flag.Int(&s.Batch.MaxSize), "events in a batch"),
		flag.Set(name+"-batch-max-wait", flag.Duration(&s.Batch.MaxWait), "how long an event waits for others"),
		flag.Set(name+"-batch-throttle-enable", flag.Bool(&s.Throttle), "limit the number of batches in a second"),
		flag.Set(name+"-batch-throttle-qps", flag.Float32(&s.Batch.QPS), "to that many on average"),
		flag.Set(name+"-batch-throttle-burst", flag.Int(&s.Batch.Burst), "and that many at once"),
		flag.Set(name+"-truncate-enabled", flag.Bool(&s.Truncate), "leave out what makes an event too large"),
		flag.Set(name+"-truncate-max-batch-size", flag.Int(&s.MaxBatch), "bytes of a batch"),
		flag.Set(name+"-truncate-max-event-size", flag.Int(&s.MaxEvent), "bytes of an event"),
	}
}

func (s *auditStream) validate(name string) error {
	switch {
	case !slices.Contains([]string{"batch", "blocking", "blocking-strict"}, s.Mode):
		return fmt.Errorf("invalid audit %s mode %s, allowed modes are %q", name, s.Mode, "batch,blocking,blocking-strict")
	case s.Mode == "batch" && s.Batch.BufferSize <= 0:
		return fmt.Errorf("invalid audit batch %s buffer size %v, must be a positive number", name, s.Batch.BufferSize)
	case s.Mode == "batch" && s.Batch.MaxSize <= 0:
		return fmt.Errorf("invalid audit batch %s max batch size %v, must be a positive number", name, s.Batch.MaxSize)
	case s.Mode == "batch" && s.Throttle && s.Batch.QPS <= 0:
		return fmt.Errorf("invalid audit batch %s throttle QPS %v, must be a positive number", name, s.Batch.QPS)
	case s.Mode == "batch" && s.Throttle && s.Batch.Burst <= 0:
		return fmt.Errorf("invalid audit batch %s throttle burst %v, must be a positive number", name, s.Batch.Burst)
	case s.MaxEvent <= 0:
		return fmt.Errorf("invalid audit truncate %s max event size %v, must be a positive number", name, s.MaxEvent)
	case s.MaxBatch < s.MaxEvent:
		return fmt.Errorf("invalid audit truncate %s max batch size %v, must be greater than max event size (%v)", name, s.MaxBatch, s.MaxEvent)
	}
	return nil
}

func (a *Audit) validate() error {
	l, w := &a.Log, &a.Webhook
	if l.Path != "" {
		if err := l.auditStream.validate("log"); err != nil {
			return err
		}
		for _, n := range []struct {
			name string
			of   int
		}{{"maxage", l.MaxAge}, {"maxbackup", l.MaxBackups}, {"maxsize", l.MaxSize}} {
			if n.of < 0 {
				return fmt.Errorf("--audit-log-%s %v can't be a negative number", n.name, n.of)
			}
		}
		switch {
		case l.Version != auditVersion:
			return fmt.Errorf("invalid group version, allowed versions are %q", []string{auditVersion})
		case l.Format != "json" && l.Format != "legacy":
			return fmt.Errorf("invalid audit log format %s, allowed formats are %q", l.Format, "legacy,json")
		}
	}
	if w.File != "" {
		if err := w.auditStream.validate("webhook"); err != nil {
			return err
		}
		if w.Version != auditVersion {
			return fmt.Errorf("invalid group version, allowed versions are %q", []string{auditVersion})
		}
	}
	return nil
}

// AuditTo makes what the flags say; nil when events are kept nowhere. It opens the file. Errors are of the settings.
func (c *Config) AuditTo(log *slog.Logger) (*audit.Log, error) {
	a := &c.Audit
	if err := a.validate(); err != nil {
		return nil, err
	}
	out := &audit.Log{Policy: audit.Default{}, Refusals: true}
	if a.Policy != "" {
		policy, warnings, err := audit.ReadPolicy(a.Policy)
		if err != nil {
			return nil, fmt.Errorf("loading audit policy file: %w", err)
		}
		if warnings != nil {
			log.Warn("Audit policy contains errors, falling back to lenient decoding", "error", warnings)
		}
		out.Policy, out.Refusals = policy, false
	}
	var sinks audit.Several
	if a.Log.Path != "" {
		s, err := a.Log.sink(log)
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, s)
	}
	if a.Webhook.File != "" {
		s, err := c.auditWebhook(log)
		if err != nil {
			return nil, fmt.Errorf("initializing audit webhook: %w", err)
		}
		sinks = append(sinks, s)
	}
	switch len(sinks) {
	case 0:
		return nil, nil
	case 1:
		out.Sink = sinks[0]
	default:
		out.Sink = sinks
	}
	return out, nil
}

func (l *AuditLog) sink(log *slog.Logger) (audit.Sink, error) {
	w, err := l.Open()
	if err != nil {
		return nil, fmt.Errorf("--audit-log-path: %w", err)
	}
	var s audit.Sink
	lines := audit.NewLines(w)
	if l.Format == "legacy" {
		lines = lines.Legacy()
	}
	switch {
	case l.Gather || l.Mode == "batch" && l.Format == "json":
		s = audit.NewGathered(w)
	case l.Mode == "blocking-strict":
		s = lines.Strict()
	default:
		s = lines
	}
	return l.truncated(s, log), nil
}

func (s *auditStream) truncated(to audit.Sink, log *slog.Logger) audit.Sink {
	if !s.Truncate {
		return to
	}
	return &audit.Truncated{To: to, MaxEvent: s.MaxEvent, Log: log}
}

func (c *Config) auditWebhook(log *slog.Logger) (audit.Sink, error) {
	w := &c.Audit.Webhook
	through, err := c.Egress()
	if err != nil {
		return nil, err
	}
	client, err := callout.New(callout.Config{File: w.File, Backoff: callout.Backoff{First: w.Backoff, Times: 5}, Always: true, Dial: through[selector.ControlPlane]})
	if err != nil {
		return nil, err
	}
	to := audit.Webhook{Post: client}
	var s audit.Sink
	if w.Mode == "batch" {
		batch := w.Batch
		if !w.Throttle {
			batch.QPS = 0
		}
		if w.Truncate {
			batch.MaxBytes = w.MaxBatch
		}
		s = audit.NewBatched(to, batch, log)
	} else {
		s = &audit.Direct{To: to, Strict: strings.HasSuffix(w.Mode, "strict"), Log: log}
	}
	return w.truncated(s, log), nil
}
