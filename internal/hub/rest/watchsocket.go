package rest

import (
	"context"
	"io"
	"time"

	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/hub/wire"

	"golang.org/x/net/websocket"
)

// watchSocket serves a watch to a browser: a message per event, of text where events are text. The library is upstream's, so
// that handshakes end alike: who names no origin is refused (403), and so is who leaves the choice of a subprotocol to us
// (400); one that is left when authentication has taken out its own is given back as it is, whatever it says.
func (c *call) watchSocket(ctx context.Context, cancel context.CancelFunc, s *verb.Stream, life time.Duration) error {
	kind := websocket.BinaryFrame
	if c.out.Format == wire.JSON {
		kind = websocket.TextFrame
	}
	var ws *websocket.Conn
	f, err := c.out.NewMessages(c.req.Kind, func(p []byte) error {
		_, err := ws.Write(p)
		return err
	})
	if err != nil {
		return err
	}
	websocket.Handler(func(conn *websocket.Conn) {
		ws = conn
		ws.PayloadType = byte(kind)
		ws.SetWriteDeadline(time.Now().Add(life)) //nolint:errcheck // writes find out
		gone := make(chan struct{})
		go func() { // until the client goes, whom nobody else would hear: what it says is nothing to us
			defer close(gone)
			defer cancel()
			io.Copy(io.Discard, ws) //nolint:errcheck // however it ends
		}()
		c.pump(ctx, s, f)
		ws.SetWriteDeadline(time.Now().Add(lastWord)) //nolint:errcheck // as above
		ws.Close()
		<-gone
	}).ServeHTTP(c.w, c.r)
	return nil
}
