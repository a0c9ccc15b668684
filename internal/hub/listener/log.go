package listener

import (
	"log/slog"
	"strings"
)

// serverLog keeps net/http's complaints about clients (handshakes that fail, connections that break) out of sight.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Write(p []byte) (int, error) {
	l.log.Debug("connection", "message", strings.TrimSpace(string(p)))
	return len(p), nil
}
