package zaplog

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// New lets etcd log into log: what it calls info is our debug, since it tells the steps of its start; errors and
// warnings stay what they are.
func New(log *slog.Logger) *zap.Logger { return zap.New(core{log}) }

// Ending is New for who ends the process by what it logs: end is called instead.
func Ending(log *slog.Logger, end zapcore.CheckWriteHook) *zap.Logger {
	return zap.New(core{log}, zap.WithFatalHook(end), zap.WithPanicHook(end))
}

type core struct{ log *slog.Logger }

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func (c core) Enabled(l zapcore.Level) bool {
	return l >= zapcore.InfoLevel && c.log.Enabled(context.Background(), level(l))
}

func (c core) With(fields []zapcore.Field) zapcore.Core { return core{c.log.With(args(fields)...)} }

func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// expected are complaints that every lone member makes and that mean nothing: authentication of etcd's own, which is not
// used, the schema version, which a new database gets with its first term, and files of the log that are still needed when
// every half minute the oldest are to go.
var expected = map[string]bool{
	"simple token is not cryptographically signed":              true,
	"use default bcrypt cost instead of the invalid given cost": true,
	"Failed to detect schema version":                           true,
	"failed to update storage version":                          true,
	"failed to lock file":                                       true,
	"quota exceeds the maximum value":                           true, // the hub keeps a quota of its own
}

func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	l := level(e.Level)
	if expected[e.Message] {
		l = slog.LevelDebug
	}
	c.log.Log(context.Background(), l, e.Message, args(fields)...)
	return nil
}

func (c core) Sync() error { return nil }

func args(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]any, 0, len(enc.Fields))
	for k, v := range enc.Fields {
		out = append(out, slog.Any(k, v))
	}
	return out
}
